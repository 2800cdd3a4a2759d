"""Fetches the parameters of output-channel blocks before the lanes need them."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .records import record_layout
from .requantizer import parameter_write_layout
from .tags import parameter_slots


__all__ = ["ParameterLoader", "parameter_blocks_layout"]


def parameter_blocks_layout(arch):
    """Where the parameters of a layer are."""
    layer = record_layout(isa.Layer)
    return data.StructLayout({
        "row":  range(arch.program_rows), # of the first block
        "last": layer["output_block"].shape["last"].shape, # index of the last block
    })


class ParameterLoader(wiring.Component):
    """Copies parameters, two channels per cycle, from program memory to the slots of the lanes.

    Blocks are copied in order, slot after slot, as slots are released.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    flush : ``In(1)``
        Begin anew: all slots are free, the next block goes to slot 0. Nothing may be under way.
    layer : ``In(stream.Signature(parameter_blocks_layout(arch)))``
        Blocks to copy; taken when those of the layer before have been asked for.
    request : ``Out(stream.Signature(range(program_rows)))``
        To program memory.
    reply_valid, reply_data : In
        From program memory, in order.
    parameters : ``Out(parameter_write_layout(arch))``
    loaded : ``Out(1)``
        The lanes have the parameters of one more block.
    release : ``In(1)``
        The oldest block is not needed any more.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "flush":       In(1),
            "layer":       In(stream.Signature(parameter_blocks_layout(arch))),
            "request":     Out(stream.Signature(range(arch.program_rows))),
            "reply_valid": In(1),
            "reply_data":  In(isa.ROW_BITS),
            "parameters":  Out(parameter_write_layout(arch)),
            "loaded":      Out(1),
            "release":     In(1),
        })

    def elaborate(self, platform):
        m = Module()
        pairs = self.arch.columns // 2
        slots = parameter_slots(self.arch)

        # Ask for the rows of a block, once there is a slot for it.
        row    = Signal(range(self.arch.program_rows))
        left   = Signal.like(self.layer.payload.last)
        active = Signal()
        asked  = Signal(range(pairs))
        free   = Signal(range(slots + 1), init=slots)
        with m.If(~active):
            m.d.comb += self.layer.ready.eq(1)
            with m.If(self.layer.valid):
                m.d.sync += [
                    active.eq(1),
                    row.eq(self.layer.payload.row),
                    left.eq(self.layer.payload.last),
                ]
        m.d.comb += [
            self.request.valid.eq(active & ((asked != 0) | (free != 0))),
            self.request.payload.eq(row),
        ]
        taken = Signal()
        with m.If(self.request.valid & self.request.ready):
            m.d.comb += taken.eq(asked == 0)
            m.d.sync += row.eq(row + 1)
            with m.If(asked == pairs - 1):
                m.d.sync += [asked.eq(0), left.eq(left - 1), active.eq(left != 0)]
            with m.Else():
                m.d.sync += asked.eq(asked + 1)
        m.d.sync += free.eq(free + self.release - taken)

        # Pass the rows on.
        slot = Signal(range(slots))
        pair = Signal(range(pairs))
        m.d.sync += [
            self.parameters.valid.eq(self.reply_valid),
            self.parameters.slot.eq(slot),
            self.parameters.pair.eq(pair),
            self.parameters.records.as_value().eq(self.reply_data),
            self.loaded.eq(0),
        ]
        with m.If(self.reply_valid):
            with m.If(pair == pairs - 1):
                m.d.sync += [pair.eq(0), slot.eq(slot + 1), self.loaded.eq(1)]
            with m.Else():
                m.d.sync += pair.eq(pair + 1)

        with m.If(self.flush):
            m.d.sync += [active.eq(0), asked.eq(0), free.eq(slots), slot.eq(0), pair.eq(0)]
        return m
