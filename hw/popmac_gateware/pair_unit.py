"""Element-wise operations between words of activation memory."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa
from popmac.arch import ACCUMULATOR_BITS

from .pipeline import delay, hop
from .primitives.lut_multiplier import LutMultiplier
from .records import record_layout
from .requantize_lane import PAIR_OPERANDS
from .tags import done_layout, tag_layout


__all__ = ["PairUnit", "operation_layout", "pair_step_layout"]


def operation_layout():
    """The fields of a layer descriptor that say what is done with two operands."""
    layer = record_layout(isa.Layer)
    return data.StructLayout({name: layer[name].shape for name in (
        "unit", "padding", "second_zero_point")})


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

    For PAIR the first and the last word of each pixel; for DIFFERENCE, the last one inverted; for
    MAXIMUM the greatest of its words, and 0; for UNION the bits of all its words, and 0; for
    PRODUCT the product of the first and the last word, each less its zero point.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    step : ``In(pair_step_layout(arch))``
    operation : ``In(operation_layout())``
        Constant during a layer.
    operands : ``Out(ArrayLayout(signed(ACCUMULATOR_BITS), lanes))``
        ``PAIR_OPERANDS``, or products. Phase ``p`` of lane ``j`` is there ``1 + p + j // 2``
        cycles after ``done``.
    done : ``Out(done_layout(arch))``
        :attr:`LATENCY` cycles after the last step of a pixel.
    """

    LATENCY = 6 + LutMultiplier.LATENCY

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "step":      In(pair_step_layout(arch)),
            "operation": In(operation_layout()),
            "operands":  Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), arch.lanes)),
            "done":      Out(done_layout(arch)),
        })

    def elaborate(self, platform):
        m = Module()
        arch = self.arch
        word = data.ArrayLayout(signed(8), arch.rows)

        # What is done, as bits beside the words.
        alone, union, inverted, product = (Signal(name=name) for name in
                                           ("alone", "union", "inverted", "product"))
        m.d.sync += [
            alone.eq((self.operation.unit == isa.Unit.MAXIMUM)
                     | (self.operation.unit == isa.Unit.UNION)),
            union.eq(self.operation.unit == isa.Unit.UNION),
            inverted.eq(self.operation.unit == isa.Unit.DIFFERENCE),
            product.eq(self.operation.unit == isa.Unit.PRODUCT),
        ]

        # Cycle 0: bring the window here. Cycle 1: compare it with what will be held. Cycle 2: hold
        # the greater one.
        coming = delay(m, self.step.window, 1, name="coming")
        window = delay(m, coming, 1, name="window")
        step   = delay(m, Cat(self.step.valid & self.step.last, self.step.tag), 2, name="step")
        early  = delay(m, Cat(self.step.valid, self.step.first, self.step.last), 1, name="early")
        held, first, second = (Signal(word, name=name, reset_less=True)
                               for name in ("held", "first", "second"))
        for group in range(0, arch.rows, 4): # each with what decides on it beside it
            valid = hop(m, early[0], name=f"valid_{group}")
            start = hop(m, early[1], name=f"start_{group}")
            end   = hop(m, early[0] & early[2], name=f"end_{group}")
            one   = hop(m, alone, name=f"alone_{group}")
            join  = hop(m, union, name=f"union_{group}")
            flip  = hop(m, inverted, name=f"inverted_{group}")
            for i in range(group, group + 4):
                new     = window[i] | Mux(join & ~start, held[i], 0)
                greater = Signal(name=f"greater_{i}", reset_less=True) # held[i] > window[i]
                keep    = ~start & (~one | (~join & greater))
                m.d.sync += greater.eq(Mux(valid & ~keep, window[i] > coming[i],
                                           held[i] > coming[i]))
                with m.If(valid & ~keep):
                    m.d.sync += held[i].eq(new)
                with m.If(end):
                    m.d.sync += [
                        first[i].eq(Mux(keep, held[i], new)),
                        second[i].eq(Mux(one, 0, new ^ flip.replicate(8))),
                    ]
        # Cycle 3: one phase after the other.
        done      = Signal(done_layout(arch))
        phase     = Signal(range(arch.phases))
        following = Signal.like(phase)
        m.d.comb += phase.eq(Mux(done.valid, 0, following))
        m.d.sync += [
            following.eq(phase + 1),
            done.eq(step),
        ]
        m.d.comb += self.done.eq(delay(m, done, self.LATENCY - 3, name="done"))
        for j in range(arch.lanes):
            channels = [f * arch.lanes + j for f in range(arch.rows // arch.lanes)]
            operands = []
            for name, held_word in (("first", first), ("second", second)):
                operand = Signal(signed(8), name=f"{name}_{j}")
                m.d.comb += operand.eq(Array(held_word[c] for c in channels)[phase])
                operands.append(delay(m, operand, 1 + j // 2, name=f"s3_{name}_{j}"))

            # Cycle 4: less the zero points. Cycle 5: a factor without a sign, for the multiplier.
            centred = []
            for name, operand, zero in (
                    ("first", operands[0], self.operation.padding),
                    ("second", operands[1], self.operation.second_zero_point)):
                difference = Signal(signed(9), name=f"centred_{name}_{j}", reset_less=True)
                m.d.sync += difference.eq(operand - hop(m, zero, name=f"zero_{name}_{j}"))
                centred.append(difference)
            m.submodules[f"multiplier_{j}"] = multiplier = LutMultiplier(9)
            a = Signal(signed(9), name=f"a_{j}", reset_less=True)
            b = Signal(8, name=f"b_{j}", reset_less=True)
            m.d.sync += [
                a.eq(Mux(centred[1] < 0, -centred[0], centred[0])),
                b.eq(abs(centred[1])),
            ]
            m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]

            # Cycle 9: the product, or both operands as they were.
            pair = Signal(PAIR_OPERANDS, name=f"pair_{j}")
            m.d.comb += [pair.first.eq(operands[0]), pair.second.eq(operands[1])]
            pair = delay(m, pair.as_value(), self.LATENCY - 4, name=f"operands_{j}")
            m.d.sync += self.operands[j].eq(
                Mux(hop(m, product, name=f"product_{j}"), multiplier.product, pair))
        return m
