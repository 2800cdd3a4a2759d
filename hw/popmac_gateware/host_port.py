"""Accesses of the host to the memories."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa
from popmac.protocol import Space

from .activation_memory import activation_write_layout, window_request_layout
from .function_table import table_write_layout
from .host_bus import READ, WRITE
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

        # Writes: collect the bytes of a word, then write it.
        bytes_before = Signal(isa.ROW_BITS - 8, reset_less=True) # the latest one on top
        address      = self.write.payload.address
        collected    = Cat(bytes_before, self.write.payload.data)
        last_byte    = Signal()
        with m.If(self.write.valid & self.write.ready):
            m.d.sync += bytes_before.eq(collected[8:])

        activation = self.activation_write.payload
        m.d.comb += [
            activation.valid.eq(1),
            activation.word.eq(address >> byte_bits),
            activation.mask.eq(1 << address[:byte_bits]),
            *(activation.data[i].eq(self.write.payload.data) for i in range(arch.word_bytes)),
            self.program_write.payload.row.eq(address >> _ROW_SHIFT),
            self.program_write.payload.data.eq(collected),
        ]

        # A weight address is, from the top: word, row, column pair, column.
        pair_bits = exact_log2(arch.columns) - 1
        row_bits  = exact_log2(arch.rows)
        word      = address >> (1 + pair_bits + row_bits)
        tables    = arch.all_weight_words * arch.weight_word_bytes # where they begin
        m.d.sync += [
            self.table_write.valid.eq(0),
            self.table_write.address.eq((address >> 1) - tables // 2),
            self.table_write.data.eq(collected[-16:]),
            self.weight_write.valid.eq(0),
            self.weight_write.column_pair.eq(address[1:1 + pair_bits]),
            self.weight_write.row.eq(address[1 + pair_bits:1 + pair_bits + row_bits]),
            self.weight_write.address.word.eq(word),
            self.weight_write.address.tail.eq(word >> exact_log2(arch.weight_words)),
            self.weight_write.data.eq(collected[-16:]),
        ]

        with m.Switch(self.write.payload.space):
            with m.Case(Space.ACTIVATION):
                m.d.comb += [
                    self.activation_write.valid.eq(self.write.valid),
                    self.write.ready.eq(self.activation_write.ready),
                ]
            with m.Case(Space.WEIGHT):
                m.d.comb += self.write.ready.eq(1)
                with m.If(self.write.valid & address[0]):
                    m.d.sync += [
                        self.weight_write.valid.eq(address < tables),
                        self.table_write.valid.eq(address >= tables),
                    ]
            with m.Case(Space.PROGRAM):
                m.d.comb += [
                    last_byte.eq(address[:_ROW_SHIFT] == isa.ROW_BYTES - 1),
                    self.program_write.valid.eq(self.write.valid & last_byte),
                    self.write.ready.eq(self.program_write.ready | ~last_byte),
                ]
            with m.Default():
                m.d.comb += self.write.ready.eq(1)

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
                m.d.comb += self.read.ready.eq(1)
                with m.If(self.read.valid):
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
        with m.If(self.busy | (self.write.valid & self.write.ready)):
            m.d.sync += count.eq(0)
        return m
