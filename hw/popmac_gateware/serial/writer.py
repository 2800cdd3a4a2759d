"""Where the results of a layer go, a word per pixel."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from ..records import record_layout


__all__ = ["PixelWriter", "result_layout"]


_LAYER = record_layout(isa.Layer)
_BYTES = 4


def result_layout():
    """A result, one of four of its pixel."""
    return data.StructLayout({
        "valid": 1,
        "last":  1, # of its pixel
        "after": 2, # what follows its pixel: 0: another column, 1: another row, 2: another block
    })


class PixelWriter(wiring.Component):
    """Collects the results of each pixel and writes them in one cycle.

    Members
    -------
    begin : ``In(1)``
        Begin a layer at ``first_output``.
    first_output, after_column, after_row, after_block, channels_log2 : In
        Of the layer; the first one only while ``begin``.
    result : ``In(signed(8))``, place : ``In(result_layout())``
    free : ``In(1)``
        A word can be written in this cycle.
    valid : ``Out(1)``
        There is a word to write; it is written in this cycle if ``free``.
    address : ``Out(18)``
        Of its first byte.
    data : ``Out(ArrayLayout(8, 4))``
    mask : ``Out(4)``

    Timing
    ------
    A word waits for ``free``, and another one until the next result comes. There are four free
    cycles in a row for each group of up to two pixels: see :class:`SerialAccelerator`.
    """

    def __init__(self):
        super().__init__({
            "begin":   In(1),
            **{name: In(_LAYER[name].shape) for name in (
                "first_output", "after_column", "after_row", "after_block", "channels_log2")},
            "result":  In(signed(8)),
            "place":   In(result_layout()),
            "free":    In(1),
            "valid":   Out(1),
            "address": Out(_LAYER["first_output"].shape),
            "data":    Out(data.ArrayLayout(8, _BYTES)),
            "mask":    Out(_BYTES),
        })

    def elaborate(self, platform):
        m = Module()

        collected = Signal(data.ArrayLayout(8, _BYTES), reset_less=True)
        full      = Signal()
        after     = Signal(2, reset_less=True)
        taken     = Signal()
        m.d.comb += taken.eq(full & (~self.valid | self.free))
        with m.If(self.place.valid):
            m.d.sync += [
                collected.as_value().eq(Cat(collected.as_value()[8:], self.result)),
                after.eq(self.place.after),
            ]
        with m.If(self.place.valid & self.place.last):
            m.d.sync += full.eq(1)
        with m.Elif(taken):
            m.d.sync += full.eq(0)

        # Groups of fewer channels are at one of several places of the word.
        position = Signal.like(self.address, reset_less=True)
        added    = Signal.like(position)
        with m.Switch(after):
            with m.Case(0):
                m.d.comb += added.eq(self.after_column)
            with m.Case(1):
                m.d.comb += added.eq(self.after_row)
            with m.Default():
                m.d.comb += added.eq(self.after_block)
        with m.If(self.begin):
            m.d.sync += position.eq(self.first_output)
        with m.Elif(taken):
            m.d.sync += position.eq(position + added)

        with m.If(taken):
            m.d.sync += [self.valid.eq(1), self.address.eq(position)]
            with m.Switch(self.channels_log2):
                for log2 in range(_BYTES.bit_length()):
                    group = 1 << log2
                    with m.Default() if group == _BYTES else m.Case(log2):
                        m.d.sync += [
                            *(self.data[i].eq(collected[i % group]) for i in range(_BYTES)),
                            self.mask.eq(Cat(position[log2:2] == i >> log2
                                             for i in range(_BYTES))),
                        ]
        with m.Elif(self.free):
            m.d.sync += self.valid.eq(0)
        return m
