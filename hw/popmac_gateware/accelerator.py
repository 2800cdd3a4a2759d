"""Everything behind the link: memories, array, requantiser, and what drives them."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from popmac import isa

from .activation_memory import ActivationMemory, activation_write_layout
from .address_generator import AddressGenerator
from .binary_foot import plane_bits_log2
from .function_table import FunctionTable
from .host_bus import READ, RUN, WRITE, HostBus
from .host_port import HostPort
from .pair_unit import PairUnit
from .parameter_loader import ParameterLoader
from .pipeline import delay
from .program_memory import ProgramMemory
from .requantizer import Requantizer
from .sequencer import Sequencer
from .stream import StreamRegister
from .systolic import SystolicArray
from .tags import done_layout
from .writeback import Writeback


__all__ = ["Accelerator"]


#: Cycles from the writeback to the activation memory.
_WRITE_DELAY = 2


class Accelerator(wiring.Component):
    """The accelerator as the host sees it.

    ::

        sequencer -> addresses -> activation memory -> array -----> requantiser -> table
                         |                         \\-> pair unit -/       ^           |
                         \\----> weight address                        parameters     |
                                              activation memory <- writeback <-------/

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    host : ``In(HostBus())``
    idle : ``Out(1)``
        Nothing changes before the next transfer on ``host``, two cycles after the last one.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({"host": In(HostBus()), "idle": Out(1)})

    def elaborate(self, platform):
        m = Module()
        arch = self.arch

        m.submodules.memory      = memory      = ActivationMemory(arch)
        m.submodules.array       = array       = SystolicArray(arch)
        m.submodules.pair_unit   = pair_unit   = PairUnit(arch)
        m.submodules.requantizer = requantizer = Requantizer(arch)
        m.submodules.table       = table       = FunctionTable(arch)
        m.submodules.writeback   = writeback   = Writeback(arch)
        m.submodules.addresses   = addresses   = AddressGenerator(arch)
        m.submodules.loader      = loader      = ParameterLoader(arch)
        m.submodules.program     = program     = ProgramMemory(arch, readers=3, writers=2)
        m.submodules.host_port   = host_port   = HostPort(arch)

        to_words  = AddressGenerator.LATENCY + memory.words_latency
        to_window = AddressGenerator.LATENCY + memory.latency
        to_start  = to_window + array.latency + requantizer.lead
        most_bits = plane_bits_log2(arch)
        drain     = to_start + 1 + ((1 << most_bits) - 1) * arch.phases + requantizer.latency \
            + arch.all_phases + table.LATENCY + writeback.LATENCY + _WRITE_DELAY + 1
        m.submodules.sequencer = sequencer = Sequencer(arch, drain=drain)

        # Host. The link is on the other side of registers.
        m.submodules.write_register = write_register = StreamRegister(WRITE)
        m.submodules.read_register  = read_register  = StreamRegister(READ)
        m.submodules.data_register  = data_register  = StreamRegister(8)
        m.submodules.run_register   = run_register   = StreamRegister(RUN)
        connect(m, flipped(self.host.write), write_register.i)
        connect(m, write_register.o, host_port.write)
        connect(m, flipped(self.host.read), read_register.i)
        connect(m, read_register.o, host_port.read)
        connect(m, host_port.data, data_register.i)
        connect(m, data_register.o, flipped(self.host.data))
        connect(m, flipped(self.host.run), run_register.i)
        connect(m, run_register.o, sequencer.run)
        m.d.comb += [
            sequencer.abort.eq(self.host.abort),
            self.host.cycles.eq(sequencer.cycles),
        ]
        m.d.sync += self.host.busy.eq(self.host.run.valid & self.host.run.ready
                                      | sequencer.run.valid | sequencer.busy)

        # Whatever the host writes has had its effect when a layer would have, too. A read has none,
        # and waits for the link most of the time.
        quiet   = Signal(range(drain + 1))
        blocked = host_port.data.valid & ~host_port.data.ready
        reading = ~blocked & (host_port.read.valid | ~host_port.read.ready)
        with m.If(self.host.busy | self.host.run.valid | host_port.write.valid):
            m.d.sync += quiet.eq(drain)
        with m.Elif(quiet != 0):
            m.d.sync += quiet.eq(quiet - 1)
        m.d.comb += self.idle.eq((quiet == 0) & ~reading)

        # Program memory.
        for client, (request, replied) in enumerate([
            (sequencer.request,         (sequencer.reply_valid, sequencer.reply_data)),
            (loader.request,            (loader.reply_valid, loader.reply_data)),
            (host_port.program_request, (host_port.program_valid, host_port.program_data)),
        ]):
            connect(m, request, program.requests[client])
            m.d.comb += [
                replied[0].eq(program.reply.valid[client]),
                replied[1].eq(program.reply.data),
            ]
        connect(m, sequencer.counters, program.writes[0])
        connect(m, host_port.program_write, program.writes[1])

        # Parameters.
        connect(m, sequencer.blocks, loader.layer)
        m.d.comb += [
            loader.flush.eq(sequencer.flush),
            sequencer.loaded.eq(loader.loaded),
            requantizer.parameters.eq(loader.parameters),
        ]

        # From steps to windows and weights.
        layer, next_layer = sequencer.layer, sequencer.next_layer
        issue             = sequencer.issue
        m.d.comb += [
            addresses.begin.eq(sequencer.begin),
            addresses.valid.eq(issue.valid),
            addresses.goes_on.eq(issue.goes_on),
            *(addresses.input[name].eq(next_layer[name]) for name, _ in addresses.input.shape()),
            memory.padding.eq(layer.padding),
            memory.plane_words.eq(layer.plane_words),
        ]
        requested = delay(m, issue.valid, AddressGenerator.LATENCY, name="requested")
        granted   = Signal()
        m.d.comb += [
            granted.eq(host_port.window_request.valid & ~requested),
            host_port.window_request.ready.eq(~requested),
            sequencer.hold.eq(delay(m, host_port.window_request.valid, 2, name="hold")),
            memory.request.eq(Mux(requested, addresses.request,
                                  host_port.window_request.payload)),
            host_port.window_valid.eq(
                delay(m, granted, memory.latency, name="granted")),
            host_port.window_data.eq(memory.window.as_value()),
            host_port.busy.eq(sequencer.busy),
        ]
        binary    = Signal()
        depthwise = Signal()
        by_words  = Signal() # steps take words as they are in memory, for which none is rotated
        m.d.sync += [
            binary.eq(layer.unit == isa.Unit.BINARY),
            depthwise.eq(layer.unit == isa.Unit.DEPTHWISE),
            by_words.eq((layer.unit == isa.Unit.BINARY) | (layer.unit == isa.Unit.DEPTHWISE)),
        ]
        weight = delay(m, addresses.weight, memory.words_latency - array.ADDRESS_LEAD,
                       name="weight")
        weight = Mux(by_words, weight, delay(m, weight, to_window - to_words, name="weight_array"))
        m.d.comb += [
            array.address.word.eq(weight),
            array.address.tail.eq(weight >> exact_log2(arch.weight_words)),
            array.write.eq(delay(m, host_port.weight_write, 2, name="weight_write")), # a long way
        ]

        # From windows to results.
        early = delay(m, issue, to_words - 2, name="step_early")
        plane_bytes = Signal(arch.word_bytes, reset_less=True)
        m.d.sync += plane_bytes.eq(Mux(layer.unit == isa.Unit.BINARY, Cat(
            (early.goes_on[0] & ~layer.tail_always) | (i < layer.tail_bytes)
            for i in range(arch.word_bytes)), 0))
        early = delay(m, early, 2, name="step_words")
        step  = delay(m, early, to_window - to_words, name="step")
        for i in range(arch.rows): # the padding that is due instead of taps
            due = memory.outside[i // 2] if i % 2 == 0 and i // 2 < 2 * arch.tap_columns else 0
            m.d.comb += array.step.window[i].eq(
                Mux(depthwise, Mux(due, layer.padding, 0), memory.window[i]))
        m.d.comb += [
            array.step.taps.eq(memory.taps),
            array.step.valid.eq(Mux(by_words, early.valid, step.valid)),
            array.step.first.eq(Mux(by_words, early.first, step.first)),
            array.step.double.eq(early.double),
            array.step.last.eq(early.last),
            array.binary.eq(binary),
            array.clear.eq(sequencer.begin),
            array.plane_bits_log2.eq(layer.plane_bits_log2),
            pair_unit.step.window.eq(memory.window),
            pair_unit.step.valid.eq(step.valid),
            pair_unit.step.first.eq(step.first),
            pair_unit.step.last.eq(step.last),
            pair_unit.step.tag.eq(step.tag),
            *(pair_unit.operation[name].eq(layer[name]) for name, _ in
              pair_unit.operation.shape()),
        ]
        m.d.comb += [array.step.planes.eq(memory.planes), memory.plane_bytes.eq(plane_bytes)]
        done = Signal(done_layout(arch))
        m.d.comb += [done.valid.eq(early.valid & early.last), done.tag.eq(early.tag)]
        late = delay(m, done, array.binary_latency + requantizer.lead - 1, name="done_binary")
        done_words = delay(m, late, array.latency - array.binary_latency, name="done_words")
        done_array = delay(m, done_words, to_window - to_words, name="done_array")

        # Of planes that are bits, the sum of a pixel is there when that of its last one is.
        done_binary = Signal.like(done)
        with m.Switch(layer.plane_bits_log2):
            for bits_log2 in range(most_bits + 1):
                if bits_log2:
                    late = delay(m, late, arch.phases << bits_log2 - 1, name=f"done_{bits_log2}")
                with m.Case(bits_log2):
                    m.d.comb += done_binary.eq(late)
        on_array = Signal()
        m.d.comb += on_array.eq((layer.unit == isa.Unit.ARRAY)
                                | (layer.unit == isa.Unit.DEPTHWISE)
                                | (layer.unit == isa.Unit.BINARY))
        m.d.sync += [
            requantizer.elementwise.eq(~on_array),
            requantizer.pair.eq(~on_array & (layer.unit != isa.Unit.PRODUCT)),
            requantizer.start.eq(Mux(requantizer.elementwise, pair_unit.done,
                                      Mux(binary, done_binary,
                                          Mux(depthwise, done_words, done_array)))),
        ]
        m.d.comb += [
            requantizer.sums.eq(array.sums),
            requantizer.operands.eq(pair_unit.operands),
            requantizer.last_phase.eq(layer.last_phase),
            requantizer.clamp.zero_point.eq(layer.zero_point),
            requantizer.clamp.low.eq(layer.low),
            requantizer.clamp.high.eq(layer.high),
        ]

        # From results to memory. Once the last result is in front of the writeback, steps that
        # are issued from then on will find it in memory.
        results = table.o_results
        write   = Signal(activation_write_layout(arch))
        m.d.comb += [
            *(table.choice[name].eq(layer[name]) for name, _ in table.choice.shape()),
            table.i_results.eq(requantizer.results),
            table.write.eq(host_port.table_write),
            writeback.begin.eq(delay(m, sequencer.begin, 2, name="begin")),
            *(writeback.output[name].eq(layer[name]) for name, _ in writeback.output.shape()),
            writeback.results.eq(results),
            sequencer.finished.eq(results.valid & results.last & results.tag.final),
            loader.release.eq(results.valid & results.last & results.tag.release),
            write.eq(Mux(writeback.write.valid, writeback.write,
                         host_port.activation_write.payload)),
            host_port.activation_write.ready.eq(~writeback.write.valid),
            memory.write.eq(delay(m, write, _WRITE_DELAY, name="write")), # a long way
        ]
        with m.If(~writeback.write.valid):
            m.d.comb += write.valid.eq(host_port.activation_write.valid)

        assert AddressGenerator.LATENCY >= Writeback.LATENCY + _WRITE_DELAY \
            + memory.WRITE_TO_REQUEST - 1
        return m
