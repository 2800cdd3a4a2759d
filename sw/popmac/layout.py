"""How a tensor lies in activation memory, and how it gets in and out."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


__all__ = ["Layout", "planar", "linear"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Place of every element of an image of ``height`` x ``width`` x ``channels`` bytes.

    The channels of a pixel are in groups of ``group`` bytes. A group that is smaller than a word
    holds all channels of the pixel, and the groups of neighbouring pixels share a word; rows begin
    on a word. A group that fills a word is one block of channels.

    Parameters
    ----------
    height, width, channels : int
    word_bytes : int
        Bytes per word of the memory.
    group : int
        Bytes per group, at most ``word_bytes``: a power of two where the device writes.
    pixel_pitch : int
        Words from a pixel to the next if ``group == word_bytes``; else 0.
    row_pitch, block_pitch : int
        Words from a row to the next, and from a block of channels to the next.
    bits : int
        Channels per byte, if codes are in bits. 0: bytes.
    code_bits : int
        Bits of a code, each in words of its own, the highest bit first.
    bit_pitch : int
        Words from those of a bit to those of the next.
    lowest, code_step : int
        The code whose bits are all 0, and what is added to it for each further one.
    spare : int
        Words behind the last element that may be overwritten, too.
    base : int
        Word address of the first element.
    """

    height:      int
    width:       int
    channels:    int
    word_bytes:  int
    group:       int
    pixel_pitch: int
    row_pitch:   int
    block_pitch: int
    bits:        int = 0
    code_bits:   int = 1
    bit_pitch:   int = 0
    lowest:      int = -1
    code_step:   int = 2
    spare:       int = 0
    base:        int = 0

    @property
    def channel_bytes(self):
        """Bytes that the channels of a pixel take."""
        return -(-self.channels // self.bits) if self.bits else self.channels

    @property
    def blocks(self):
        """Blocks of channels."""
        return -(-self.channel_bytes // self.group)

    @property
    def pixel_bytes(self):
        """Bytes from a pixel to the next."""
        return self.pixel_pitch * self.word_bytes or self.group

    @property
    def row_bytes(self):
        """Bytes from the first pixel of a row to behind the last one."""
        return self.width * self.pixel_bytes

    @property
    def words(self):
        """Words from the first to the last one that is used, both included."""
        row = (self.row_bytes - self.pixel_bytes + self.group - 1) // self.word_bytes
        return (self.height - 1) * self.row_pitch + (self.blocks - 1) * self.block_pitch + row + 1 \
            + (self.code_bits - 1) * self.bit_pitch + self.spare

    def at(self, base):
        """The same at another address."""
        return replace(self, base=base)

    def addresses(self):
        """Byte address of every byte of every pixel, relative to ``base``; of the highest bits.

        Returns
        -------
        ndarray of int64 (height, width, channel_bytes)
        """
        y, x = np.arange(self.height), np.arange(self.width)
        block, lane = np.divmod(np.arange(self.channel_bytes), self.group)
        words = y[:, None, None] * self.row_pitch + block * self.block_pitch
        return words * self.word_bytes + x[:, None] * self.pixel_bytes + lane

    def pack(self, values):
        """Bytes of the memory from ``base`` on, for any number of images.

        Parameters
        ----------
        values : ndarray of int8 or uint8 (..., height, width, channels)

        Returns
        -------
        ndarray of int8 (..., words * word_bytes)
            What belongs to no element is 0.
        """
        octets = np.zeros((*values.shape[:-3], self.words * self.word_bytes), np.int8)
        if not self.bits:
            octets[..., self._places] = values.view(np.int8)
            return octets
        index = (values.astype(np.int64) - self.lowest) // self.code_step
        index = np.clip(index, 0, (1 << self.code_bits) - 1)
        for bit, places in self._bit_places():
            octets[..., places] = self._to_bits(index >> bit & 1)
        return octets

    def unpack(self, octets):
        """Values from bytes as made by :meth:`pack`.

        Returns
        -------
        ndarray of int8 (..., height, width, channels)
        """
        octets = np.asarray(octets, np.int8)
        if not self.bits:
            return octets[..., self._places]
        index = sum(self._from_bits(octets[..., places]) << bit
                    for bit, places in self._bit_places())
        return (index * self.code_step + self.lowest).astype(np.int8)

    @cached_property
    def _places(self):
        return self.addresses()

    def _bit_places(self):
        """Bits of the codes, with the addresses of their bytes."""
        for bit in range(self.code_bits):
            behind = (self.code_bits - 1 - bit) * self.bit_pitch * self.word_bytes
            yield bit, self._places + behind

    def _to_bits(self, bits):
        whole = np.zeros((*bits.shape[:-1], self.channel_bytes * self.bits), np.uint8)
        whole[..., :self.channels] = bits
        whole = whole.reshape(*bits.shape[:-1], self.channel_bytes, self.bits)
        return np.packbits(whole, axis=-1, bitorder="little")[..., 0].view(np.int8)

    def _from_bits(self, octets):
        whole = np.unpackbits(octets.view(np.uint8)[..., None], axis=-1, bitorder="little")
        whole = whole[..., :self.bits].reshape(*octets.shape[:-1], -1)[..., :self.channels]
        return whole.astype(np.int64)


def planar(shape, word_bytes, *, row_pitch=None, dense=False):
    """Layout with blocks of channels one behind the other.

    Parameters
    ----------
    shape : (height, width, channels)
    word_bytes : int
    row_pitch : function of int to int, optional
        Makes a row pitch of at least so many words.
    dense : bool
        Leave no bytes between pixels of fewer channels than a word has bytes. Only the host can
        write such tensors.
    """
    height, width, channels = shape
    group = word_bytes
    while group > 1 and group // 2 >= channels:
        group //= 2
    if dense:
        group = min(channels, word_bytes)
    packed = group < word_bytes
    words  = -(-width * group // word_bytes) if packed else width
    pitch  = row_pitch(words) if row_pitch else words
    return Layout(height=height, width=width, channels=channels, word_bytes=word_bytes, group=group,
                  pixel_pitch=0 if packed else 1, row_pitch=pitch, block_pitch=height * pitch)


def linear(shape, word_bytes):
    """Layout in which elements lie in the order of the array, or ``None`` if there is none."""
    height, width, channels = shape
    if channels % word_bytes == 0:
        blocks = channels // word_bytes
        return Layout(height=height, width=width, channels=channels, word_bytes=word_bytes,
                      group=word_bytes, pixel_pitch=blocks, row_pitch=width * blocks,
                      block_pitch=1)
    row_bytes = width * channels
    if channels & (channels - 1) or (height > 1 and row_bytes % word_bytes):
        return None
    if channels > word_bytes:
        return None
    return Layout(height=height, width=width, channels=channels, word_bytes=word_bytes,
                  group=channels, pixel_pitch=0, row_pitch=-(-row_bytes // word_bytes),
                  block_pitch=-(-row_bytes // word_bytes))
