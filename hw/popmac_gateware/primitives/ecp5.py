"""Blocks of the Lattice ECP5 as instances, with the parameters that the open tools understand.

Sources: Lattice FPGA-TN-02204 (memory), FPGA-TN-02205 (sysDSP), and the mapping rules of Yosys.
"""

from amaranth import *
from amaranth.vendor import LatticePlatform


__all__ = ["is_ecp5", "dp16kd", "mult18x18d", "ccu2c", "configuration_clock"]


def is_ecp5(platform):
    """Whether ``platform`` builds for an ECP5. Without a platform, components are behavioural."""
    return isinstance(platform, LatticePlatform) and platform.family == "ecp5"


def dp16kd(*, width, write_address, write_enable, write_mask, write_data, read_address, read_data):
    """An 18 kbit block RAM with one write port, one read port, and its output register on.

    Parameters
    ----------
    width : 9, 18 or 36
        Width of both ports; there are 2048, 1024 or 512 words.
    write_address, read_address : Value
    write_enable : Value
    write_mask : Value
        One bit per 9 bits of ``write_data``.
    write_data, read_data : Value
        ``width`` bits.
    """
    shift = {9: 3, 18: 4, 36: 5}[width]
    lanes = width // 9
    ports = {}

    # The low address bits are byte enables in the wide modes.
    address_w = [*write_mask, *([0] * (shift - lanes)), *write_address] if width > 9 else \
                [0, 0, 0, *write_address]
    address_r = [*([0] * shift), *read_address]
    address_w += [0] * (14 - len(address_w))
    address_r += [0] * (14 - len(address_r))
    for i in range(14):
        ports[f"i_ADA{i}"] = address_w[i]
        ports[f"i_ADB{i}"] = address_r[i]

    unused = Signal(36)
    for i in range(18):
        ports[f"i_DIA{i}"] = write_data[i] if i < width else 0
        ports[f"i_DIB{i}"] = write_data[18 + i] if width == 36 else 0
        if width == 36: # a 36 bit read port uses the outputs of both ports
            ports[f"o_DOA{i}"], ports[f"o_DOB{i}"] = read_data[i], read_data[18 + i]
        else:
            ports[f"o_DOA{i}"] = unused[i]
            ports[f"o_DOB{i}"] = read_data[i] if i < width else unused[18 + i]

    return Instance("DP16KD",
        p_DATA_WIDTH_A=width, p_DATA_WIDTH_B=width,
        p_REGMODE_A="OUTREG", p_REGMODE_B="OUTREG",
        p_RESETMODE="SYNC", p_ASYNC_RESET_RELEASE="SYNC", p_GSR="DISABLED",
        p_CSDECODE_A="0b000", p_CSDECODE_B="0b000",
        p_CLKAMUX="CLKA", p_CLKBMUX="CLKB", p_WRITEMODE_A="NORMAL", p_WRITEMODE_B="NORMAL",
        i_CLKA=ClockSignal(), i_CEA=1, i_OCEA=1, i_WEA=write_enable, i_RSTA=0,
        i_CSA0=0, i_CSA1=0, i_CSA2=0,
        i_CLKB=ClockSignal(), i_CEB=1, i_OCEB=1, i_WEB=0, i_RSTB=0,
        i_CSB0=0, i_CSB1=0, i_CSB2=0,
        **ports)


def mult18x18d(*, a, b, product):
    """A signed 18 x 18 multiplier with input, pipeline and output registers on.

    Parameters
    ----------
    a, b : Value
        18 bits, signed.
    product : Value
        36 bits, three cycles later.
    """
    ports = {f"i_A{i}": a[i] for i in range(18)} | {f"i_B{i}": b[i] for i in range(18)} \
          | {f"i_C{i}": 0 for i in range(18)} | {f"o_P{i}": product[i] for i in range(36)}
    clocks = {f"p_CLK{i}_DIV": "ENABLED" for i in range(4)} \
           | {f"i_CE{i}": 1 for i in range(4)} | {f"i_RST{i}": 0 for i in range(4)}
    return Instance("MULT18X18D",
        p_REG_INPUTA_CLK="CLK0", p_REG_INPUTA_CE="CE0", p_REG_INPUTA_RST="RST0",
        p_REG_INPUTB_CLK="CLK0", p_REG_INPUTB_CE="CE0", p_REG_INPUTB_RST="RST0",
        p_REG_INPUTC_CLK="NONE",
        p_REG_PIPELINE_CLK="CLK0", p_REG_PIPELINE_CE="CE0", p_REG_PIPELINE_RST="RST0",
        p_REG_OUTPUT_CLK="CLK0", p_REG_OUTPUT_CE="CE0", p_REG_OUTPUT_RST="RST0",
        p_GSR="DISABLED", p_SOURCEB_MODE="B_SHIFT", p_RESETMODE="SYNC",
        p_MULT_BYPASS="DISABLED", p_CAS_MATCH_REG="FALSE",
        i_CLK0=ClockSignal(), i_SIGNEDA=1, i_SIGNEDB=1, i_SOURCEA=0, i_SOURCEB=0,
        **ports, **clocks)


def ccu2c(*, inits, a, b, c, d, carry, sums):
    """Two positions of a carry chain: in each, four-input function, carry multiplexer and XOR.

    Parameters
    ----------
    inits : pair of int
    a, b, c, d, sums : pairs of Value
    carry : pair of Value
        In and out.
    """
    ports = {}
    for i in range(2):
        ports |= {f"p_INIT{i}": Const(inits[i], 16), f"p_INJECT1_{i}": "NO",
                  f"i_A{i}": a[i], f"i_B{i}": b[i], f"i_C{i}": c[i], f"i_D{i}": d[i],
                  f"o_S{i}": sums[i]}
    return Instance("CCU2C", i_CIN=carry[0], o_COUT=carry[1], **ports)


def configuration_clock(clock):
    """The pin that clocks the flash during configuration, which is no ordinary one.

    Source: Lattice FPGA-TN-02039 (sysCONFIG), "Master SPI configuration mode".
    """
    return Instance("USRMCLK", i_USRMCLKI=clock, i_USRMCLKTS=0)
