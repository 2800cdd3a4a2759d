"""Accesses of the host to the memories."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa
from popmac.protocol import WRITABLE, Space

from .activation_memory import activation_write_layout, window_request_layout
from .function_table import table_write_layout
from .host_bus import ADDRESS, READ, WRITE
from .pipeline import hop
from .program_memory import program_write_layout
from .tile import weight_write_layout


__all__ = ["HostPort"]


_ROW_SHIFT = 6  # rows of program memory begin at multiples of 64
_GROUP     = 72 # bits that move together


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

        # Writes: take a byte in two cycles, so that all that takes it knows early; after the last
        # one of a word, write it.
        collected = Signal(isa.ROW_BITS, reset_less=True) # the latest byte on top
        place     = Signal(ADDRESS, reset_less=True)      # of that byte
        taking    = Signal()
        complete  = Signal(data.StructLayout({space.name: 1 for space in sorted(WRITABLE)}))
        tables    = arch.all_weight_words * arch.weight_word_bytes # where they begin
        in_tables = Signal(reset_less=True)
        address   = self.write.payload.address
        m.d.comb += self.write.ready.eq(taking)
        m.d.sync += taking.eq(self.write.valid & ~taking & ~complete.as_value().any())
        with m.If(taking):
            m.d.sync += [
                collected.eq(Cat(collected[8:], self.write.payload.data)),
                place.space.eq(self.write.payload.space),
                place.address.eq(address),
                in_tables.eq(address >= tables),
            ]
        for space, last_byte, taken in [
            (Space.ACTIVATION, 1,          self.activation_write.ready),
            (Space.WEIGHT,     address[0], 1),
            (Space.PROGRAM,    address[:_ROW_SHIFT] == isa.ROW_BYTES - 1,
                self.program_write.ready),
        ]:
            with m.If(taking & (self.write.payload.space == space) & last_byte):
                m.d.sync += complete[space.name].eq(1)
            with m.Elif(taken):
                m.d.sync += complete[space.name].eq(0)

        # A weight address is, from the top: word, row, column pair, column.
        pair_bits  = exact_log2(arch.columns) - 1
        row_bits   = exact_log2(arch.rows)
        word       = place.address >> (1 + pair_bits + row_bits)
        activation = self.activation_write.payload
        m.d.comb += [
            self.activation_write.valid.eq(complete.ACTIVATION),
            self.weight_write.valid.eq(complete.WEIGHT & ~in_tables),
            self.table_write.valid.eq(complete.WEIGHT & in_tables),
            self.program_write.valid.eq(complete.PROGRAM),
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
        is_window = hop(m, where.space == Space.ACTIVATION, name="is_window")
        m.d.comb += [
            self.window_request.payload.word.eq(where.address >> byte_bits),
            self.window_request.payload.offset.eq(where.address[:byte_bits]),
            self.window_request.payload.end.eq(arch.word_bytes),
            self.program_request.payload.eq(where.address >> _ROW_SHIFT),
            self.data.payload.eq(kept[0]),
        ]
        writing  = self.write.valid | complete.as_value().any()
        awaiting = Signal()
        arrived  = Signal()
        given    = Signal()
        with m.FSM(init="Idle"):
            with m.State("Idle"):
                m.d.comb += self.read.ready.eq(~writing)
                with m.If(self.read.valid & ~writing):
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
                    m.next = "Await"
            with m.State("Request Row"):
                m.d.comb += self.program_request.valid.eq(1)
                with m.If(self.program_request.ready):
                    m.next = "Await"
            with m.State("Await"):
                m.d.comb += awaiting.eq(1)
                m.d.comb += arrived.eq(Mux(is_window, self.window_valid, self.program_valid))
                m.d.sync += count.eq(Mux(is_window, arch.word_bytes, isa.ROW_BYTES))
                with m.If(arrived):
                    m.next = "Reply"
            with m.State("Reply"):
                m.d.comb += self.data.valid.eq(1)
                with m.If(self.data.ready):
                    m.d.comb += given.eq(1)
                    m.d.sync += where.address.eq(where.address + 1)
                    with m.If(count != 0): # nothing has changed meanwhile
                        m.d.sync += count.eq(count - 1)
                    m.next = "Shift"
            with m.State("Shift"):
                m.next = "Idle"
        with m.If(self.busy | writing):
            m.d.sync += count.eq(0)

        # What moves the bytes is beside them, and thus a cycle late; what is awaited is taken in
        # each cycle until it is there.
        width  = len(self.window_data)
        source = Cat(Mux(is_window, self.window_data, self.program_data[:width]),
                     self.program_data[width:])
        moved  = Cat(kept.as_value()[8:], Const(0, 8))
        for low in range(0, isa.ROW_BITS, _GROUP):
            part  = slice(low, low + _GROUP)
            take  = hop(m, awaiting & ~arrived, name=f"take_{low}")
            shift = hop(m, given, name=f"shift_{low}")
            with m.If(take):
                m.d.sync += kept.as_value()[part].eq(source[part])
            with m.Elif(shift):
                m.d.sync += kept.as_value()[part].eq(moved[part])
        return m
