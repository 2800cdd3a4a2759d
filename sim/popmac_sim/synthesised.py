"""The core as Yosys maps it to the blocks of a chip, for simulation."""

from pathlib import Path

from amaranth.back import rtlil

from popmac_gateware.boards.platforms import BOARDS
from popmac_gateware.build.families import ECP5, ICE40, family
from popmac_gateware.build.tools import Tools
from popmac_gateware.core import Core

from .board import GATEWARE
from .ecp5_models import ecp5_models
from .ice40_models import ice40_models
from .verilated import build


__all__ = ["build_synthesised", "synthesise"]


#: Seconds that Yosys may take.
_LIMIT = 1800

# Synthesised, the cells are replaced by what they do: those of Yosys by its own models, those of
# which Yosys has only the shells by ours.
_CELLS = {
    ECP5: """
read_verilog -DNO_INCLUDES +/ecp5/common_sim.vh
read_verilog +/ecp5/ccu2c_sim.vh
read_verilog -sv models.v
""",
    ICE40: """
read_verilog models.v
""",
}
_MODELS = {ECP5: ecp5_models, ICE40: ice40_models}

_FLATTEN = """
design -reset
{cells}
read_verilog mapped.v
hierarchy -check -top board
proc
flatten
opt -full
memory_collect
opt_clean
write_rtlil flat.il
"""


def unchanged(verilog):
    """Verilog as it is."""
    return verilog


def synthesise(arch, folder, *, edit=unchanged):
    """Netlist of the core of a target after synthesis, as RTLIL text that can be simulated.

    Parameters
    ----------
    arch : :class:`popmac.arch.ArchConfig`
    folder : path-like
        For files on the way.
    edit : callable
        Applied to the Verilog of the mapped netlist; for tests that break it.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    folder   = Path(folder)
    platform = BOARDS[arch.name].platform()
    chips    = family(platform)
    (folder / "models.v").write_text(_MODELS[chips]())
    (folder / "top.il").write_text(rtlil.convert(Core(arch), name="board", platform=platform))
    script = chips.synthesis.format(top="board") + "write_verilog -noattr mapped.v"
    Tools().run("yosys", "-p", script, folder=folder, log=folder / "synthesis.log", limit=_LIMIT)
    mapped = folder / "mapped.v"
    mapped.write_text(edit(mapped.read_text()))
    flatten = _FLATTEN.format(cells=_CELLS[chips])
    Tools().run("yosys", "-p", flatten, folder=folder, log=folder / "flatten.log", limit=_LIMIT)
    return (folder / "flat.il").read_text()


def build_synthesised(arch, folder, *, edit=unchanged):
    """Library that simulates the synthesised core; see :func:`popmac_sim.verilated.build`.

    Libraries are told apart by the name of ``edit``.
    """
    return build(lambda: synthesise(arch, folder, edit=edit), sources=[*GATEWARE, Path(__file__)],
                 parameters=f"synthesised {edit.__name__} {arch.to_json()}",
                 description=f"{arch.name} after synthesis (minutes)")
