"""The accelerator for small chips: memories with one port, sixteen products in four cycles."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from popmac import isa
from popmac.arch import TABLE_BYTES, TABLES

from ..host_bus import HostBus
from ..pipeline import delay
from ..primitives.single_port_ram import SinglePortRam
from .cells import PairCells
from .host_port import BytePort
from .lane import SLICE_BITS, SLICES, SliceRequantizer
from .loader import SliceLoader
from .sequencer import FrameSequencer, group_layout
from .windows import PairWindows
from .writer import PixelWriter, result_layout


__all__ = ["SerialAccelerator"]


_COLUMNS = 4
_FRAME   = 4


class SerialAccelerator(wiring.Component):
    """The accelerator as the host sees it, for chips with few multipliers and large memories.

    ::

        sequencer -> windows <-> activation memory -> cells -> requantiser -> table -> writer
            |                        ^                  ^          ^                     |
            \\-> weight address -> weights and program -/-> loader -/                     |
                                     ^--------------------------------------------------/

    A step of four activations by four channels takes a frame of four cycles, in which each weight
    is used for two pixels: eight products per cycle, with one word of weights and one of
    activations. It has the steps of :class:`popmac.isa.Unit` ARRAY only, without what the fast
    inner product leaves in.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Whose engine is ``serial``.

    Members
    -------
    host : ``In(HostBus())``
    idle : ``Out(1)``
        Nothing changes before the next transfer on ``host``, two cycles after the last one.
    """

    #: Cycles from the first sum of a pixel in front of the requantiser to its result at the writer:
    #: in the writer, the words of a group must not be complete when its free cycles begin, or the
    #: second one would have to wait for those of the next group, in which there is another one.
    RESULT_LATENCY = SliceRequantizer.LATENCY + 2

    #: Frames from a step to the one in which its first result is announced.
    RESULT_FRAME   = 2 + (_FRAME - 1 + PairCells.LATENCY + RESULT_LATENCY) // _FRAME

    def __init__(self, arch):
        self.arch  = arch
        # Two frames, the products, eight sums, and until the writer has written two words.
        self.drain = 2 * _FRAME + PairCells.LATENCY + 2 * _COLUMNS + self.RESULT_LATENCY + 6
        super().__init__({"host": In(HostBus()), "idle": Out(1)})

    def elaborate(self, platform):
        m = Module()
        arch = self.arch

        m.submodules.host_port   = host_port   = BytePort(arch)
        m.submodules.activations = activations = SinglePortRam(width=32,
                                                               depth=arch.activation_words)
        m.submodules.weights     = weights     = SinglePortRam(width=32,
                                                               depth=host_port.weight_depth)
        address_bits = len(activations.address)
        row_bits     = len(weights.address) - 5 # of rows of 16 words, in the upper half
        m.submodules.sequencer   = sequencer   = FrameSequencer(row_bits=row_bits,
                                                                drain=self.drain)
        m.submodules.loader      = loader      = SliceLoader(row_bits)
        m.submodules.windows     = windows     = PairWindows(address_bits)
        m.submodules.cells       = cells       = PairCells()
        m.submodules.requantizer = requantizer = SliceRequantizer()
        m.submodules.writer      = writer      = PixelWriter()

        # Host.
        connect(m, flipped(self.host.write), host_port.write)
        connect(m, flipped(self.host.read), host_port.read)
        connect(m, host_port.data, flipped(self.host.data))
        connect(m, flipped(self.host.run), sequencer.run)
        m.d.comb += [
            sequencer.abort.eq(self.host.abort),
            self.host.cycles.eq(sequencer.cycles),
            self.host.busy.eq(sequencer.busy),
        ]
        quiet = Signal(range(self.drain + 1))
        with m.If(self.host.busy | self.host.run.valid | self.host.write.valid):
            m.d.sync += quiet.eq(self.drain)
        with m.Elif(quiet != 0):
            m.d.sync += quiet.eq(quiet - 1)
        recent = Signal(2) # a read
        m.d.sync += recent.eq(Cat(self.host.read.valid, recent))
        m.d.comb += self.idle.eq((quiet == 0) & ~self.host.read.valid & ~recent.any())

        # Descriptor and parameters.
        layer          = sequencer.layer
        for_parameters = Signal()
        with m.If(sequencer.load):
            m.d.sync += for_parameters.eq(sequencer.load_parameters)
        m.d.comb += [
            loader.start.eq(sequencer.load),
            loader.row.eq(sequencer.load_row),
            loader.rows.eq(Mux(sequencer.load_parameters, _COLUMNS // 2, isa.COUNTER_ROW)),
            loader.read_data.eq(weights.read_data),
            sequencer.loading.eq(loader.busy),
            requantizer.write_slices.eq(Mux(for_parameters, loader.slices, 0)),
            requantizer.write_channel.eq(loader.entry),
            requantizer.write_data.eq(loader.slice),
        ]
        m.submodules.descriptor = descriptor = memory.Memory(
            shape=data.ArrayLayout(SLICE_BITS, SLICES), depth=8, init=[],
            attrs={"ram_style": "block"})
        write, read = descriptor.write_port(granularity=1), descriptor.read_port()
        m.d.comb += [
            write.addr.eq(loader.entry),
            *(write.data[i].eq(loader.slice) for i in range(SLICES)),
            write.en.eq(Mux(for_parameters, 0, loader.slices)),
            read.addr.eq(sequencer.entry),
            read.en.eq(1),
            sequencer.descriptor.eq(read.data.as_value()),
        ]

        # Frames on their way: the step of two frames ago is the one that is accumulated, and its
        # first result comes later by the latency of the cells and that of the results.
        phase   = sequencer.phase
        frame   = data.StructLayout({"step": 1, "group": group_layout()})
        current = Signal(frame)
        frames  = [current]
        m.d.comb += [current.step.eq(sequencer.step), current.group.eq(sequencer.group)]
        for age in range(1, self.RESULT_FRAME + 1):
            frames.append(Signal(frame, name=f"frame_{age}"))
            with m.If(phase == _FRAME - 1):
                m.d.sync += frames[age].eq(frames[age - 1])

        # Windows.
        window_active = delay(m, sequencer.step, 2, name="window_active")
        m.d.comb += [
            windows.phase.eq(phase),
            windows.level.eq(sequencer.level),
            *(getattr(windows, name).eq(layer[name]) for name in (
                "first_row", "first_column", "first_word", "height", "row_bytes", "padding")),
            *(getattr(windows, name).eq(getattr(sequencer, name)) for name in (
                "zero", "measured", "begin", "rotate", "take_second", "make_second")),
            windows.read_data.eq(activations.read_data),
        ]

        # Weights: their first row is read in the last cycle of the frame behind the step's.
        weight_bits   = len(weights.address) - 3
        weight        = sequencer.weight[:weight_bits]
        weight_active = sequencer.step
        for age in range(1, 3):
            following        = Signal(weight_bits, name=f"weight_{age}", reset_less=True)
            following_active = Signal(name=f"weight_active_{age}")
            with m.If(phase == _FRAME - 2):
                m.d.sync += [following.eq(weight), following_active.eq(weight_active)]
            weight, weight_active = following, following_active

        # Memories, each for one client per cycle.
        host = host_port.activation.payload
        m.d.comb += [
            writer.free.eq(~window_active),
            host_port.activation.ready.eq(~window_active & ~writer.valid),
            host_port.activation_data.eq(activations.read_data),
            activations.write_data.eq(Mux(writer.valid, writer.data.as_value(),
                                          host.data.replicate(4))),
        ]
        with m.If(window_active):
            m.d.comb += activations.address.eq(windows.address)
        with m.Elif(writer.valid):
            m.d.comb += [
                activations.address.eq(writer.address >> 2),
                activations.write_enable.eq(writer.mask),
            ]
        with m.Else():
            m.d.comb += [
                activations.address.eq(host.address),
                activations.write_enable.eq(Mux(host_port.activation.valid, host.mask, 0)),
            ]

        host     = host_port.weight.payload
        counters = sequencer.counters
        m.d.comb += [
            counters.ready.eq(1),
            host_port.weight.ready.eq(~weight_active & ~loader.busy & ~counters.valid),
            host_port.weight_data.eq(weights.read_data),
            weights.write_data.eq(Mux(counters.valid, counters.payload.data,
                                      host.data.replicate(4))),
        ]
        with m.If(weight_active):
            m.d.comb += weights.address.eq(Cat((phase + 1)[:2], weight, Const(0, 1)))
        with m.Elif(loader.busy):
            m.d.comb += weights.address.eq(Cat(loader.address, Const(1, 1)))
        with m.Elif(counters.valid):
            m.d.comb += [
                weights.address.eq(Cat(counters.payload.address, Const(1, 1))),
                weights.write_enable.eq(~0),
            ]
        with m.Else():
            m.d.comb += [
                weights.address.eq(host.address),
                weights.write_enable.eq(Mux(host_port.weight.valid, host.mask, 0)),
            ]

        # Sums.
        m.d.comb += [
            cells.bytes.eq(windows.bytes),
            cells.weights.eq(weights.read_data),
            cells.valid.eq(frames[2].step),
            cells.last.eq(frames[2].group.last & (phase == _FRAME - 1)),
            cells.clear.eq(~sequencer.busy),
        ]

        # Which of them is in front of the requantiser, and which result behind it.
        channel = Signal(range(_COLUMNS))
        m.d.sync += channel.eq(Mux(cells.captured, 0, channel + 1))
        captured = delay(m, cells.captured, self.RESULT_LATENCY, name="captured")
        index    = Signal(range(2 * _COLUMNS))
        active   = Signal()
        group    = Signal(group_layout())
        with m.If(captured):
            m.d.sync += [index.eq(0), active.eq(1), group.eq(frames[-1].group)]
        with m.Else():
            m.d.sync += index.eq(index + 1)
            with m.If(index == 2 * _COLUMNS - 1):
                m.d.sync += active.eq(0)
        place = Signal(result_layout())
        m.d.comb += [
            place.valid.eq(active & (~index[2] | group.pair)),
            place.last.eq(index[:2] == _COLUMNS - 1),
            place.after.eq(Mux(~index[2] & group.pair, 0, group.next)),
            requantizer.sum.eq(cells.sum),
            requantizer.channel.eq(Mux(cells.captured, 0, channel + 1)),
            *(requantizer.clamp[name].eq(layer[name]) for name, _ in requantizer.clamp.shape()),
        ]

        # Functions of one code.
        m.submodules.tables = tables = memory.Memory(shape=8, depth=TABLES * TABLE_BYTES, init=[],
                                                     attrs={"ram_style": "block"})
        write, read = tables.write_port(), tables.read_port()
        result = delay(m, requantizer.result, 1, name="result")
        m.d.comb += [
            write.addr.eq(host_port.table_address),
            write.data.eq(host_port.table_data),
            write.en.eq(host_port.table_write),
            read.addr.eq(Cat((requantizer.result ^ 0x80)[:8], layer.table)),
            read.en.eq(1),
            writer.result.eq(delay(m, Mux(layer.use_table, read.data, result), 1, name="final")),
            writer.place.eq(place),
            writer.begin.eq(sequencer.begin_output),
            *(getattr(writer, name).eq(layer[name]) for name in (
                "first_output", "after_column", "after_row", "after_block", "channels_log2")),
        ]
        return m
