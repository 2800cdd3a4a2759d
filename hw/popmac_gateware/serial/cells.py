"""Multipliers and accumulators of two pixels by four channels."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac.arch import ACCUMULATOR_BITS

from ..primitives.small_multiplier import ByteMultipliers


__all__ = ["PairCells"]


_PIXELS  = 2
_COLUMNS = 4


class PairCells(wiring.Component):
    """Sums of products of a byte of each pixel with a weight of each column.

    Members
    -------
    bytes : ``In(ArrayLayout(signed(8), 2))``
        Of both pixels.
    weights : ``In(ArrayLayout(signed(8), 4))``
    valid, last : ``In(1)``
        Accumulate; with these products, the sums are complete.
    clear : ``In(1)``
        Forget the sums.
    captured : ``Out(1)``
        The first sum of a group of pixels is on ``sum`` in the next cycle.
    sum : ``Out(signed(ACCUMULATOR_BITS))``
        Sums of the first pixel and of the second one, a column per cycle.

    Timing
    ------
    ``captured`` follows ``last`` by :attr:`LATENCY` cycles. ``last`` must be eight cycles apart,
    and there must not be a ``valid`` in the cycle behind it.
    """

    LATENCY = ByteMultipliers.LATENCY + 1

    bytes:    In(data.ArrayLayout(signed(8), _PIXELS))
    weights:  In(data.ArrayLayout(signed(8), _COLUMNS))
    valid:    In(1)
    last:     In(1)
    clear:    In(1)
    captured: Out(1)
    sum:      Out(signed(ACCUMULATOR_BITS))

    def elaborate(self, platform):
        m = Module()

        s1 = Signal(2, reset_less=True)
        s2 = Signal(2, reset_less=True)
        m.d.sync += [
            s1.eq(Cat(self.valid, self.last & self.valid)), s2.eq(s1), self.captured.eq(s2[1]),
        ]

        sums = {}
        for column in range(_COLUMNS):
            m.submodules[f"multipliers_{column}"] = multipliers = ByteMultipliers()
            m.d.comb += [
                multipliers.a.eq(self.bytes),
                *(multipliers.b[pixel].eq(self.weights[column]) for pixel in range(_PIXELS)),
            ]
            for pixel in range(_PIXELS):
                place       = f"{pixel}_{column}"
                accumulator = Signal(signed(ACCUMULATOR_BITS), name=f"accumulator_{place}")
                with m.If(s2[0]):
                    m.d.sync += accumulator.eq(accumulator + multipliers.products[pixel])
                with m.If(self.captured | self.clear):
                    m.d.sync += accumulator.eq(0)
                sums[pixel, column] = accumulator

        # What is complete moves on, sum by sum, while others are accumulated. It is taken from the
        # accumulators' registers: adders that lead to two places would take twice the logic cells.
        kept = Const(0)
        for place in reversed(sorted(sums)):
            register = Signal(signed(ACCUMULATOR_BITS), name=f"kept_{place[0]}_{place[1]}",
                              reset_less=True)
            m.d.sync += register.eq(Mux(self.captured, sums[place], kept))
            kept = register
        m.d.comb += self.sum.eq(kept)
        return m
