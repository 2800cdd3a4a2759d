"""Addresses of the steps of a layer."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa

from .activation_memory import window_request_layout
from .pipeline import delay
from .records import record_layout


__all__ = ["AddressGenerator", "input_layout"]


_POSITION = ("row", "column", "word", "weight")


def input_layout():
    """The fields of a layer descriptor that say where its steps read."""
    layer = record_layout(isa.Layer)
    return data.StructLayout({name: layer[name].shape for name in (
        *isa.LEVELS, *(f"first_{name}" for name in _POSITION), "height", "row_bytes", "unit",
        "tap_rows", "tap_words")})


class AddressGenerator(wiring.Component):
    """Where each step reads: a window of the input, and a weight word.

    Four positions (see :class:`popmac.isa.Layer`) each have an adder. What is added depends on
    the loop that goes on; nothing is multiplied.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    begin : ``In(1)``
        Go to the first step of a layer. At least :attr:`LATENCY` cycles behind the last step of
        the layer before, and not in the cycle of a step.
    input : ``In(input_layout())``
        Constant from ``begin`` until :attr:`LATENCY` cycles behind the last step.
    valid : ``In(1)``
        There is a step in this cycle.
    goes_on : ``In(6)``
        See :class:`LoopNest`.
    request : ``Out(window_request_layout(arch))``
    weight : ``Out(16)``
        Weight word.

    Timing
    ------
    ``request`` and ``weight`` follow ``valid`` by :attr:`LATENCY` cycles.
    """

    LATENCY = 5

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "begin":   In(1),
            "input":   In(input_layout()),
            "valid":   In(1),
            "goes_on": In(len(isa.LEVELS)),
            "request": Out(window_request_layout(arch)),
            "weight":  Out(16),
        })

    def elaborate(self, platform):
        m = Module()
        rows   = self.arch.rows
        levels = [self.input[name] for name in isa.LEVELS]

        # Cycle 0: which loop goes on.
        s1_goes_on = Signal.like(self.goes_on)
        m.d.sync += s1_goes_on.eq(Mux(self.valid, self.goes_on, 0))

        s3 = {}
        for name in _POSITION:
            shape = input_layout()[f"first_{name}"].shape

            # Cycle 1: what is to be added.
            added = Signal(shape, name=f"added_{name}", reset_less=True)
            terms = [Mux(s1_goes_on[i], level[name], 0) for i, level in enumerate(levels)]
            m.d.sync += added.eq(_any(terms))

            # Cycle 2: add it, and pass the position on as it was.
            position = Signal(shape, name=f"position_{name}", reset_less=True)
            s3[name] = Signal(shape, name=f"s3_{name}", reset_less=True)
            m.d.sync += s3[name].eq(position)
            with m.If(self.begin):
                m.d.sync += position.eq(self.input[f"first_{name}"])
            with m.Else():
                m.d.sync += position.eq(position + added)

        # Cycle 3: the word, and what is left of the row.
        byte_bits = exact_log2(rows)
        column    = s3["column"]
        s4_word   = Signal.like(self.request.word, reset_less=True)
        s4_column = Signal.like(column, reset_less=True)
        s4_left   = Signal(signed(len(column) + 1), reset_less=True)
        s4_inside = Signal(2, reset_less=True) # of the row, and of the second row of taps
        lowest    = Signal(signed(5), reset_less=True)
        limit     = Signal.like(s3["row"], reset_less=True)
        m.d.sync += [
            lowest.eq(-self.input.tap_rows),
            limit.eq(self.input.height - self.input.tap_rows),
            s4_word.eq(s3["word"] + (column >> byte_bits)),
            s4_column.eq(column),
            s4_left.eq(self.input.row_bytes - column),
            s4_inside[0].eq(s3["row"].as_unsigned() < self.input.height),
            s4_inside[1].eq((s3["row"] >= lowest) & (s3["row"] < limit)),
        ]

        # Cycle 4: the part of the window that is inside of the input.
        offset = s4_column[:byte_bits]
        m.d.sync += [
            self.request.word.eq(s4_word),
            self.request.offset.eq(offset),
            self.request.taps.eq(self.input.unit == isa.Unit.DEPTHWISE),
            self.request.second.eq(s4_word + self.input.tap_words),
            self.request.inside.eq(Cat(
                s4_inside[row] & ((s4_column >> byte_bits) >= -column)
                & ((s4_left >> byte_bits) > column)
                for row in range(2) for column in range(self.arch.tap_columns))),
            self.request.begin.eq(0),
            self.request.end.eq(s4_left[:byte_bits]),
            self.weight.eq(delay(m, s3["weight"], 1, name="s4_weight")),
        ]
        with m.If(s4_column < 0):
            with m.If(s4_column[byte_bits:].all()):
                m.d.sync += self.request.begin.eq(rows - offset)
            with m.Else():
                m.d.sync += self.request.begin.eq(rows)
        with m.If((s4_left < 0) | ~s4_inside[0]):
            m.d.sync += self.request.end.eq(0)
        with m.Elif(s4_left[byte_bits:].any()):
            m.d.sync += self.request.end.eq(rows)
        return m


def _any(values):
    """Bitwise or of ``values``, of which at most one is not 0."""
    result = Const(0)
    for value in values:
        result = result | value
    return result
