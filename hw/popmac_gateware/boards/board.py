"""The core on a board: clock, serial line, lights."""

from amaranth import *
from amaranth.build import ResourceError
from amaranth.lib import io, wiring
from amaranth.lib.wiring import connect

from popmac.isa import ISA_VERSION

from ..core import Core
from ..link.uart import UART
from ..primitives.ecp5 import configuration_clock, is_ecp5
from ..stream import StreamRegister
from .clock import BoardClock
from .flash_start import FlashStart


__all__ = ["Board"]


#: A light shows an event for at least 2**this cycles: a twelfth of a second at 100 MHz.
_VISIBLE = 23


class Board(wiring.Component):
    """Everything inside of the FPGA of a board with a clock, ``uart`` 0 and any number of LEDs.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Start
    -----
    If the board has a SPI flash whose clock is the one for configuration, it plays what the flash
    has recorded for this configuration, before it listens to the host: see :class:`FlashStart`.

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
        m.submodules.sent     = sent     = StreamRegister(8)
        m.submodules.received = received = StreamRegister(8)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        connect(m, core.o, sent.i)
        connect(m, sent.o, uart.i)
        connect(m, received.o, core.i)
        if (flash := self._flash(platform)) is None:
            connect(m, uart.o, received.i)
        else:
            m.submodules.start = start = FlashStart(
                clock_hz=arch.clock_hz, fingerprint=arch.fingerprint(ISA_VERSION))
            connect(m, uart.o, start.i)
            connect(m, start.o, received.i)
            m.d.sync += start.quiet.eq(core.idle & ~core.o.valid & ~sent.o.valid)
            pins = [("cs", "o", start.cs), ("copi", "o", start.copi), ("cipo", "i", start.cipo)]
            pins += [(name, "o", 0) for name in ("wp", "hold")] # neither is asserted
            for name, direction, value in pins:
                m.submodules[f"flash_{name}"] = buffer = \
                    io.Buffer(direction, getattr(flash, name))
                m.d.comb += buffer.o.eq(value) if direction == "o" else value.eq(buffer.i)
            m.submodules.flash_clk = configuration_clock(start.clk)

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

    @staticmethod
    def _flash(platform):
        """Pins of the flash that the bitstream is in, or ``None``."""
        if not is_ecp5(platform): # the pins of other chips' flash are not those of this start
            return None
        try:
            return platform.request("spi_flash", 0, dir="-")
        except ResourceError:
            return None
