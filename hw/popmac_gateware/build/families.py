"""What differs between the families of FPGAs in a build."""

from dataclasses import dataclass

from ..primitives.ice40 import is_ice40


__all__ = ["Family", "ECP5", "ICE40", "family"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Programs for a family of FPGAs, and how they are called.

    Parameters
    ----------
    synthesis : str
        Script of Yosys, with ``{top}`` for the name of the module.
    constraints : str
        File of the platform's constraints.
    router, packer : str
        Programs that place and route, and that make the bitstream.
    options : callable
        Arguments of the router that do not depend on the device or the seed, from platform and
        netlist.
    configuration : (str, str)
        Option of the router for what the packer reads, and the ending of its name.
    packing : tuple of str
        Further arguments of the packer.
    bitstream : str
        File that the packer writes.
    has_floorplan : bool
        Blocks have to be placed by us.
    resources : dict
        Name in the manifest -> cells in the router's report.
    counted : dict
        Name in the manifest -> beginning of a cell's type in the netlist -> how many it counts for;
        for what the report does not say.
    """

    synthesis:     str
    constraints:   str
    router:        str
    packer:        str
    options:       callable
    configuration: tuple
    packing:       tuple
    bitstream:     str
    has_floorplan: bool
    resources:     dict
    counted:       dict


# Lattice's name -> that of nextpnr.
_PACKAGES = {"BG256": "CABGA256", "BG381": "CABGA381", "MG285": "CSFBGA285"}


def _ecp5_options(platform, netlist):
    # What arrives too late is routed again, in another 1,500 rounds at most: without, the router is
    # content when no wire is used twice.
    return ["--package", _PACKAGES[platform.package], "--speed", platform.speed,
            "--lpf", "top.lpf", "--lpf-allow-unconstrained", "--json", netlist,
            "--router", "router2", "--tmg-ripup", "--timing-allow-fail",
            "--detailed-timing-report"]


def _ice40_options(platform, netlist):
    return ["--package", platform.package.lower(), "--pcf", "top.pcf", "--json", netlist,
            "--timing-allow-fail", "--detailed-timing-report"]


# Registers that are copies of each other on purpose are marked; Yosys would make one of them. What
# it takes for a multiplication is better off in logic: the multipliers are instances.
ECP5 = Family(
    synthesis=r"""
read_rtlil top.il
proc
setattr -set keep 1 a:hop %ci1 t:$dff %i
synth_ecp5 -nodsp -abc9 -top {top}
""",
    constraints="top.lpf", router="nextpnr-ecp5", packer="ecppack", options=_ecp5_options,
    configuration=("--textcfg", "config"), packing=("--compress",), bitstream="bitstream.bit",
    has_floorplan=True,
    # As nextpnr counts before it packs; "comb" is what they take when they are placed.
    counted={"lut4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}},
    resources={"comb": "TRELLIS_COMB", "ff": "TRELLIS_FF", "ebr": "DP16KD", "dsp": "MULT18X18D"})

# A logic cell has a four-input function and a flip-flop: it counts as the former.
ICE40 = Family(
    synthesis=r"""
read_rtlil top.il
synth_ice40 -abc9 -device u -top {top}
""",
    constraints="top.pcf", router="nextpnr-ice40", packer="icepack", options=_ice40_options,
    configuration=("--asc", "asc"), packing=(), bitstream="bitstream.bin", has_floorplan=False,
    resources={"lut4": "ICESTORM_LC", "ebr": "ICESTORM_RAM", "dsp": "ICESTORM_DSP",
               "spram": "ICESTORM_SPRAM"}, counted={"ff": {"SB_DFF": 1}})


def family(platform):
    """Family of the chip of a platform."""
    return ICE40 if is_ice40(platform) else ECP5
