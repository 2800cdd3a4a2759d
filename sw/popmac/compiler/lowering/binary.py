"""What the binary engine takes: tensors as bits, weights as digits, planes and loops for them."""

import numpy as np

from ...arch import BANKS, PLANE_WORDS
from ...layout import Layout
from ..nest import Loop
from ..view import RESHAPES


__all__ = ["bit_words", "bits_of", "bitwise", "engine_fields", "levels_of", "output_words",
           "spare_words"]


#: Iterations of a loop, and what the accumulators of the engine can hold.
MAX_LOOP  = 1 << 11
MAX_COUNT = (1 << 16) - 1


def levels_of(graph, name):
    """Codes that a tensor can have, or ``None`` if that is not known."""
    node = graph.producer(name)
    while node is not None and node.op in ("MaxPool2D", "Transpose", *RESHAPES):
        node = graph.producer(node.inputs[0])
    return node.attrs.get("levels") if node is not None else None


def bits_of(levels):
    """Bits per code, if there are few codes and they are equally far apart; else ``None``."""
    if levels is None or not 2 <= len(levels) <= 16 or len(set(np.diff(levels))) != 1:
        return None
    return next(bits for bits in (1, 2, 4) if len(levels) <= 1 << bits)


def bitwise(shape, arch, levels=(-1, 1)):
    """Layout of codes in bits: each pixel begins on a word, and has its channels side by side.

    Codes of several bits: a word has channels of one bit, and those of the other bits lie behind
    it. The channels are divided evenly among the words, by whole output blocks.
    """
    height, width, channels = shape
    bits = bits_of(levels)
    if bits == 1:
        words = -(-channels // (arch.bits_per_byte * arch.word_bytes))
        pitch = 1 << (words - 1).bit_length()
        group = arch.word_bytes
    else:
        block  = arch.columns // arch.bits_per_byte # bytes that an output block fills
        blocks = -(-channels // arch.columns)
        words  = -(-blocks * block // arch.word_bytes)
        pitch  = bits * words
        group  = -(-blocks // words) * block
    return Layout(height=height, width=width, channels=channels, word_bytes=arch.word_bytes,
                  group=group, pixel_pitch=pitch, row_pitch=width * pitch, block_pitch=bits,
                  bits=arch.bits_per_byte, code_bits=bits, bit_pitch=int(bits > 1),
                  lowest=levels[0], code_step=levels[1] - levels[0])


def spare_words(layout, arch):
    """Words behind a tensor that the last planes of the binary engine may write to."""
    pixels = max(arch.planes - 1, 0) * max(layout.pixel_bytes, arch.columns)
    return -(-pixels // arch.word_bytes) + 1


def output_words(layout, arch):
    """Output blocks that each word of a tensor of bits has, and how many words there are."""
    if layout.code_bits == 1:
        return -(-layout.channels // arch.columns), 1 # they go on in the next word
    return layout.group * arch.bits_per_byte // arch.columns, layout.blocks


def engine_fields(kernel_shape, digits, source, target, arch, *, strides, dilation):
    """Fields of the plan of a layer of the binary engine, or ``None`` if it cannot be one.

    Parameters
    ----------
    kernel_shape : (int, int, int)
        Rows, columns and input channels.
    digits : Digits
    source, target : Layout
    arch : ArchConfig
    strides, dilation : (int, int)
    """
    rows, columns, channels = kernel_shape
    bits  = source.code_bits
    steps = rows * columns * source.blocks
    if bits > arch.planes or rows * columns * channels * digits.total > MAX_COUNT:
        return None
    always = bits > 1
    tail   = source.group if always else \
        source.channel_bytes - (source.blocks - 1) * source.group
    loops  = {
        "input_block":   Loop(source.blocks, word=source.block_pitch, weight=1),
        "kernel_column": Loop(columns, column=dilation[1] * source.pixel_bytes,
                              weight=source.blocks),
        "kernel_row":    Loop(rows, row=dilation[0], word=dilation[0] * source.row_pitch,
                              weight=source.blocks * columns),
    }
    if digits.count > 1:
        # Digits take the place of one of the loops, which has to go on as another one does.
        always  = always or source.blocks == 1
        inner   = [(source.blocks, source.block_pitch)]
        others  = [(columns, dilation[1] * source.pixel_pitch),
                   (rows, dilation[0] * source.row_pitch)]
        if always or tail == source.group:
            first, *rest = _merged([*inner, *others])
        else:
            first, rest  = inner[0], _merged(others)
        if len(rest) > 1:
            return None
        second  = rest[0] if rest else (1, 0)
        loops   = {
            "input_block":   Loop(first[0], word=first[1], weight=1),
            "kernel_column": Loop(second[0], word=second[1], weight=first[0]),
            "kernel_row":    Loop(digits.count, weight=steps),
        }
    apart  = strides[1] * source.pixel_pitch
    pixels = min(arch.planes // bits, target.width)
    if bits == 1:
        pixels = min(pixels, (BANKS - 1) // apart + 1) if apart in PLANE_WORDS else 1
    elif apart != bits: # those of neighbouring pixels are not as far apart as those of bits
        pixels = 1
    if target.pixel_bytes.bit_length() > 8 or target.pixel_bytes & target.pixel_bytes - 1:
        pixels = 1
    # The results of many at once keep the requantiser busy for longer than the steps last.
    pixels = min(range(1, pixels + 1), key=lambda count: -(-target.width // count)
                 * max(steps * digits.count, count * bits * arch.phases))
    if any(loop.count > MAX_LOOP for loop in loops.values()):
        return None
    several = target.bits and target.code_bits <= bits
    return {
        "loops": loops | {
            "column": Loop(-(-target.width // pixels), column=apart * pixels * source.word_bytes,
                           output=target.pixel_bytes * pixels),
            "row":    Loop(target.height, row=strides[0], word=strides[0] * source.row_pitch,
                           output=target.row_pitch * target.word_bytes),
        },
        "planes": pixels * bits, "plane_words": source.bit_pitch or apart % BANKS,
        "plane_log2": target.pixel_bytes.bit_length() - 1 if pixels > 1 else 0,
        "plane_bits_log2": bits.bit_length() - 1,
        "result_bits_log2": target.code_bits.bit_length() - 1 if several else 0,
        "tail_bytes": tail, "tail_always": int(always), "doubling": digits.doubling,
    }


def _merged(loops):
    """Loops (count, stride), innermost first, without those that go on as the one before does."""
    merged = []
    for count, stride in loops:
        if merged and count > 1 and merged[-1][0] * merged[-1][1] == stride:
            merged[-1] = merged[-1][0] * count, merged[-1][1]
        elif merged and merged[-1][0] == 1:
            merged[-1] = count, stride
        elif count > 1 or not merged:
            merged.append((count, stride))
    return merged


def bit_words(kernel, digits, source, arch, blocks):
    """Weights of the binary engine, in the order of its steps: the bit of +1 is 1.

    Bits that belong to no channel are 1, so that they never equal the 0 that is read there.

    Parameters
    ----------
    kernel : ndarray of int (height, width, input channels, output channels)
    digits : Digits
    source : Layout
    arch : ArchConfig
    blocks : int
        Output blocks.

    Returns
    -------
    ndarray of int8 (blocks, digits, height, width, input blocks, rows, columns)
    """
    height, width, inputs, outputs = kernel.shape
    bits  = np.ones((digits.count, height, width, source.blocks * arch.rows, 8,
                     blocks * arch.columns), np.uint8)
    byte, bit   = np.divmod(np.arange(inputs), source.bits)
    block, lane = np.divmod(byte, source.group)
    bits[:, :, :, block * arch.rows + lane, bit, :outputs] = digits.signs(kernel) > 0
    octets = np.packbits(bits, axis=4, bitorder="little")[:, :, :, :, 0].view(np.int8)
    return octets.reshape(digits.count, height, width, source.blocks, arch.rows, blocks,
                          arch.columns).transpose(5, 0, 1, 2, 3, 4, 6)
