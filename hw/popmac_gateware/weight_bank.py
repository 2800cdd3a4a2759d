"""Weight memory of one row and one column pair."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delay, hop
from .primitives.block_ram import BlockRam


__all__ = ["WeightBank", "weight_address_layout"]


def weight_address_layout(arch):
    """Address of a weight word: in block RAM, or in the distributed RAM behind it."""
    return data.StructLayout({
        "word": range(arch.weight_words),
        "tail": 1, # the low bits of the word address distributed RAM
    })


class WeightBank(wiring.Component):
    """The weights of one row for two columns, in block RAM and a few in distributed RAM.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    read_address : ``In(weight_address_layout(arch))``
    block_data, tail_data : ``Out(16)``
        What each memory holds there; the cell selects.
    write_address : ``In(weight_address_layout(arch))``
    write_enable : ``In(1)``
    write_data : ``In(16)``
        The weight of the western column is in the low byte.

    Timing
    ------
    Both outputs follow the address by :attr:`LATENCY` cycles.
    """

    LATENCY = BlockRam.LATENCY

    def __init__(self, arch):
        self.arch = arch
        address   = weight_address_layout(arch)
        super().__init__({
            "read_address":  In(address),
            "block_data":    Out(16),
            "tail_data":     Out(16),
            "write_address": In(address),
            "write_enable":  In(1),
            "write_data":    In(16),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.block = block = BlockRam(width=16, depth=self.arch.weight_words)
        m.d.comb += [
            block.read_address.eq(self.read_address.word),
            self.block_data.eq(block.read_data),
            block.write_address.eq(self.write_address.word),
            block.write_enable.eq(self.write_enable & ~self.write_address.tail),
            block.write_data.eq(self.write_data),
        ]

        if self.arch.tail_words:
            m.submodules.tail = tail = memory.Memory(shape=16, depth=self.arch.tail_words, init=[])
            read  = tail.read_port(domain="comb")
            write = tail.write_port()
            word  = self.read_address.word[:len(read.addr)]
            m.d.comb += [
                read.addr.eq(hop(m, word, name="tail_word")),
                self.tail_data.eq(delay(m, read.data, 1, name="tail")),
                write.addr.eq(self.write_address.word),
                write.data.eq(self.write_data),
                write.en.eq(self.write_enable & self.write_address.tail),
            ]
        return m
