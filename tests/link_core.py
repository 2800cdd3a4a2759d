"""A small core behind the host bus, in hardware and in software, to test the link with."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from popmac import isa
from popmac.arch import ArchConfig
from popmac.protocol import Space, space_bytes
from popmac_gateware.host_bus import HostBus
from popmac_gateware.link.address_decoder import ROW_PITCH
from popmac_gateware.link.endpoint import Endpoint


__all__ = ["ARCH", "TRACE", "RUN_BYTES", "CountingCore", "LinkCore", "LinkBoard"]


#: Small, so that pointers wrap often.
ARCH = ArchConfig(name="link", rows=4, columns=4, lanes=2, planes=0, weight_words=128,
                  tail_words=16, activation_words=1024, program_rows=64, receive_bytes=1024,
                  clock_hz=100_000_000, baud=3_000_000)

_ADDRESS_BITS = 12 # of each space

#: Row of PROGRAM space that reads as what was counted: bytes written, and runs.
TRACE = (ARCH.program_rows - 1) * isa.ROW_BYTES

_TRACE_ADDRESS = (ARCH.program_rows - 1) * ROW_PITCH

#: A run adds ``layer + 1`` to so many bytes of ACTIVATION space, for each layer, so that nobody
#: can run twice unnoticed.
RUN_BYTES = 16


class Trace(data.Struct):
    """What was counted."""
    writes: 32
    runs:   32


class CountingCore:
    """The core in software, as a :class:`popmac.driver.endpoint.Core`."""

    def __init__(self):
        self.cycles = self.writes = self.runs = 0
        self.memory = {space: bytearray(size) for space, size in space_bytes(ARCH).items()}

    def write(self, space, address, data):
        self.memory[space][address:address + len(data)] = data
        self.writes += len(data)

    def read(self, space, address, length):
        self.memory[Space.PROGRAM][TRACE:TRACE + 8] = \
            self.writes.to_bytes(4, "little") + self.runs.to_bytes(4, "little")
        return bytes(self.memory[space][address:address + length])

    def run(self, first, last):
        self.runs += 1
        self.cycles = 2 * RUN_BYTES * (last - first + 1)
        for layer in range(first, last + 1):
            for k in range(RUN_BYTES):
                value = self.memory[Space.ACTIVATION][k] + layer + 1
                self.memory[Space.ACTIVATION][k] = value % 256


class LinkCore(wiring.Component):
    """The core in hardware.

    Parameters
    ----------
    stuck : bool
        Accept a run, and never finish it; never answer a read of the highest address of
        ACTIVATION space.

    Members
    -------
    bus : ``In(HostBus())``
    idle : ``Out(1)``
    """

    bus:  In(HostBus())
    idle: Out(1)

    def __init__(self, *, stuck=False):
        self.stuck = stuck
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        bus = self.bus

        m.submodules.memory = memory = Memory(shape=8, depth=4 * 2**_ADDRESS_BITS, init=[])
        write, fetch, operand = memory.write_port(), memory.read_port(), memory.read_port()
        trace = Signal(Trace)

        # Two cycles per byte of a run: fetch it, then write the sum.
        layers = Signal.like(bus.run.payload)
        place  = Signal(range(RUN_BYTES))
        second = Signal()
        m.d.comb += bus.run.ready.eq(~bus.busy)
        m.d.comb += operand.addr.eq(place)
        with m.If(bus.run.valid & bus.run.ready):
            m.d.sync += [layers.eq(bus.run.payload), bus.busy.eq(1), bus.cycles.eq(0),
                         trace.runs.eq(trace.runs + 1)]
        with m.If(bus.busy):
            m.d.sync += bus.cycles.eq(bus.cycles + 1)
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += place.eq(place + 1)
                with m.If(place == RUN_BYTES - 1):
                    m.d.sync += layers.first.eq(layers.first + 1)
                    with m.If((layers.first == layers.last) & (not self.stuck)):
                        m.d.sync += bus.busy.eq(0)
        with m.If(bus.abort):
            m.d.sync += [bus.busy.eq(0), place.eq(0), second.eq(0)]

        # The run writes first; the host every other cycle at most.
        pause = Signal()
        m.d.comb += bus.write.ready.eq(~(bus.busy & second) & ~pause)
        m.d.sync += pause.eq(bus.write.valid & bus.write.ready)
        with m.If(bus.busy & second):
            m.d.comb += [write.addr.eq(place), write.data.eq(operand.data + layers.first + 1),
                         write.en.eq(1)]
        with m.Else():
            m.d.comb += [write.addr.eq(Cat(bus.write.payload.address[:_ADDRESS_BITS],
                                           bus.write.payload.space)),
                         write.data.eq(bus.write.payload.data),
                         write.en.eq(bus.write.valid & bus.write.ready)]
            with m.If(write.en):
                m.d.sync += trace.writes.eq(trace.writes + 1)

        # Answers wait in a queue of four.
        answers = Array(Signal(8, name=f"answer_{i}") for i in range(4))
        asked, fetched, told = Signal(3), Signal(3), Signal(3)
        traced = Signal()
        traced_byte = Signal(8)
        request = bus.read.payload
        m.d.comb += bus.read.ready.eq((asked - told)[:3] != 4)
        m.d.comb += fetch.addr.eq(Cat(request.address[:_ADDRESS_BITS], request.space))
        with m.If(bus.read.valid & bus.read.ready):
            m.d.sync += asked.eq(asked + 1)
            offset = request.address - _TRACE_ADDRESS
            m.d.sync += traced.eq((request.space == Space.PROGRAM)
                                  & (request.address >= _TRACE_ADDRESS) & (offset < 8))
            m.d.sync += traced_byte.eq(trace.as_value().word_select(offset[:3], 8))
        with m.If(fetched != asked):
            m.d.sync += answers[fetched[:2]].eq(Mux(traced, traced_byte, fetch.data))
            m.d.sync += fetched.eq(fetched + 1)
        m.d.comb += bus.data.valid.eq(told != fetched)
        m.d.comb += bus.data.payload.eq(answers[told[:2]])
        with m.If(bus.data.valid & bus.data.ready):
            m.d.sync += told.eq(told + 1)
        if self.stuck:
            with m.If((request.address == ARCH.activation_bytes - 1) & (request.space == 0)):
                m.d.comb += bus.read.ready.eq(0)

        m.d.comb += self.idle.eq(~bus.busy & ~bus.write.valid & ~pause & (fetched == asked)
                                 & ~(bus.read.valid & bus.read.ready)
                                 & ~(bus.data.valid & bus.data.ready))
        return m


class LinkBoard(wiring.Component):
    """Endpoint and core.

    Members
    -------
    i, o : ``In(stream.Signature(8))``, ``Out(stream.Signature(8))``
        The link.
    idle : ``Out(1)``
        Nothing changes before the next transfer on ``i`` or ``o``.
    """

    i:    In(stream.Signature(8))
    o:    Out(stream.Signature(8))
    idle: Out(1)

    def __init__(self, arch=ARCH, *, patience=2**12, stuck=False):
        self.arch = arch
        self.patience = patience
        self.stuck = stuck
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        m.submodules.endpoint = endpoint = Endpoint(self.arch, patience=self.patience)
        m.submodules.core     = core     = LinkCore(stuck=self.stuck)
        wiring.connect(m, wiring.flipped(self.i), endpoint.i)
        wiring.connect(m, wiring.flipped(self.o), endpoint.o)
        wiring.connect(m, endpoint.bus, core.bus)
        m.d.comb += self.idle.eq(endpoint.idle & core.idle)

        return m
