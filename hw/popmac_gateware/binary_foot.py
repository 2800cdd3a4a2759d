"""What is at the foot of a column of the binary engine: accumulators, and their way out."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .binary_cell import count_width
from .pipeline import delay
from .tile import Tile


__all__ = ["BinaryFoot", "BINARY_SUM_BITS"]


#: Bits of an accumulator: 4,096 channels in a kernel of 15 steps, and more.
BINARY_SUM_BITS = 16


class BinaryFoot(wiring.Component):
    """Accumulates the counts of one column in all planes, and hands the sums out one by one.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    counts : ``In(ArrayLayout(count_width(arch), planes))``
        :attr:`COUNTS_LEAD` cycles ahead of ``valid``, ``first`` and ``last``.
    valid, first, last : ``In(1)``
        Accumulate; begin anew; the sums are complete with this step.
    sum : ``Out(BINARY_SUM_BITS)``
        That of plane ``p``, from ``2 + p * phases`` cycles after ``last`` on, for ``phases``
        cycles. ``last`` must not come again before the last one of them.
    """

    COUNTS_LEAD = 1 + Tile.PSUM_DELAY - Tile.COUNT_DELAY

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "counts": In(data.ArrayLayout(count_width(arch), arch.planes)),
            "valid":  In(1),
            "first":  In(1),
            "last":   In(1),
            "sum":    Out(BINARY_SUM_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        planes  = self.arch.planes
        counts  = delay(m, self.counts, self.COUNTS_LEAD, name="counts")
        capture = delay(m, self.last, 1, name="capture")
        turn    = Signal(range(self.arch.phases), reset_less=True)
        shift   = Signal()
        with m.If(capture):
            m.d.sync += turn.eq(0)
        with m.Else():
            m.d.sync += turn.eq(turn + 1) # phases are a power of two
        m.d.comb += shift.eq(turn == self.arch.phases - 1)

        following = Const(0, BINARY_SUM_BITS)
        for plane in reversed(range(planes)):
            accumulator = Signal(BINARY_SUM_BITS, name=f"accumulator_{plane}", reset_less=True)
            held        = Signal(BINARY_SUM_BITS, name=f"held_{plane}", reset_less=True)
            with m.If(self.valid):
                m.d.sync += accumulator.eq(Mux(self.first, 0, accumulator) + counts[plane])
            with m.If(capture):
                m.d.sync += held.eq(accumulator)
            with m.Elif(shift):
                m.d.sync += held.eq(following)
            following = held
        m.d.comb += self.sum.eq(following)
        return m
