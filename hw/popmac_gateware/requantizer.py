"""The requantiser: lanes, and the order in which the sums of a pixel pass through them."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac.arch import ACCUMULATOR_BITS

from .pipeline import delay, hop
from .requantize_lane import PARAMETERS, RequantizeLane
from .saturating_shift import CLAMP
from .tags import done_layout, parameter_slots, tag_layout


__all__ = ["Requantizer", "results_layout", "parameter_write_layout"]


def results_layout(arch):
    """Results of one phase of a pixel."""
    return data.StructLayout({
        "valid": 1,
        "data":  data.ArrayLayout(signed(8), arch.lanes),
        "phase": range(arch.all_phases),
        "last":  1, # phase of its pixel
        "tag":   tag_layout(arch),
    })


def parameter_write_layout(arch):
    """Parameters of two neighbouring channels, on their way to their lanes."""
    return data.StructLayout({
        "valid":   1,
        "slot":    range(parameter_slots(arch)),
        "pair":    range(arch.columns // 2), # of channels
        "records": data.ArrayLayout(PARAMETERS, 2),
    })


class Requantizer(wiring.Component):
    """``lanes`` results per cycle, from sums of the array or from operands of the pair unit.

    The channels of a pixel are taken in ``phases``, one per cycle: lane ``j`` takes the sums of
    columns ``j``, ``lanes + j``, and so on; of several planes, it takes them again. The columns of
    the array run one behind the other by a cycle per pair; so do the lanes. Sums of earlier phases
    are kept back until their lane is due.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    sums : ``In(ArrayLayout(signed(ACCUMULATOR_BITS), columns))``
        Column ``c`` is sampled ``phase(c) + j // 2`` cycles after ``start``, and must have had
        its value :attr:`lead` ``- (phases - 1 - phase(c)) * (lanes // 2 - 1)`` cycles earlier.
    operands : ``In(ArrayLayout(signed(ACCUMULATOR_BITS), lanes))``
        In the place of ``sums`` if ``elementwise``; lane ``j`` takes those of phase ``p``
        ``p + j // 2`` cycles after ``start``.
    start : ``In(done_layout(arch))``
        Take a pixel. At most every ``last_phase + 1`` cycles.
    last_phase, elementwise, pair, clamp : In
        Constant during a layer.
    results : ``Out(results_layout(arch))``
    parameters : ``In(parameter_write_layout(arch))``
        Takes effect within ``lanes // 2`` cycles.

    Timing
    ------
    The results of phase 0 follow ``start`` by :attr:`latency` cycles.
    """

    def __init__(self, arch):
        self.arch    = arch
        #: Cycles by which ``start`` has to follow the arrival of column 0.
        self.lead    = (arch.phases - 1) * (arch.lanes // 2 - 1)
        self.latency = RequantizeLane.LATENCY + arch.lanes // 2 - 1
        super().__init__({
            "sums":         In(data.ArrayLayout(signed(ACCUMULATOR_BITS), arch.columns)),
            "operands":     In(data.ArrayLayout(signed(ACCUMULATOR_BITS), arch.lanes)),
            "start":        In(done_layout(arch)),
            "last_phase":   In(range(arch.all_phases)),
            "elementwise":  In(1),
            "pair":         In(1),
            "clamp":        In(CLAMP),
            "results":      Out(results_layout(arch)),
            "parameters":   In(parameter_write_layout(arch)),
        })

    def elaborate(self, platform):
        m = Module()
        arch       = self.arch
        lane_pairs = arch.lanes // 2

        # Count the phases of each pixel.
        turn = data.StructLayout({
            "valid": 1,
            "phase": range(arch.all_phases),
            "last":  1,
            "tag":   tag_layout(arch),
        })
        current = Signal(turn)
        kept    = Signal(turn)
        m.d.comb += current.eq(kept)
        with m.If(self.start.valid):
            m.d.comb += [
                current.valid.eq(1),
                current.phase.eq(0),
                current.last.eq(self.last_phase == 0),
                current.tag.eq(self.start.tag),
            ]
        m.d.sync += [
            kept.valid.eq(current.valid & ~current.last),
            kept.phase.eq(current.phase + 1),
            kept.last.eq(current.phase + 1 == self.last_phase),
            kept.tag.eq(current.tag),
        ]

        # Parameters arrive for a pair of lanes at a time, and pass by all of them.
        write      = Signal(parameter_write_layout(arch))
        phase_bits = exact_log2(arch.phases)
        m.d.comb += write.eq(self.parameters)

        results = Signal(data.ArrayLayout(signed(8), arch.lanes))
        moving  = current
        for p in range(lane_pairs):
            if p > 0:
                moving = hop(m, moving, name=f"turn_{p}")
                write  = hop(m, write, name=f"write_{p}")
            write_phase = write.pair[exact_log2(lane_pairs):]
            elementwise = hop(m, self.elementwise, name=f"elementwise_{p}")
            pair  = hop(m, self.pair, name=f"pair_{p}")
            clamp = hop(m, self.clamp, name=f"clamp_{p}")
            phase = moving.phase[:phase_bits]
            for j in (2*p, 2*p + 1):
                m.submodules[f"lane_{j}"] = lane = RequantizeLane()
                sums = Array(
                    delay(m, self.sums[f * arch.lanes + j],
                          (arch.phases - 1 - f) * (lane_pairs - 1), name=f"kept_{f}_{j}")
                    for f in range(arch.phases))
                m.d.comb += [
                    lane.sum.eq(Mux(elementwise, self.operands[j], sums[phase])),
                    lane.entry.eq(Cat(phase, moving.tag.slot)),
                    lane.pair.eq(pair),
                    lane.clamp.eq(clamp),
                    lane.write_enable.eq(write.valid
                                         & (write.pair[:exact_log2(lane_pairs)] == p)),
                    lane.write_entry.eq(Cat(write_phase[:phase_bits], write.slot)),
                    lane.write_data.eq(write.records[j % 2]),
                    results[j].eq(delay(m, lane.result, lane_pairs - 1 - p, name=f"result_{j}")),
                ]

        outgoing = delay(m, current, self.latency, name="outgoing")
        m.d.comb += [
            self.results.valid.eq(outgoing.valid),
            self.results.phase.eq(outgoing.phase),
            self.results.last.eq(outgoing.last),
            self.results.tag.eq(outgoing.tag),
            self.results.data.eq(results),
        ]
        return m
