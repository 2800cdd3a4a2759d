"""The clock of a board."""

from amaranth import *
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import Out

from ..primitives.ice40 import is_ice40
from ..primitives.pad_pll import PadPll, pad_pll_dividers
from ..primitives.pll import Pll, pll_dividers


__all__ = ["BoardClock", "check_clock"]


def check_clock(platform, hz):
    """Refuse a frequency that the PLL of a board cannot make of its oscillator's.

    Raises
    ------
    ValueError
    """
    dividers = pad_pll_dividers if is_ice40(platform) else pll_dividers
    dividers(int(platform.default_clk_frequency), hz)


class BoardClock(wiring.Component):
    """Clock and reset from the oscillator of a board.

    Parameters
    ----------
    hz : int
        Frequency to make.

    Members
    -------
    clock : ``Out(1)``
    reset : ``Out(1)``
        See :meth:`has_reset`.
    """

    clock: Out(1)
    reset: Out(1)

    def __init__(self, hz):
        self.hz = hz
        super().__init__()

    @staticmethod
    def has_reset(platform):
        """Whether the clock moves before it is right, so that its domain needs the reset.

        Otherwise registers still have their initial values then.
        """
        return is_ice40(platform)

    def elaborate(self, platform):
        m = Module()
        pin     = platform.request(platform.default_clk, dir="-")
        from_hz = int(platform.default_clk_frequency)
        if is_ice40(platform):
            m.submodules.pll = pll = PadPll(pin, from_hz=from_hz, to_hz=self.hz)
            m.domains.board  = ClockDomain(local=True)
            m.submodules.reset = ResetSynchronizer(~pll.locked, domain="board")
            m.d.comb += [
                self.clock.eq(pll.o),
                ClockSignal("board").eq(pll.o),
                self.reset.eq(ResetSignal("board")),
            ]
        else:
            m.submodules.buffer = buffer = io.Buffer("i", pin)
            m.submodules.pll = pll = Pll(from_hz=from_hz, to_hz=self.hz)
            m.d.comb += [pll.i.eq(buffer.i), self.clock.eq(pll.o)]
        return m
