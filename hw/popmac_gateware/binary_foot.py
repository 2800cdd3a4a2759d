"""What is at the foot of a column of the binary engine: accumulators, and their way out."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .binary_cell import count_width
from .primitives.carry import ADD_SELECTED, CarryChain
from .primitives.ecp5 import is_ecp5


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
    clear : ``In(1)``
        Begin anew, as after ``last``.
    valid, double, last : ``In(1)``
        Accumulate; add to twice the sums so far; the sums are complete with this step, which is
        a valid one.
    plane_bits_log2 : ``In(range(MAX_PLANE_BITS_LOG2 + 1))``
        So many planes, as log2, are the bits of one activation, the highest one first. Constant
        during a layer, and at most :func:`plane_bits_log2`.
    sum : ``Out(BINARY_SUM_BITS + 4)``
        That of plane ``p``, from ``1 + p * phases`` cycles after ``last`` on, for ``phases``
        cycles, plus twice that of the plane before if this is a higher bit of the same activation:
        the sum of a pixel is that of its last plane. ``last`` must not come again before the last
        one of them.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "counts": In(data.ArrayLayout(count_width(arch), arch.planes)),
            "clear":  In(1),
            "valid":  In(1),
            "double": In(1),
            "last":   In(1),
            "plane_bits_log2": In(range(MAX_PLANE_BITS_LOG2 + 1)),
            "sum":    Out(BINARY_SUM_BITS + (1 << MAX_PLANE_BITS_LOG2)),
        })

    def elaborate(self, platform):
        m = Module()
        planes  = self.arch.planes
        turn    = Signal(range(self.arch.phases), reset_less=True)
        shift   = Signal()
        with m.If(self.last):
            m.d.sync += turn.eq(0)
        with m.Else():
            m.d.sync += turn.eq(turn + 1) # phases are a power of two
        m.d.comb += shift.eq(turn == self.arch.phases - 1)

        # Whether the plane that is shifted to the front next is one more bit of the same pixel.
        most  = plane_bits_log2(self.arch)
        plane = Signal(most, reset_less=True) # the one in front
        more  = Signal(reset_less=True)
        front = Signal(most)
        m.d.comb += front.eq(Mux(self.last, 0, plane + 1))
        with m.If(self.last | shift):
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
            total       = Signal(BINARY_SUM_BITS, name=f"total_{plane}")
            if is_ecp5(platform): # doubled in the positions that add
                m.submodules[f"chain_{plane}"] = chain = \
                    CarryChain([ADD_SELECTED] * BINARY_SUM_BITS)
                m.d.comb += [
                    chain.a.eq(self.counts[plane]),
                    chain.b.eq(accumulator << 1),
                    chain.c.eq(accumulator),
                    chain.d.eq(self.double.replicate(BINARY_SUM_BITS)),
                    total.eq(chain.s),
                ]
            else:
                so_far = Mux(self.double, accumulator << 1, accumulator)
                m.d.comb += total.eq(so_far + self.counts[plane])
            with m.If(self.last | self.clear):
                m.d.sync += accumulator.eq(0)
            with m.Elif(self.valid):
                m.d.sync += accumulator.eq(total)
            if plane == 0 and most:
                following = following + Mux(more, held << 1, 0)
            with m.If(self.last):
                m.d.sync += held.eq(total)
            with m.Elif(shift):
                m.d.sync += held.eq(following)
            following = held
        m.d.comb += self.sum.eq(following)
        return m
