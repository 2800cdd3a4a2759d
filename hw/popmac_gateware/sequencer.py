"""Runs layers: fetches descriptors, issues steps, counts cycles."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .host_bus import RUN
from .loop_nest import LoopNest
from .parameter_loader import parameter_blocks_layout
from .pipeline import delay
from .program_memory import program_write_layout
from .records import record_layout
from .tags import parameter_slots, tag_layout


__all__ = ["Sequencer", "LAYER", "issue_layout"]


LAYER = record_layout(isa.Layer)

_COUNTERS = record_layout(isa.LayerCounters)
_KERNEL_ROW = isa.LEVELS.index("kernel_row")
_CAUSES   = ("steps", "requantise", "parameters", "weights", "link", "layer_change")


def issue_layout(arch):
    """A step on its way, and where it stands in its pixel and layer."""
    return data.StructLayout({
        "valid":   1,
        "goes_on": len(isa.LEVELS),
        "first":   1,
        "double":  1, # the binary engine's sums so far count twice
        "last":    1,
        "tag":     tag_layout(arch),
    })


class Sequencer(wiring.Component):
    """Executes layers one after the other, one step per cycle.

    The descriptor of a layer is fetched while the results of the layer before are on their way;
    its first step is issued when these have been written.

    Parameters
    ----------
    arch : :class:`ArchConfig`
    drain : int
        Cycles after which no step that was issued has any effect any more.

    Members
    -------
    run : ``In(stream.Signature(RUN))``
    abort : ``In(1)``
        Stop, and be ready again when nothing is on its way any more.
    busy : ``Out(1)``
    cycles : ``Out(32)``
        Since the run command was taken; stays when the run has ended.
    request : ``Out(stream.Signature(range(program_rows)))``, reply_valid, reply_data : In
        Program memory.
    blocks : ``Out(stream.Signature(parameter_blocks_layout(arch)))``
        Parameters that the layer will need.
    flush : ``Out(1)``
        Forget about all parameters.
    loaded : ``In(1)``
        One more block of parameters is there.
    hold : ``In(1)``
        Do not issue a step in this cycle.
    next_layer : ``Out(LAYER)``
        Descriptor of the layer to issue.
    layer : ``Out(LAYER)``
        Descriptor of the layer whose results are being written.
    begin : ``Out(1)``
        The first step of ``next_layer`` may be issued in the cycle after, from whose end on
        ``layer`` is the same.
    issue : ``Out(issue_layout(arch))``
    finished : ``In(1)``
        The last results of the layer are being written; new steps will find them.
    counters : ``Out(stream.Signature(program_write_layout(arch)))``
        What was counted in a layer, for the last row of its descriptor. Must be taken at once.
    """

    def __init__(self, arch, *, drain):
        self.arch  = arch
        self.drain = drain
        rows       = range(arch.program_rows)
        super().__init__({
            "run":         In(stream.Signature(RUN)),
            "abort":       In(1),
            "busy":        Out(1),
            "cycles":      Out(32),
            "request":     Out(stream.Signature(rows)),
            "reply_valid": In(1),
            "reply_data":  In(isa.ROW_BITS),
            "blocks":      Out(stream.Signature(parameter_blocks_layout(arch))),
            "flush":       Out(1),
            "loaded":      In(1),
            "hold":        In(1),
            "next_layer":  Out(LAYER),
            "layer":       Out(LAYER),
            "begin":       Out(1),
            "issue":       Out(issue_layout(arch)),
            "finished":    In(1),
            "counters":    Out(stream.Signature(program_write_layout(arch))),
        })

    def elaborate(self, platform):
        m = Module()

        # Descriptor, row by row.
        rows     = [Signal(isa.ROW_BITS, name=f"descriptor_{i}", reset_less=True)
                    for i in range(isa.COUNTER_ROW)]
        asked    = Signal(range(isa.COUNTER_ROW + 1))
        received = Signal(range(isa.COUNTER_ROW + 1))
        m.d.comb += self.next_layer.as_value().eq(Cat(rows))
        with m.If(self.reply_valid):
            m.d.sync += [
                received.eq(received + 1),
                Cat(rows).eq(Cat(rows[1:], self.reply_data)),
            ]
        complete = Signal() # for one cycle
        m.d.sync += complete.eq(0)

        index      = Signal(8)
        last_index = Signal(8)
        at_last    = Signal() # index is the last one; while there are steps
        m.d.sync += at_last.eq(index == last_index)
        m.d.comb += [
            self.request.payload.eq(index * isa.LAYER_ROWS + asked),
            self.blocks.payload.row.eq(self.next_layer.parameters),
            self.blocks.payload.last.eq(Mux(self.next_layer.shared, 0,
                                            self.next_layer.output_block.last)),
        ]

        # The nest is one step ahead of ``step``, which is thus known early in the cycle.
        m.submodules.nest = nest = LoopNest()
        m.d.comb += [nest.lasts[i].eq(self.next_layer[name].last)
                     for i, name in enumerate(isa.LEVELS)]
        step  = Signal(data.StructLayout({
            "goes_on": len(isa.LEVELS), "first": 1, "double": 1, "last": 1, "final": 1,
            "release": 1,
        }))
        stale = Signal() # ``step`` is not of this layer, but the nest is
        final = nest.goes_on == 0
        double = step.goes_on[_KERNEL_ROW] & ~nest.first & (
            (self.next_layer.doubling == isa.Doubling.ALWAYS)
            | ((self.next_layer.doubling == isa.Doubling.BUT_LAST) & ~nest.last_row))

        # What a step has to wait for.
        slots     = parameter_slots(self.arch)
        slot      = Signal(range(slots))
        available = Signal(slots) # as many ones, from the lowest bit on, as there are blocks
        busy_for  = Signal.like(self.layer.last_phase)
        occupied  = Signal() # busy_for is not 0
        blocked   = Signal() # the step has to wait for one of these two
        issuing   = Signal()
        go        = Signal()
        waits     = {
            "link":       self.hold,
            "requantise": step.last & occupied,
            "parameters": step.last & ~available[0],
        }
        m.d.comb += [
            go.eq(issuing & ~self.hold & ~blocked),
            nest.advance.eq(go | stale),
            nest.begin.eq(complete),
        ]
        with m.If(nest.advance):
            m.d.sync += [
                step.goes_on.eq(nest.goes_on),
                step.first.eq(nest.first),
                step.double.eq(double),
                step.last.eq(nest.last),
                step.final.eq(final),
                step.release.eq(nest.last & (final | (nest.goes_on[5] & ~self.next_layer.shared))),
                stale.eq(0),
            ]
        with m.If(complete):
            m.d.sync += stale.eq(1)

        # The step, and the label of the pixel that it belongs to.
        m.d.comb += [
            self.issue.valid.eq(go),
            self.issue.goes_on.eq(step.goes_on),
            self.issue.first.eq(step.first),
            self.issue.double.eq(step.double),
            self.issue.last.eq(step.last),
            self.issue.tag.slot.eq(slot),
            self.issue.tag.column.eq(step.goes_on[3]),
            self.issue.tag.row.eq(step.goes_on[4]),
            self.issue.tag.block.eq(step.goes_on[5]),
            self.issue.tag.final.eq(step.final),
            self.issue.tag.release.eq(step.release),
        ]
        # Both outcomes of this cycle are prepared, and ``go`` only selects.
        long    = Signal() # a pixel occupies the requantiser for more than a cycle
        going   = {"available": Mux(step.release, Mux(self.loaded, available, available[1:]),
                                    Mux(self.loaded, Cat(1, available), available)[:slots]),
                   "occupied":  Mux(step.last, long, occupied & (busy_for != 1))}
        staying = {"available": Mux(self.loaded, Cat(1, available), available)[:slots],
                   "occupied":  occupied & (busy_for != 1)}

        def is_blocked(last, after):
            return last & (after["occupied"] | ~after["available"][0])

        m.d.sync += [
            long.eq(self.next_layer.last_phase != 0),
            available.eq(Mux(go, going["available"], staying["available"])),
            occupied.eq(Mux(go, going["occupied"], staying["occupied"])),
            blocked.eq(Mux(go, is_blocked(nest.last, going),
                           is_blocked(Mux(stale, nest.last, step.last), staying))),
        ]
        with m.If(go & step.last):
            m.d.sync += [busy_for.eq(self.next_layer.last_phase), slot.eq(slot + step.release)]
        with m.Elif(occupied):
            m.d.sync += busy_for.eq(busy_for - 1)

        # What this cycle was for, counted in the next one.
        in_flight = Signal() # results of a layer are awaited
        stopping  = Signal()
        counting  = Signal()
        ended     = Signal()
        started   = Signal()
        cause     = Signal(data.StructLayout(dict.fromkeys(_CAUSES, 1)))
        m.d.sync += [
            counting.eq(self.busy & ~stopping),
            ended.eq(self.busy & ~stopping & in_flight & self.finished),
            started.eq(self.run.valid & self.run.ready),
            cause.layer_change.eq(~issuing),
            cause.steps.eq(go),
            cause.link.eq(issuing & waits["link"]),
            cause.requantise.eq(issuing & ~waits["link"] & waits["requantise"]),
            cause.parameters.eq(issuing & ~waits["link"] & ~waits["requantise"]
                                & waits["parameters"]),
        ]
        written  = Signal(8) # the layer that is counted
        counters = Signal(_COUNTERS)
        counted  = Signal(_COUNTERS)
        m.d.comb += [
            counted.cycles.eq(counters.cycles + 1),
            *(counted[name].eq(counters[name] + cause[name]) for name in _CAUSES),
            self.counters.valid.eq(ended),
            self.counters.payload.row.eq(written * isa.LAYER_ROWS + isa.COUNTER_ROW),
            self.counters.payload.data.eq(counted),
        ]
        with m.If(counting):
            m.d.sync += [counters.eq(counted), self.cycles.eq(self.cycles + 1)]
        with m.If(started):
            m.d.sync += self.cycles.eq(0)
        with m.If(started | ended):
            m.d.sync += counters.eq(0)
        with m.If(self.finished):
            m.d.sync += in_flight.eq(0)

        begun = delay(m, self.begin, 1, name="begun")
        with m.If(begun):
            m.d.sync += self.layer.eq(self.next_layer)

        left = Signal(range(self.drain + 1))
        m.d.sync += left.eq(self.drain)

        def stop_if_aborted():
            with m.If(self.abort):
                m.d.sync += issuing.eq(0)
                m.next = "Stop"

        m.d.comb += self.busy.eq(1)
        with m.FSM(init="Idle"):
            with m.State("Idle"):
                m.d.comb += [self.busy.eq(0), self.run.ready.eq(1), self.flush.eq(1)]
                m.d.sync += [asked.eq(0), received.eq(0), slot.eq(0), available.eq(0)]
                with m.If(self.run.valid):
                    m.d.sync += [
                        index.eq(self.run.payload.first),
                        last_index.eq(self.run.payload.last),
                        in_flight.eq(0),
                    ]
                    m.next = "Fetch"
            with m.State("Fetch"):
                m.d.comb += self.request.valid.eq(asked != isa.COUNTER_ROW)
                with m.If(self.request.valid & self.request.ready):
                    m.d.sync += asked.eq(asked + 1)
                with m.If(received == isa.COUNTER_ROW):
                    m.d.sync += complete.eq(1)
                    m.next = "Announce"
                stop_if_aborted()
            with m.State("Announce"):
                m.d.sync += [asked.eq(0), received.eq(0)]
                m.d.comb += self.blocks.valid.eq(1)
                with m.If(self.blocks.ready):
                    m.next = "Begin"
                stop_if_aborted()
            with m.State("Begin"):
                with m.If(~in_flight):
                    m.d.comb += self.begin.eq(1)
                    m.d.sync += [
                        in_flight.eq(1),
                        written.eq(index),
                    ]
                    m.d.sync += issuing.eq(1)
                    m.next = "Issue"
                stop_if_aborted()
            with m.State("Issue"):
                with m.If(go & step.final):
                    m.d.sync += [index.eq(index + 1), issuing.eq(0)]
                    with m.If(at_last):
                        m.next = "Finish"
                    with m.Else():
                        m.next = "Fetch"
                stop_if_aborted()
            with m.State("Finish"):
                with m.If(~in_flight):
                    m.next = "Idle"
                stop_if_aborted()
            with m.State("Stop"):
                m.d.comb += stopping.eq(1)
                m.d.sync += left.eq(left - 1)
                with m.If(left == 0):
                    m.next = "Idle"
        return m
