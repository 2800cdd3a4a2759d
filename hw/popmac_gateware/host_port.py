"""Accesses of the host to the memories."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa
from popmac.protocol import Space

from .activation_memory import activation_write_layout, window_request_layout
from .function_table import table_write_layout
from .host_bus import ADDRESS, READ, WRITE
from .program_memory import program_write_layout
from .tile import weight_write_layout


__all__ = ["HostPort"]


_ROW_SHIFT = 6 # rows of program memory begin at multiples of 64


class HostPort(wiring.Component):
    """Turns byte accesses into accesses of the width of each memory.

    Rows of program memory are 64 addresses apart, of which the first 36 are used, and are read
    from the first. Weight memory, and the tables behind it, take two bytes at a time and cannot be
    read.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    write : ``In(stream.Signature(WRITE))``
    read : ``In(stream.Signature(READ))``
    data : ``Out(stream.Signature(8))``
    activation_write : ``Out(stream.Signature(activation_write_layout(arch)))``
    weight_write : ``Out(weight_write_layout(arch))``
    table_write : ``Out(table_write_layout())``
    program_write : ``Out(stream.Signature(program_write_layout(arch)))``
    window_request : ``Out(stream.Signature(window_request_layout(arch)))``
        One window, whose first byte is the one to read.
    window_valid : ``In(1)``, window_data : ``In(8 * rows)``
    program_request : ``Out(stream.Signature(range(program_rows)))``
    program_valid : ``In(1)``, program_data : ``In(ROW_BITS)``
    busy : ``In(1)``
        The memories may change.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "write":            In(stream.Signature(WRITE)),
            "read":             In(stream.Signature(READ)),
            "data":             Out(stream.Signature(8)),
            "activation_write": Out(stream.Signature(activation_write_layout(arch))),
            "weight_write":     Out(weight_write_layout(arch)),
            "table_write":      Out(table_write_layout()),
            "program_write":    Out(stream.Signature(program_write_layout(arch))),
            "window_request":   Out(stream.Signature(window_request_layout(arch))),
            "window_valid":     In(1),
            "window_data":      In(8 * arch.word_bytes),
            "program_request":  Out(stream.Signature(range(arch.program_rows))),
            "program_valid":    In(1),
            "program_data":     In(isa.ROW_BITS),
            "busy":             In(1),
        })

    def elaborate(self, platform):
        m = Module()
        arch      = self.arch
        byte_bits = exact_log2(arch.word_bytes)

        # Writes: collect the bytes of a word; in the cycle after its last one, write it. All that
        # leaves this register leaves it early in the cycle.
        collected = Signal(isa.ROW_BITS, reset_less=True) # the latest byte on top
        place     = Signal(ADDRESS, reset_less=True)      # of that byte
        complete  = Signal()
        taken     = Signal()
        tables    = arch.all_weight_words * arch.weight_word_bytes # where they begin
        in_tables = Signal(reset_less=True)
        address   = self.write.payload.address
        last_byte = Signal()
        with m.Switch(self.write.payload.space):
            with m.Case(Space.ACTIVATION):
                m.d.comb += last_byte.eq(1)
            with m.Case(Space.WEIGHT):
                m.d.comb += last_byte.eq(address[0])
            with m.Case(Space.PROGRAM):
                m.d.comb += last_byte.eq(address[:_ROW_SHIFT] == isa.ROW_BYTES - 1)
        m.d.comb += self.write.ready.eq(~complete)
        with m.If(~complete):
            m.d.sync += complete.eq(self.write.valid & last_byte)
            with m.If(self.write.valid):
                m.d.sync += [
                    collected.eq(Cat(collected[8:], self.write.payload.data)),
                    place.space.eq(self.write.payload.space),
                    place.address.eq(address),
                    in_tables.eq(address >= tables),
                ]
        with m.Elif(taken):
            m.d.sync += complete.eq(0)
        with m.Switch(place.space):
            with m.Case(Space.ACTIVATION):
                m.d.comb += [
                    self.activation_write.valid.eq(complete),
                    taken.eq(self.activation_write.ready),
                ]
            with m.Case(Space.WEIGHT):
                m.d.comb += [
                    self.weight_write.valid.eq(complete & ~in_tables),
                    self.table_write.valid.eq(complete & in_tables),
                    taken.eq(1),
                ]
            with m.Case(Space.PROGRAM):
                m.d.comb += [
                    self.program_write.valid.eq(complete),
                    taken.eq(self.program_write.ready),
                ]

        # A weight address is, from the top: word, row, column pair, column.
        pair_bits  = exact_log2(arch.columns) - 1
        row_bits   = exact_log2(arch.rows)
        word       = place.address >> (1 + pair_bits + row_bits)
        activation = self.activation_write.payload
        m.d.comb += [
            activation.valid.eq(1),
            activation.word.eq(place.address >> byte_bits),
            activation.mask.eq(1 << place.address[:byte_bits]),
            *(activation.data[i].eq(collected[-8:]) for i in range(arch.word_bytes)),
            self.weight_write.column_pair.eq(place.address[1:1 + pair_bits]),
            self.weight_write.row.eq(place.address[1 + pair_bits:1 + pair_bits + row_bits]),
            self.weight_write.address.word.eq(word),
            self.weight_write.address.tail.eq(word >> exact_log2(arch.weight_words)),
            self.weight_write.data.eq(collected[-16:]),
            self.table_write.address.eq((place.address - tables) >> 1),
            self.table_write.data.eq(collected[-16:]),
            self.program_write.payload.row.eq(place.address >> _ROW_SHIFT),
            self.program_write.payload.data.eq(collected),
        ]

        # Reads: what comes with the byte asked for is kept for those that follow, as long as
        # nothing can have changed it.
        where = Signal(READ, reset_less=True)
        kept  = Signal(data.ArrayLayout(8, isa.ROW_BYTES), reset_less=True)
        count = Signal(range(isa.ROW_BYTES + 1)) # bytes that are kept, in front
        asked = self.read.payload
        m.d.comb += [
            self.window_request.payload.word.eq(where.address >> byte_bits),
            self.window_request.payload.offset.eq(where.address[:byte_bits]),
            self.window_request.payload.end.eq(arch.word_bytes),
            self.program_request.payload.eq(where.address >> _ROW_SHIFT),
            self.data.payload.eq(kept[0]),
        ]
        with m.FSM(init="Idle"):
            with m.State("Idle"):
                m.d.comb += self.read.ready.eq(~self.write.valid & ~complete)
                with m.If(self.read.valid & self.read.ready):
                    m.d.sync += where.eq(asked)
                    with m.If((count != 0) & (asked == where)):
                        m.next = "Reply"
                    with m.Elif(asked.space == Space.ACTIVATION):
                        m.next = "Request Window"
                    with m.Else():
                        m.next = "Request Row"
            with m.State("Request Window"):
                m.d.comb += self.window_request.valid.eq(1)
                with m.If(self.window_request.ready):
                    m.next = "Await Window"
            with m.State("Await Window"):
                m.d.sync += [
                    kept.as_value()[:8 * arch.word_bytes].eq(self.window_data),
                    count.eq(arch.word_bytes),
                ]
                with m.If(self.window_valid):
                    m.next = "Reply"
            with m.State("Request Row"):
                m.d.comb += self.program_request.valid.eq(1)
                with m.If(self.program_request.ready):
                    m.next = "Await Row"
            with m.State("Await Row"):
                m.d.sync += [kept.eq(self.program_data), count.eq(isa.ROW_BYTES)]
                with m.If(self.program_valid):
                    m.next = "Reply"
            with m.State("Reply"):
                m.d.comb += self.data.valid.eq(1)
                with m.If(self.data.ready):
                    m.d.sync += [
                        kept.eq(kept.as_value() >> 8),
                        count.eq(count - 1),
                        where.address.eq(where.address + 1),
                    ]
                    m.next = "Idle"
        with m.If(self.busy | complete):
            m.d.sync += count.eq(0)
        return m
