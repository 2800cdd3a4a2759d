"""Clocks of other frequencies."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Pll", "pll_dividers"]


# LFE5U family data sheet FPGA-DS-02012, section 3.19.
_PHASE_DETECTOR_HZ = (10_000_000, 400_000_000)
_OSCILLATOR_HZ     = (400_000_000, 800_000_000)
_DIVIDERS          = range(1, 129)


def pll_dividers(from_hz, to_hz):
    """Dividers of the reference, of the feedback and of the output that make one clock of another.

    Raises
    ------
    ValueError
        If there are none that give exactly ``to_hz``.
    """
    for reference in _DIVIDERS:
        feedback, rest = divmod(to_hz * reference, from_hz)
        if rest or feedback not in _DIVIDERS:
            continue
        if not _PHASE_DETECTOR_HZ[0] <= from_hz // reference <= _PHASE_DETECTOR_HZ[1]:
            continue
        # In the middle of its range, the oscillator is farthest from where it fails.
        output = max(1, round(sum(_OSCILLATOR_HZ) / 2 / to_hz))
        if output in _DIVIDERS and _OSCILLATOR_HZ[0] <= to_hz * output <= _OSCILLATOR_HZ[1]:
            return reference, feedback, output
    raise ValueError(f"A clock of {to_hz!r} Hz cannot be made of one of {from_hz!r} Hz")


class Pll(wiring.Component):
    """A clock of another frequency, which stands still until it is right.

    So what it drives needs no reset: until the first edge, registers have their initial values.

    Parameters
    ----------
    from_hz, to_hz : int

    Members
    -------
    i : ``In(1)``
        Clock of ``from_hz``.
    o : ``Out(1)``
        Clock of ``to_hz``.

    Raises
    ------
    ValueError
        If the PLL has no dividers for exactly this frequency.
    """

    i: In(1)
    o: Out(1)

    def __init__(self, *, from_hz, to_hz):
        self.from_hz  = from_hz
        self.to_hz    = to_hz
        self.dividers = pll_dividers(from_hz, to_hz)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        reference, feedback, output = self.dividers
        clock  = Signal()
        locked = Signal()
        m.submodules.pll = Instance("EHXPLLL",
            a_FREQUENCY_PIN_CLKI=str(self.from_hz / 1e6),
            a_FREQUENCY_PIN_CLKOP=str(self.to_hz / 1e6),
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED", p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=reference, p_CLKFB_DIV=feedback,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=output,
            p_CLKOP_CPHASE=output - 1, p_CLKOP_FPHASE=0,
            i_CLKI=self.i, i_CLKFB=clock, i_RST=0, i_STDBY=0,
            i_PHASESEL0=0, i_PHASESEL1=0, i_PHASEDIR=1, i_PHASESTEP=1, i_PHASELOADREG=1,
            i_PLLWAKESYNC=0, i_ENCLKOP=0, o_CLKOP=clock, o_LOCK=locked)
        m.submodules.gate = Instance("DCCA", i_CLKI=clock, i_CE=locked, o_CLKO=self.o)
        return m
