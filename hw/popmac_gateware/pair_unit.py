"""Element-wise operations between words of activation memory."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac.arch import ACCUMULATOR_BITS

from .pipeline import delay, hop
from .requantize_lane import PAIR_OPERANDS
from .tags import done_layout, tag_layout


__all__ = ["PairUnit", "pair_step_layout"]


def pair_step_layout(arch):
    """What enters the pair unit in one cycle."""
    return data.StructLayout({
        "window": data.ArrayLayout(signed(8), arch.rows),
        "valid":  1,
        "first":  1, # step of its pixel
        "last":   1,
        "tag":    tag_layout(arch),
    })


class PairUnit(wiring.Component):
    """Operands for the lanes of the requantiser, channel by channel.

    Either the first and the last word of each pixel, or the greatest of its words and 0.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    step : ``In(pair_step_layout(arch))``
    maximum : ``In(1)``
        Take the greatest; constant during a layer.
    operands : ``Out(ArrayLayout(signed(ACCUMULATOR_BITS), lanes))``
        Phase ``p`` of lane ``j`` is there ``1 + p + j // 2`` cycles after ``done``.
    done : ``Out(done_layout(arch))``
        Two cycles after the last step of a pixel.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "step":     In(pair_step_layout(arch)),
            "maximum":  In(1),
            "operands": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), arch.lanes)),
            "done":     Out(done_layout(arch)),
        })

    def elaborate(self, platform):
        m = Module()
        arch = self.arch
        word = data.ArrayLayout(signed(8), arch.rows)

        # Cycle 0: bring the window here. Cycle 1: compare it with what is held.
        window = delay(m, self.step.window, 1, name="window")
        step   = delay(m, Cat(self.step.valid & self.step.last, self.step.tag), 1, name="step")
        held, first, second = (Signal(word, name=name, reset_less=True)
                               for name in ("held", "first", "second"))
        for group in range(0, arch.rows, 4): # each with what decides on it beside it
            is_valid = hop(m, self.step.valid, name=f"valid_{group}")
            is_first = hop(m, self.step.first, name=f"first_{group}")
            is_last  = hop(m, self.step.valid & self.step.last, name=f"last_{group}")
            maximum  = hop(m, self.maximum, name=f"maximum_{group}")
            for i in range(group, group + 4):
                new  = window[i]
                keep = ~is_first & (~maximum | (held[i] > new))
                with m.If(is_valid & ~keep):
                    m.d.sync += held[i].eq(new)
                with m.If(is_last):
                    m.d.sync += [
                        first[i].eq(Mux(keep, held[i], new)),
                        second[i].eq(Mux(maximum, 0, new)),
                    ]
        # Cycle 2: one phase after the other.
        phase     = Signal(range(arch.phases))
        following = Signal.like(phase)
        m.d.comb += phase.eq(Mux(self.done.valid, 0, following))
        m.d.sync += [
            following.eq(phase + 1),
            Cat(self.done.valid, self.done.tag).eq(step),
        ]
        for j in range(arch.lanes):
            pair     = Signal(PAIR_OPERANDS, name=f"pair_{j}")
            channels = [f * arch.lanes + j for f in range(arch.rows // arch.lanes)]
            m.d.comb += [
                pair.first.eq(Array(first[c] for c in channels)[phase]),
                pair.second.eq(Array(second[c] for c in channels)[phase]),
                self.operands[j].eq(delay(m, pair.as_value(), 1 + j // 2, name=f"operands_{j}")),
            ]
        return m
