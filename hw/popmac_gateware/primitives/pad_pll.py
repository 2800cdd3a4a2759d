"""Clocks of other frequencies on the iCE40."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from .ice40 import sb_pll40_pad


__all__ = ["PadPll", "pad_pll_dividers"]


# iCE40 UltraPlus family data sheet FPGA-DS-02008, section 4.10.
_REFERENCE_HZ  = (10_000_000, 133_000_000)
_OSCILLATOR_HZ = (533_000_000, 1_066_000_000)
_OUTPUT_HZ     = (16_000_000, 275_000_000)

# Up to which frequency of the phase detector each FILTER_RANGE is for, from 1 on; as icepll does.
_FILTER_LIMITS = (17_000_000, 26_000_000, 44_000_000, 66_000_000, 101_000_000, 133_000_000)


def pad_pll_dividers(from_hz, to_hz):
    """``DIVR``, ``DIVF``, ``DIVQ`` and ``FILTER_RANGE`` that make one clock of another.

    Raises
    ------
    ValueError
        If there are none that give exactly ``to_hz``.
    """
    for divr in range(16):
        detector = from_hz / (divr + 1)
        if not _REFERENCE_HZ[0] <= detector <= _REFERENCE_HZ[1]:
            continue
        for divq in range(1, 7):
            oscillator = to_hz << divq
            factor, rest = divmod(oscillator * (divr + 1), from_hz)
            if not rest and 1 <= factor <= 128 and _OUTPUT_HZ[0] <= to_hz <= _OUTPUT_HZ[1] \
                    and _OSCILLATOR_HZ[0] <= oscillator <= _OSCILLATOR_HZ[1]:
                filter_range = 1 + sum(detector >= limit for limit in _FILTER_LIMITS[:-1])
                return divr, factor - 1, divq, filter_range
    raise ValueError(f"A clock of {to_hz!r} Hz cannot be made of one of {from_hz!r} Hz")


class PadPll(wiring.Component):
    """A clock of another frequency, from a pin that leads to the PLL only.

    Parameters
    ----------
    pad : :class:`amaranth.lib.io.SingleEndedPort`
    from_hz, to_hz : int

    Members
    -------
    o : ``Out(1)``
        Clock of ``to_hz``.
    locked : ``Out(1)``
        It is right.

    Raises
    ------
    ValueError
        If the PLL has no dividers for exactly this frequency.
    """

    o:      Out(1)
    locked: Out(1)

    def __init__(self, pad, *, from_hz, to_hz):
        self.pad      = pad
        self.from_hz  = from_hz
        self.to_hz    = to_hz
        self.dividers = pad_pll_dividers(from_hz, to_hz)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        divr, divf, divq, filter_range = self.dividers
        m.submodules.pll = sb_pll40_pad(pad=self.pad.io, output=self.o, locked=self.locked,
                                        divr=divr, divf=divf, divq=divq,
                                        filter_range=filter_range)
        return m
