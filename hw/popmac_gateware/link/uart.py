"""Asynchronous serial line: 8 data bits, no parity, one stop bit."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


__all__ = ["UART"]


class BitClock(wiring.Component):
    """Ticks once per bit, on average, for any ratio of clock and rate.

    A phase advances by the same step each cycle and wraps once per bit. The error of the rate is
    less than one in 2000; single ticks are off by less than a cycle.

    Parameters
    ----------
    clock_hz, baud : int
        Clock, and bits per second.

    Members
    -------
    start : ``In(1)``
        Begin with half a bit.
    tick : ``Out(1)``
        In this cycle, the phase wraps.
    """

    start: In(1)
    tick:  Out(1)

    def __init__(self, *, clock_hz, baud):
        self.clock_hz = clock_hz
        self.baud = baud
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        width = ceil_log2(self.clock_hz // self.baud) + 11
        step  = round(self.baud * 2**width / self.clock_hz)
        phase = Signal(width)
        total = phase + Const(step, width)

        m.d.comb += self.tick.eq(total[width])
        m.d.sync += phase.eq(Mux(self.start, 2**(width - 1), total))

        return m


class UART(wiring.Component):
    """Serial line.

    Parameters
    ----------
    clock_hz : int
        Frequency of the clock.
    baud : int
        Bits per second; at most a fourth of the clock, which need not be a multiple.

    Members
    -------
    rx, tx : ``In(1)``, ``Out(1)``
        The line, asynchronous, high while it rests.
    i : ``In(stream.Signature(8))``
        Bytes to send.
    o : ``Out(stream.Signature(8))``
        Bytes received. A byte that comes while the one before is not accepted is lost, and so is
        one whose stop bit is low.

    Timing
    ------
    Bytes are sent without a pause between them. Each bit received is sampled once, within a cycle
    of its middle and two for synchronisation. A start bit shorter than half a bit is ignored.

    Raises
    ------
    ValueError
        If the clock is slower than four times the rate.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    i:  In(stream.Signature(8))
    o:  Out(stream.Signature(8))

    def __init__(self, *, clock_hz, baud):
        for name, value in [("clock_hz", clock_hz), ("baud", baud)]:
            if not isinstance(value, int) or value <= 0:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        if clock_hz < 4 * baud:
            raise ValueError(f"clock_hz must be at least four times baud, not {clock_hz!r}")
        self.clock_hz = clock_hz
        self.baud = baud
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        m.submodules.send_clock = send_clock = BitClock(clock_hz=self.clock_hz, baud=self.baud)
        sending = Signal(9, init=~0) # what comes after the bit on the line
        to_send = Signal(range(10))
        with m.If(send_clock.tick):
            m.d.sync += Cat(self.tx, sending).eq(Cat(sending, 1))
            with m.If(to_send != 0):
                m.d.sync += to_send.eq(to_send - 1)
            with m.Else():
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += Cat(self.tx, sending).eq(Cat(0, self.i.payload, 1))
                    m.d.sync += to_send.eq(9)

        line = Signal(init=1)
        m.submodules += FFSynchronizer(self.rx, line, init=1)
        m.submodules.receive_clock = receive_clock = BitClock(clock_hz=self.clock_hz,
                                                              baud=self.baud)
        sample  = receive_clock.tick
        bits    = Signal(8)
        to_come = Signal(3)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM(init="Rest"):
            with m.State("Rest"):
                m.d.comb += receive_clock.start.eq(1)
                m.d.sync += to_come.eq(7)
                with m.If(~line):
                    m.next = "Start"

            with m.State("Start"):
                with m.If(sample):
                    m.next = "Data"
                    with m.If(line):
                        m.next = "Rest"

            with m.State("Data"):
                with m.If(sample):
                    m.d.sync += bits.eq(Cat(bits[1:], line))
                    m.d.sync += to_come.eq(to_come - 1)
                    with m.If(to_come == 0):
                        m.next = "Stop"

            with m.State("Stop"):
                with m.If(sample):
                    m.next = "Break"
                    with m.If(line & (~self.o.valid | self.o.ready)):
                        m.d.sync += self.o.payload.eq(bits)
                        m.d.sync += self.o.valid.eq(1)

            with m.State("Break"):
                with m.If(line):
                    m.next = "Rest"

        return m
