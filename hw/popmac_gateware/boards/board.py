"""The core on a board: clock, serial line, lights."""

from amaranth import *
from amaranth.build import ResourceError
from amaranth.lib import io, wiring
from amaranth.lib.wiring import connect

from ..core import Core
from ..link.uart import UART
from ..stream import StreamRegister
from .clock import BoardClock


__all__ = ["Board"]


#: A light shows an event for at least 2**this cycles: a twelfth of a second at 100 MHz.
_VISIBLE = 23


class Board(wiring.Component):
    """Everything inside of the FPGA of a board with a clock, ``uart`` 0 and any number of LEDs.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Lights
    ------
    As many as there are, in this order: the clock runs (blinks), a run is active, bytes come from
    the host, bytes go to the host.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        arch = self.arch

        m.submodules.clock = clock = BoardClock(arch.clock_hz)
        m.domains.sync = ClockDomain(reset_less=not clock.has_reset(platform))
        m.d.comb += ClockSignal().eq(clock.clock)
        if clock.has_reset(platform):
            m.d.comb += ResetSignal().eq(clock.reset)

        pins = platform.request("uart", 0, dir="-")
        m.submodules.rx   = rx   = io.Buffer("i", pins.rx)
        m.submodules.tx   = tx   = io.Buffer("o", pins.tx)
        m.submodules.uart = uart = UART(clock_hz=arch.clock_hz, baud=arch.baud)
        m.submodules.core = core = Core(arch)
        m.submodules.sent = sent = StreamRegister(8)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        connect(m, uart.o, core.i)
        connect(m, core.o, sent.i)
        connect(m, sent.o, uart.i)

        time = Signal(_VISIBLE + 2)
        m.d.sync += time.eq(time + 1)
        events = [core.busy, core.i.valid, core.o.valid]
        shown  = []
        for i, event in enumerate(events):
            light = Signal(2, name=f"light_{i}") # until the second tick
            with m.If(event):
                m.d.sync += light.eq(3)
            with m.Elif(time[:_VISIBLE] == 0):
                m.d.sync += light.eq(light >> 1)
            shown.append(light[0])
        for i, light in enumerate([time[-1], *shown]):
            try:
                led = platform.request("led", i, dir="-")
            except ResourceError:
                break
            m.submodules[f"led_{i}"] = buffer = io.Buffer("o", led)
            m.d.comb += buffer.o.eq(light)
        return m
