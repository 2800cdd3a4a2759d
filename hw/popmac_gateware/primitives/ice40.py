"""Blocks of the Lattice iCE40 UltraPlus as instances.

Sources: Lattice FPGA-TN-02002 (SPRAM), FPGA-TN-02007 (DSP), FPGA-TN-02052 (PLL), and the models of
Yosys (``ice40/cells_sim.v``).
"""

from amaranth import *
from amaranth.vendor import SiliconBluePlatform


__all__ = ["is_ice40", "sb_spram256ka", "sb_mac16_bytes", "sb_mac16_words", "sb_pll40_pad"]


def is_ice40(platform):
    """Whether ``platform`` builds for an iCE40. Without a platform, components are behavioural."""
    return isinstance(platform, SiliconBluePlatform)


def sb_spram256ka(*, address, write_enable, write_data, read_data):
    """A single-port memory of 16,384 words of 16 bits.

    Parameters
    ----------
    address : Value
        14 bits.
    write_enable : Value
        A bit for each of the two bytes; if there is any, nothing is read.
    write_data, read_data : Value
        16 bits.
    """
    return Instance("SB_SPRAM256KA",
        i_CLOCK=ClockSignal(), i_ADDRESS=address, i_DATAIN=write_data, o_DATAOUT=read_data,
        i_WREN=write_enable.any(),
        i_MASKWREN=Cat(write_enable[0].replicate(2), write_enable[1].replicate(2)),
        i_CHIPSELECT=Const(1), i_STANDBY=Const(0), i_SLEEP=Const(0), i_POWEROFF=Const(1))


def _sb_mac16(*, a, b, output, **parameters):
    return Instance("SB_MAC16",
        p_A_REG=Const(1, 1), p_B_REG=Const(1, 1),
        p_A_SIGNED=Const(1, 1), p_B_SIGNED=Const(1, 1),
        **{f"p_{name}": value for name, value in parameters.items()},
        i_CLK=ClockSignal(), i_CE=Const(1), i_A=a, i_B=b, o_O=output,
        **{f"i_{name}": Const(0, 16) for name in "CD"},
        **{f"i_{name}": Const(0) for name in (
            "AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT",
            "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI",
            "ACCUMCI", "SIGNEXTIN")})


def sb_mac16_bytes(*, a, b, products):
    """Two signed multipliers of 8 x 8 bits with registers in front and behind.

    Parameters
    ----------
    a, b : Value
        16 bits: the operands of both.
    products : Value
        32 bits, two cycles later: the product of the low bytes is the low half.
    """
    return _sb_mac16(a=a, b=b, output=products, MODE_8x8=Const(1, 1),
                     TOP_8x8_MULT_REG=Const(1, 1), BOT_8x8_MULT_REG=Const(1, 1),
                     TOPOUTPUT_SELECT=Const(2, 2), BOTOUTPUT_SELECT=Const(2, 2))


def sb_mac16_words(*, a, b, product):
    """A signed multiplier of 16 x 16 bits with registers in front and behind.

    Parameters
    ----------
    a, b : Value
        16 bits.
    product : Value
        32 bits, two cycles later.
    """
    return _sb_mac16(a=a, b=b, output=product, PIPELINE_16x16_MULT_REG2=Const(1, 1),
                     TOPOUTPUT_SELECT=Const(3, 2), BOTOUTPUT_SELECT=Const(3, 2))


def sb_pll40_pad(*, pad, output, locked, divr, divf, divq, filter_range):
    """The PLL, fed from the pin beside it, on a global clock network.

    Parameters
    ----------
    pad : IOValue
    output, locked : Value
    divr, divf, divq, filter_range : int
        The frequency is that of the pin times ``divf + 1``, divided by ``divr + 1`` and by
        ``2**divq``.
    """
    return Instance("SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE", p_PLLOUT_SELECT="GENCLK",
        p_DIVR=Const(divr, 4), p_DIVF=Const(divf, 7), p_DIVQ=Const(divq, 3),
        p_FILTER_RANGE=Const(filter_range, 3),
        i_PACKAGEPIN=pad, i_RESETB=Const(1), i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=output, o_LOCK=locked)
