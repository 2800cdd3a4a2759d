"""What is at the foot of a column of the binary engine: accumulators, and their way out."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .binary_cell import count_width
from .pipeline import delay


__all__ = ["BinaryFoot", "BINARY_SUM_BITS", "MAX_PLANE_BITS_LOG2", "plane_bits_log2"]


#: Bits of an accumulator: 4,096 channels in a kernel of 15 steps, and more.
BINARY_SUM_BITS = 16

#: Planes that are the bits of one activation, at most, as log2.
MAX_PLANE_BITS_LOG2 = 2


def plane_bits_log2(arch):
    """Planes that can be the bits of one activation, at most, as log2."""
    return min(max(arch.planes, 1).bit_length() - 1, MAX_PLANE_BITS_LOG2)


class BinaryFoot(wiring.Component):
    """Accumulates the counts of one column in all planes, and hands the sums out one by one.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    counts : ``In(ArrayLayout(count_width(arch), planes))``
    valid, first, double, last : ``In(1)``
        Accumulate; begin anew; add to twice the sums so far; the sums are complete with this step.
    plane_bits_log2 : ``In(range(MAX_PLANE_BITS_LOG2 + 1))``
        So many planes, as log2, are the bits of one activation, the highest one first. Constant
        during a layer, and at most :func:`plane_bits_log2`.
    sum : ``Out(BINARY_SUM_BITS + 4)``
        That of plane ``p``, from ``2 + p * phases`` cycles after ``last`` on, for ``phases``
        cycles, plus twice that of the plane before if this is a higher bit of the same activation:
        the sum of a pixel is that of its last plane. ``last`` must not come again before the last
        one of them.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "counts": In(data.ArrayLayout(count_width(arch), arch.planes)),
            "valid":  In(1),
            "first":  In(1),
            "double": In(1),
            "last":   In(1),
            "plane_bits_log2": In(range(MAX_PLANE_BITS_LOG2 + 1)),
            "sum":    Out(BINARY_SUM_BITS + (1 << MAX_PLANE_BITS_LOG2)),
        })

    def elaborate(self, platform):
        m = Module()
        planes  = self.arch.planes
        capture = delay(m, self.last, 1, name="capture")
        turn    = Signal(range(self.arch.phases), reset_less=True)
        shift   = Signal()
        with m.If(capture):
            m.d.sync += turn.eq(0)
        with m.Else():
            m.d.sync += turn.eq(turn + 1) # phases are a power of two
        m.d.comb += shift.eq(turn == self.arch.phases - 1)

        # Whether the plane that is shifted to the front next is one more bit of the same pixel.
        most  = plane_bits_log2(self.arch)
        plane = Signal(most, reset_less=True) # the one in front
        more  = Signal(reset_less=True)
        front = Signal(most)
        m.d.comb += front.eq(Mux(capture, 0, plane + 1))
        with m.If(capture | shift):
            m.d.sync += plane.eq(front)
            with m.Switch(self.plane_bits_log2):
                for bits_log2 in range(most + 1):
                    with m.Case(bits_log2):
                        m.d.sync += more.eq(~front[:bits_log2].all() if bits_log2 else 0)

        following = Const(0, BINARY_SUM_BITS)
        for plane in reversed(range(planes)):
            accumulator = Signal(BINARY_SUM_BITS, name=f"accumulator_{plane}", reset_less=True)
            held        = Signal(BINARY_SUM_BITS if plane else self.sum.shape(),
                                 name=f"held_{plane}", reset_less=True)
            so_far      = Mux(self.double, accumulator << 1, accumulator)
            with m.If(self.valid):
                m.d.sync += accumulator.eq(Mux(self.first, 0, so_far) + self.counts[plane])
            if plane == 0 and most:
                following = following + Mux(more, held << 1, 0)
            with m.If(capture):
                m.d.sync += held.eq(accumulator)
            with m.Elif(shift):
                m.d.sync += held.eq(following)
            following = held
        m.d.comb += self.sum.eq(following)
        return m
