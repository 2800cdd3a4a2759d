"""The six loops of a layer."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .records import record_layout


__all__ = ["LoopNest"]


_LAST  = record_layout(isa.Level)["last"].shape
_PIXEL = isa.LEVELS.index("column") # loops below this one belong to a pixel
_ROW   = isa.LEVELS.index("kernel_row")


class LoopNest(wiring.Component):
    """Counts through the loops of a layer, one step per cycle.

    Members
    -------
    lasts : ``In(ArrayLayout(_, 6))``
        Index of the last iteration of each loop, innermost first; constant during a layer.
    begin : ``In(1)``
        Go to the first step.
    advance : ``In(1)``
        Go to the next step.
    goes_on : ``Out(6)``
        One-hot: the loop that goes on when this step is done; 0 at the last step.
    first, last : ``Out(1)``
        This is the first, or the last, step of its pixel.
    last_row : ``Out(1)``
        This is the last iteration of the loop over kernel rows.
    """

    def __init__(self):
        super().__init__({
            "lasts":   In(data.ArrayLayout(_LAST, len(isa.LEVELS))),
            "begin":   In(1),
            "advance": In(1),
            "goes_on": Out(len(isa.LEVELS)),
            "first":   Out(1),
            "last":    Out(1),
            "last_row": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        # Whether a loop is in its last iteration is kept in a register: it is needed at once.
        at_last  = Signal(len(isa.LEVELS))
        inner    = 1 # all loops inside of this one are in their last iteration
        for i in range(len(isa.LEVELS)):
            left = Signal(_LAST, name=f"left_{i}", reset_less=True)
            last = self.lasts[i]
            with m.If(self.begin | (self.advance & inner)):
                with m.If(self.begin | at_last[i]):
                    m.d.sync += [left.eq(last), at_last[i].eq(last == 0)]
                with m.Else():
                    m.d.sync += [left.eq(left - 1), at_last[i].eq(left == 1)]
            m.d.comb += self.goes_on[i].eq(inner & ~at_last[i])
            inner = inner & at_last[i]
        m.d.comb += [self.last.eq(at_last[:_PIXEL].all()), self.last_row.eq(at_last[_ROW])]
        with m.If(self.begin):
            m.d.sync += self.first.eq(1)
        with m.Elif(self.advance):
            m.d.sync += self.first.eq(self.last)
        return m
