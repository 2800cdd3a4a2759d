"""Runs layers in frames of four cycles."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from ..host_bus import RUN
from ..records import record_layout
from .counters import CAUSES, FRAME, FrameCounters
from .loader import ROW_WORDS
from .nest import PairNest


__all__ = ["FrameSequencer", "LAYER", "group_layout"]


LAYER = record_layout(isa.Layer)

_LEVEL      = record_layout(isa.Level)
_ENTRY_BITS = isa.ROW_BITS // 2
_ENTRIES    = 5 # of the descriptor, that have fields
_PIXEL      = isa.LEVELS.index("column")
_BLOCK      = isa.LEVELS.index("output_block")

# Fields that are needed all the time; the others are read when they are needed.
_KEPT = ("height", "row_bytes", "padding", "parameters", "shared", "zero_point", "low", "high",
         "after_column", "after_row", "after_block", "channels_log2", "table", "use_table")


def group_layout():
    """One or two pixels whose last step has been issued."""
    return data.StructLayout({
        "last": 1,
        "pair": 1, # there are two
        "next": 2, # what follows the last one; see :func:`result_layout`
    })


class FrameSequencer(wiring.Component):
    """Executes layers one after the other.

    A step takes a frame of four cycles, and is made for two neighbouring pixels of a row if there
    are two. Each group of pixels is followed by a frame in which nothing is read, so that results
    can be written. Between output-channel blocks the results are awaited and the parameters of the
    next block are loaded.

    Before the first step, the steps of one pixel are gone through without effect, which tells how
    far two pixels are apart: descriptors say only what is added from one step to the next.

    Parameters
    ----------
    row_bits : int
        Of the number of a row of program memory.
    drain : int
        Cycles after the last one of a frame until all of its effects are in memory.

    Members
    -------
    run : ``In(stream.Signature(RUN))``
    abort, busy, cycles : In, Out, Out
        See :class:`HostBus`.
    entry : ``Out(3)``
        Of the descriptor, to read.
    descriptor : ``In(144)``
        What is in the entry of the cycle before.
    layer : ``Out(LAYER)``
        Descriptor: fields that are constant during a layer, and those of the entry.
    load : ``Out(1)``, load_row, load_parameters : Out
        Read rows of program memory: those of a descriptor, or of the parameters of a block.
    loading : ``In(1)``
    phase : ``Out(2)``
        Cycle of the frame.
    step : ``Out(1)``
        This is a frame of a step.
    group : ``Out(group_layout())``
        In the last cycle of a step.
    level : ``Out(_LEVEL)``
        See :class:`PairWindows`.
    zero, measured, begin, rotate, take_second, make_second : ``Out(1)``
        See :class:`PairWindows`.
    begin_output : ``Out(1)``
        See :class:`PixelWriter`.
    weight : ``Out(16)``
        Weight word of this step.
    counters : ``Out(stream.Signature(..))``
        Words to write to program memory. Must be taken at once.
    """

    def __init__(self, *, row_bits, drain):
        self.row_bits = row_bits
        self.drain    = drain
        super().__init__({
            "run":          In(stream.Signature(RUN)),
            "abort":        In(1),
            "busy":         Out(1),
            "cycles":       Out(32),
            "entry":        Out(3),
            "descriptor":   In(_ENTRY_BITS),
            "layer":        Out(LAYER),
            "load":         Out(1),
            "load_row":     Out(row_bits),
            "load_parameters": Out(1),
            "loading":      In(1),
            "phase":        Out(2),
            "step":         Out(1),
            "group":        Out(group_layout()),
            "level":        Out(_LEVEL),
            **{name: Out(1) for name in ("zero", "measured", "begin", "rotate", "take_second",
                                         "make_second", "begin_output")},
            "weight":       Out(16),
            "counters":     Out(stream.Signature(data.StructLayout({
                "address": row_bits + ROW_WORDS.bit_length() - 1, "data": 32}))),
        })

    def elaborate(self, platform):
        m = Module()

        # The descriptor: of what lies in the entry that is being read, or was kept.
        seen  = Signal(LAYER)
        lasts = Signal(data.ArrayLayout(_LEVEL["last"].shape, len(isa.LEVELS)), reset_less=True)
        kept  = Signal(data.StructLayout({name: LAYER[name].shape for name in _KEPT}),
                       reset_less=True)
        count = Signal(range(max(self.drain + 5, 8)))
        read  = Signal(range(8))   # entry that is seen
        copy  = Signal()
        m.d.comb += seen.as_value().eq(self.descriptor.replicate(_ENTRIES)[:isa.Layer.width()])
        m.d.comb += self.layer.eq(seen)
        m.d.sync += read.eq(self.entry)
        for name in _KEPT:
            m.d.comb += self.layer[name].eq(kept[name])
            with m.If(copy & (read == LAYER[name].offset // _ENTRY_BITS)):
                m.d.sync += kept[name].eq(seen[name])
        for i, name in enumerate(isa.LEVELS):
            with m.If(copy & (read == i // 2)):
                m.d.sync += lasts[i].eq(seen[name].last)

        m.submodules.nest = nest = PairNest()
        m.d.comb += [nest.lasts.eq(lasts), self.entry.eq(nest.level >> 1)]
        m.d.comb += self.level.eq(Mux(nest.level[0], seen[isa.LEVELS[1]], seen[isa.LEVELS[0]]))

        index, last_index = Signal(8), Signal(8)
        row         = Signal(self.row_bits, reset_less=True) # of the next parameters
        first_block = Signal()
        pair        = Signal()

        # Frames.
        ends    = self.phase == FRAME - 1
        stepping, priming = Signal(), Signal()
        m.d.comb += [
            self.step.eq(stepping),
            self.rotate.eq((stepping | priming) & self.phase[0]),
            nest.advance.eq((stepping | priming) & ends),
            nest.outer.eq(stepping),
            self.group.last.eq(stepping & nest.last),
            self.group.pair.eq(pair),
            self.group.next.eq(nest.level - _PIXEL),
        ]
        with m.If(self.busy):
            m.d.sync += self.phase.eq(self.phase + 1)
        with m.Else():
            m.d.sync += self.phase.eq(0)
        with m.If(self.begin):
            m.d.sync += self.weight.eq(seen.first_weight)
        with m.Elif(stepping & ends):
            m.d.sync += self.weight.eq(self.weight + self.level.weight)

        # What each frame is for. The counters are written to memory and cleared in two frames,
        # which count for the next layer.
        m.submodules.counter = counter = FrameCounters()
        counting = Signal() # cycles of the run
        cause    = Signal(3)
        with m.If(counting):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        m.d.comb += [
            counter.phase.eq(self.phase),
            counter.enable.eq(self.busy & ~counter.clear),
            counter.cause.eq(cause),
            counter.index.eq(count),
            self.counters.payload.data.eq(counter.value),
            self.counters.payload.address.eq(
                (index * isa.LAYER_ROWS + isa.COUNTER_ROW) * ROW_WORDS + (count - 1)[:3]),
        ]

        m.d.sync += count.eq(count + 1)
        m.d.comb += self.load_row.eq(Mux(self.load_parameters, row, index * isa.LAYER_ROWS))

        def stop_if_aborted():
            with m.If(self.abort):
                m.d.sync += count.eq(0)
                m.next = "Stop"

        waiting = cause.eq(Mux(first_block, CAUSES["layer_change"], CAUSES["parameters"]))
        m.d.comb += [self.busy.eq(1), counting.eq(1), cause.eq(CAUSES["layer_change"])]
        with m.FSM(init="Idle"):
            with m.State("Idle"):
                m.d.comb += [self.busy.eq(0), self.run.ready.eq(1), counting.eq(0)]
                m.d.sync += [index.eq(self.run.payload.first),
                             last_index.eq(self.run.payload.last)]
                with m.If(self.run.valid):
                    m.d.sync += self.cycles.eq(0)
                    m.next = "Ask"
            with m.State("Ask"):
                m.d.comb += [self.load.eq(1), nest.clear.eq(1)]
                m.d.sync += first_block.eq(1)
                m.next = "Load"
                stop_if_aborted()
            with m.State("Load"):
                m.d.comb += nest.clear.eq(1)
                m.d.sync += count.eq(0)
                with m.If(~self.loading):
                    m.next = "Copy"
                stop_if_aborted()
            with m.State("Copy"): # the last slice has not been written before the second cycle
                m.d.comb += [copy.eq(1), self.entry.eq(count[:3]), self.zero.eq(1)]
                m.d.sync += row.eq(kept.parameters)
                with m.If(count == _ENTRIES + 2):
                    m.next = "Prepare"
                stop_if_aborted()
            with m.State("Prepare"):
                with m.If(~nest.has_next):
                    m.next = "Place"
                with m.Elif(ends):
                    m.next = "Prime"
                stop_if_aborted()
            with m.State("Prime"):
                m.d.comb += priming.eq(1)
                with m.If(ends & nest.last):
                    m.next = "Measure"
                stop_if_aborted()
            with m.State("Measure"):
                m.d.comb += self.measured.eq(1)
                m.next = "Place"
                stop_if_aborted()
            with m.State("Place"):
                m.d.comb += self.entry.eq(3)
                m.next = "Place Input"
                stop_if_aborted()
            with m.State("Place Input"):
                m.d.comb += [self.entry.eq(4), self.begin.eq(1)]
                m.d.sync += pair.eq(0)
                m.next = "Place Output"
                stop_if_aborted()
            with m.State("Place Output"):
                m.d.comb += self.begin_output.eq(1)
                m.next = "Ask Parameters"
                stop_if_aborted()
            with m.State("Ask Parameters"):
                m.d.comb += [waiting, self.load.eq(1), self.load_parameters.eq(1)]
                m.d.sync += row.eq(row + 2)
                m.next = "Load Parameters"
                stop_if_aborted()
            with m.State("Load Parameters"):
                m.d.comb += waiting
                with m.If(~self.loading & ends):
                    m.next = "Turn"
                stop_if_aborted()
            with m.State("Turn"):
                m.d.comb += cause.eq(CAUSES["requantise"])
                m.d.comb += [
                    self.take_second.eq((self.phase == 0) & pair),
                    self.make_second.eq(self.phase == 1),
                    nest.second.eq((self.phase == 1) & nest.has_next),
                ]
                m.d.sync += first_block.eq(0)
                with m.If(self.phase == 1):
                    m.d.sync += pair.eq(nest.has_next)
                with m.If(ends):
                    m.next = "Step"
                stop_if_aborted()
            with m.State("Step"):
                m.d.comb += [cause.eq(CAUSES["steps"]), stepping.eq(1)]
                m.d.sync += count.eq(0)
                with m.If(ends & nest.last):
                    with m.If(nest.final):
                        m.next = "Finish"
                    with m.Elif(nest.level == _BLOCK):
                        m.next = "Drain"
                    with m.Else():
                        m.next = "Turn"
                stop_if_aborted()
            with m.State("Drain"):
                m.d.comb += cause.eq(CAUSES["parameters"])
                with m.If(count >= self.drain):
                    with m.If(~kept.shared):
                        m.next = "Ask Parameters"
                    with m.Elif(ends):
                        m.next = "Turn"
                stop_if_aborted()
            with m.State("Finish"):
                with m.If((count >= self.drain) & ends):
                    m.d.sync += count.eq(0)
                    m.next = "Count"
                stop_if_aborted()
            with m.State("Count"):
                m.d.comb += [counter.clear.eq(1), counter.preset.eq(index != last_index),
                             counting.eq(index != last_index), self.counters.valid.eq(count != 0)]
                with m.If(count == 2 * FRAME - 1):
                    m.d.sync += index.eq(index + 1)
                    m.next = "Ask"
                    with m.If(index == last_index):
                        m.next = "Idle"
                stop_if_aborted()
            with m.State("Stop"):
                m.d.comb += [counting.eq(0), counter.clear.eq(1)]
                with m.If(count == self.drain):
                    m.next = "Idle"
        return m
