"""What a host would send, from the board's SPI flash, at power-up."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from popmac.protocol import RECORDING, RECORDING_ADDRESS, RECORDING_MAGIC


__all__ = ["FlashReader", "FlashStart"]


_RELEASE_POWER_DOWN = 0xab
_READ               = 0x03

#: Time that a flash may take to wake up, and the fastest clock for the plain read command of any.
_WAKE_HZ, _FASTEST_HZ = 100_000, 12_500_000


class FlashReader(wiring.Component):
    """Reads a SPI NOR flash from an address on, in mode 0, by the commands that all of them have.

    Parameters
    ----------
    clock_hz : int
    address : int
        Of 24 bits.

    Members
    -------
    cs, clk, copi : ``Out(1)``
        To the flash; selected while ``cs`` is 1.
    cipo : ``In(1)``
        From the flash, asynchronous.
    stop : ``In(1)``
        Deselect the flash, for ever.
    o : ``Out(stream.Signature(8))``
        Its contents. The flash's clock stands still while nobody takes them.
    """

    def __init__(self, *, clock_hz, address):
        self.clock_hz = clock_hz
        self.address  = address
        super().__init__({
            "cs":   Out(1),
            "clk":  Out(1),
            "copi": Out(1),
            "cipo": In(1),
            "stop": In(1),
            "o":    Out(stream.Signature(8)),
        })

    def elaborate(self, platform):
        m = Module()

        # A bit is sent at the beginning of its time, during whose second half the clock is high,
        # and one is received at its end.
        cycles = max(8, 1 << ceil_log2(-(-self.clock_hz // _FASTEST_HZ)))
        phase  = Signal(range(cycles))
        ticks  = Signal()
        moving = Signal()
        with m.If(moving):
            m.d.sync += phase.eq(phase + 1)
        m.d.comb += [self.clk.eq(phase[-1]), ticks.eq(moving & phase.all())]

        cipo = Signal()
        m.submodules.cipo = FFSynchronizer(self.cipo, cipo)

        outgoing = Signal(32, init=_RELEASE_POWER_DOWN << 24)
        incoming = Signal(8)
        left     = Signal(range(32), init=7) # bits
        pause    = Signal(range(self.clock_hz // _WAKE_HZ + 2))
        m.d.comb += [self.copi.eq(outgoing[-1]), self.o.payload.eq(incoming)]
        with m.If(ticks):
            m.d.sync += [
                outgoing.eq(outgoing << 1),
                incoming.eq(Cat(cipo, incoming)),
                left.eq(left - 1),
            ]

        with m.FSM():
            with m.State("Wake"):
                m.d.comb += [self.cs.eq(1), moving.eq(1)]
                with m.If(ticks & (left == 0)):
                    m.d.sync += outgoing.eq(_READ << 24 | self.address)
                    m.next = "Pause"
            with m.State("Pause"):
                m.d.sync += pause.eq(pause + 1)
                with m.If(pause == self.clock_hz // _WAKE_HZ + 1):
                    m.d.sync += left.eq(31)
                    m.next = "Ask"
            with m.State("Ask"):
                m.d.comb += [self.cs.eq(1), moving.eq(1)]
                with m.If(ticks & (left == 0)):
                    m.d.sync += left.eq(7)
                    m.next = "Read"
            with m.State("Read"):
                m.d.comb += [self.cs.eq(1), moving.eq(1)]
                with m.If(ticks & (left == 0)):
                    m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += [self.cs.eq(1), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += left.eq(7)
                    m.next = "Read"
                with m.If(self.stop):
                    m.next = "Stop"
            with m.State("Stop"):
                pass
        return m


class FlashStart(wiring.Component):
    """Plays a recording to the core, then lets the host speak.

    A recording for another configuration, or none, is left alone; ``docs/protocol.md`` says what
    is in it. A byte of it is sent when the one before has had all of its effect: so nothing needs
    to be waited for, or repeated.

    Parameters
    ----------
    clock_hz, fingerprint : int

    Members
    -------
    cs, clk, copi, cipo : 1
        See :class:`FlashReader`.
    i : ``In(stream.Signature(8))``
        From the host. What comes during the recording is lost.
    o : ``Out(stream.Signature(8))``
        To the core.
    quiet : ``In(1)``
        The core is idle, and has nothing to say that is not said yet.
    busy : ``Out(1)``
        The host is not heard yet.
    """

    def __init__(self, *, clock_hz, fingerprint):
        self.clock_hz    = clock_hz
        self.fingerprint = fingerprint
        super().__init__({
            "cs":    Out(1),
            "clk":   Out(1),
            "copi":  Out(1),
            "cipo":  In(1),
            "i":     In(stream.Signature(8)),
            "o":     Out(stream.Signature(8)),
            "quiet": In(1),
            "busy":  Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.busy.eq(1)
        m.submodules.reader = reader = FlashReader(clock_hz=self.clock_hz,
                                                   address=RECORDING_ADDRESS)
        m.d.comb += [
            self.cs.eq(reader.cs), self.clk.eq(reader.clk), self.copi.eq(reader.copi),
            reader.cipo.eq(self.cipo),
        ]

        head     = RECORDING.pack(RECORDING_MAGIC, self.fingerprint, 0)
        fixed    = head[:-4] # the number of bytes follows
        index    = Signal(range(len(head)))
        expected = Signal(8)
        left     = Signal(32)
        with m.Switch(index):
            for i, byte in enumerate(fixed):
                with m.Case(i):
                    m.d.comb += expected.eq(byte)

        with m.FSM():
            with m.State("Head"):
                m.d.comb += [reader.o.ready.eq(1), self.i.ready.eq(1)]
                with m.If(reader.o.valid):
                    m.d.sync += [index.eq(index + 1), left.eq(Cat(left[8:], reader.o.payload))]
                    with m.If((index < len(fixed)) & (reader.o.payload != expected)):
                        m.next = "Host"
                    with m.If(index == len(head) - 1):
                        m.next = "Recording"
            with m.State("Recording"):
                m.d.comb += [
                    self.i.ready.eq(1),
                    self.o.payload.eq(reader.o.payload),
                    self.o.valid.eq(reader.o.valid & self.quiet & (left != 0)),
                    reader.o.ready.eq(self.o.valid & self.o.ready),
                ]
                with m.If(reader.o.ready):
                    m.d.sync += left.eq(left - 1)
                with m.If((left == 0) & self.quiet):
                    m.next = "Host"
            with m.State("Host"):
                m.d.comb += [
                    self.busy.eq(0),
                    reader.stop.eq(1),
                    self.o.payload.eq(self.i.payload),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready),
                ]
        return m
