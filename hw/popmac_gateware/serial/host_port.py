"""Accesses of the host to memories whose bytes are written one by one."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac.protocol import Space

from ..host_bus import ADDRESS, READ, WRITE


__all__ = ["BytePort", "access_layout"]


def access_layout(words):
    """One access to a memory of ``words`` words of 32 bits."""
    return data.StructLayout({
        "address": range(words),
        "mask":    4, # bytes to write; if none, the word is read
        "data":    8, # for each of them
    })


class BytePort(wiring.Component):
    """Turns byte accesses of the host into accesses to words of 32 bits.

    Weights and rows of the program share a memory: rows are in its upper half. Weights and tables
    cannot be read. An access is made in the cycle after it was asked for, or later, and
    acknowledged in the one after that, so that no path leads through here.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    write : ``In(stream.Signature(WRITE))``
    read : ``In(stream.Signature(READ))``
    data : ``Out(stream.Signature(8))``
    activation : ``Out(stream.Signature(access_layout(activation_words)))``
    weight : ``Out(stream.Signature(access_layout(..)))``
    activation_data, weight_data : ``In(32)``
        Follow a transfer by one cycle.
    table_write : ``Out(1)``, table_address, table_data : Out
        A byte of the tables.
    """

    def __init__(self, arch):
        self.arch = arch
        #: Words of the memory of weights and program.
        self.weight_depth = 2 * arch.weight_words * arch.weight_word_bytes // 4
        tables = arch.weight_space_bytes - arch.all_weight_words * arch.weight_word_bytes
        super().__init__({
            "write":           In(stream.Signature(WRITE)),
            "read":            In(stream.Signature(READ)),
            "data":            Out(stream.Signature(8)),
            "activation":      Out(stream.Signature(access_layout(arch.activation_words))),
            "weight":          Out(stream.Signature(access_layout(self.weight_depth))),
            "activation_data": In(32),
            "weight_data":     In(32),
            "table_write":     Out(1),
            "table_address":   Out(range(tables)),
            "table_data":      Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        half = exact_log2(self.weight_depth // 2) + 2 # bits of an address in weights or program

        # Writes go first: a read waits for all that were accepted before it.
        where    = Signal(ADDRESS)
        is_table = Signal()
        writing, reading = Signal(), Signal()
        granted  = Signal()
        m.d.sync += [
            writing.eq(self.write.valid & Mux(writing, ~granted, ~self.write.ready & ~reading)),
            reading.eq(self.read.valid & Mux(
                reading, ~granted,
                ~self.read.ready & ~self.write.valid & ~writing & ~self.data.valid)),
            self.write.ready.eq(writing & granted),
            self.read.ready.eq(reading & granted),
        ]
        m.d.comb += [
            where.eq(Mux(writing, Cat(self.write.payload.space, self.write.payload.address),
                         self.read.payload.as_value())),
            is_table.eq((where.space == Space.WEIGHT) & where.address[half]),
            *(access.payload.mask.eq(Mux(writing & self.write.valid, 1 << where.address[:2], 0))
              for access in (self.activation, self.weight)),
            *(access.payload.data.eq(self.write.payload.data)
              for access in (self.activation, self.weight)),
            self.activation.payload.address.eq(where.address[2:]),
            self.weight.payload.address.eq(Cat(where.address[2:half],
                                               where.space == Space.PROGRAM)),
            self.table_address.eq(where.address),
            self.table_data.eq(self.write.payload.data),
        ]
        with m.If(writing | reading):
            with m.If(where.space == Space.ACTIVATION):
                m.d.comb += [self.activation.valid.eq(1), granted.eq(self.activation.ready)]
            with m.Elif(is_table):
                m.d.comb += [self.table_write.eq(writing), granted.eq(1)]
            with m.Else():
                m.d.comb += [self.weight.valid.eq(1), granted.eq(self.weight.ready)]

        # The word arrives when the read is acknowledged.
        lane = Signal(2, reset_less=True)
        from_activations = Signal(reset_less=True)
        m.d.sync += [
            lane.eq(where.address[:2]),
            from_activations.eq(where.space == Space.ACTIVATION),
        ]
        with m.If(self.read.valid & self.read.ready):
            m.d.sync += [
                self.data.valid.eq(1),
                self.data.payload.eq(Mux(from_activations, self.activation_data, self.weight_data)
                                     .word_select(lane, 8)),
            ]
        with m.Elif(self.data.ready):
            m.d.sync += self.data.valid.eq(0)
        return m
