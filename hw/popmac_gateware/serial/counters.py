"""Counts what the frames of a layer are for."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa


__all__ = ["FrameCounters", "CAUSES", "FRAME"]


#: What a frame may be for, by name of its counter -> index of its word.
CAUSES = {name: i for i, name in enumerate(isa.LayerCounters.__dataclass_fields__)}

#: Cycles of a frame.
FRAME  = 4

_WORDS = 8


class FrameCounters(wiring.Component):
    """Counters of 32 bits in block RAM, of which two go on in each frame.

    Members
    -------
    phase : ``In(2)``
        Cycle of the frame.
    enable : ``In(1)``
        Count this frame; constant during it.
    cause : ``In(3)``
        What for; taken in phase 0.
    clear : ``In(1)``
        Instead, go through all counters in two frames, and set them to 0.
    index : ``In(3)``
        Which counter, while ``clear``.
    preset : ``In(1)``
        Set ``cycles`` and ``layer_change`` to the cycles that clearing takes, instead of 0.
    value : ``Out(32)``
        Counter ``index`` of the cycle before, while ``clear``.
    """

    def __init__(self):
        super().__init__({
            "phase":  In(2),
            "enable": In(1),
            "cause":  In(3),
            "clear":  In(1),
            "index":  In(3),
            "preset": In(1),
            "value":  Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counts = counts = memory.Memory(shape=32, depth=_WORDS, init=[],
                                                     attrs={"ram_style": "block"})
        write, read = counts.write_port(), counts.read_port()

        # Phase 0: read the cycles. Phase 1: write them, read the cause. Phase 2: write that.
        cause = Signal.like(self.cause, reset_less=True)
        with m.If(self.phase == 0):
            m.d.sync += cause.eq(self.cause)
        is_preset = self.preset & ((self.index == CAUSES["cycles"])
                                   | (self.index == CAUSES["layer_change"]))
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(Mux(self.clear, self.index, Mux(self.phase[0], cause, 0))),
            write.en.eq(self.clear | (self.enable & (self.phase[0] ^ self.phase[1]))),
            write.addr.eq(Mux(self.clear, self.index, Mux(self.phase[0], 0, cause))),
            write.data.eq(Mux(self.clear, Mux(is_preset, 2 * FRAME, 0), read.data + FRAME)),
            self.value.eq(read.data),
        ]
        return m
