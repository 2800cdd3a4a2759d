"""The six loops of a layer, where pixels are taken in pairs."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from ..records import record_layout


__all__ = ["PairNest"]


_LAST   = record_layout(isa.Level)["last"].shape
_LEVELS = len(isa.LEVELS)
_PIXEL  = isa.LEVELS.index("column") # loops below this one belong to a pixel


class PairNest(wiring.Component):
    """Counts through the loops of a layer, a step of one or two pixels at a time.

    Members
    -------
    lasts : ``In(ArrayLayout(_, 6))``
        Index of the last iteration of each loop, innermost first; constant during a layer.
    clear : ``In(1)``
        Go to the first step.
    advance : ``In(1)``
        Go to the next step.
    outer : ``In(1)``
        With ``advance``: the loops over pixels and output blocks go on, too.
    second : ``In(1)``
        Take the next pixel of the row together with this one. Not in the cycle of ``advance``.
    level : ``Out(range(6))``
        The loop that goes on when this step is done.
    last : ``Out(1)``
        This is the last step of its pixels.
    final : ``Out(1)``
        This is the last step of all.
    has_next : ``Out(1)``
        There is another pixel in the row.

    Timing
    ------
    Outputs are combinational functions of the counters.
    """

    def __init__(self):
        super().__init__({
            "lasts":    In(data.ArrayLayout(_LAST, _LEVELS)),
            "clear":    In(1),
            "advance":  In(1),
            "outer":    In(1),
            "second":   In(1),
            "level":    Out(range(_LEVELS)),
            "last":     Out(1),
            "final":    Out(1),
            "has_next": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        indices = [Signal(_LAST, name=f"index_{i}", reset_less=True) for i in range(_LEVELS)]
        at_last = Signal(_LEVELS)
        m.d.comb += [at_last[i].eq(indices[i] == self.lasts[i]) for i in range(_LEVELS)]

        ended = Const(1) # all loops inside of this one
        for i, index in enumerate(indices):
            goes_on = self.advance & ended
            if i >= _PIXEL:
                goes_on = goes_on & self.outer
            if i == _PIXEL:
                goes_on = goes_on | self.second
            with m.If(goes_on):
                m.d.sync += index.eq(index + 1)
            with m.If(goes_on & at_last[i] & ~self.second | self.clear):
                m.d.sync += index.eq(0)
            ended = ended & at_last[i]

        for i in reversed(range(_LEVELS)):
            with m.If(~at_last[i]):
                m.d.comb += self.level.eq(i)
        # The condition that was written last is that of the innermost loop.
        m.d.comb += [
            self.last.eq(at_last[:_PIXEL].all()),
            self.final.eq(at_last.all()),
            self.has_next.eq(~at_last[_PIXEL]),
        ]
        return m
