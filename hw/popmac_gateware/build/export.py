"""The core as Verilog, for other FPGAs and other people's systems."""

from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib.wiring import In

from ..boards.axi import AxiCore


__all__ = ["export"]


#: Seconds that Yosys may take.
_LIMIT = 1800

_SCRIPT = ("read_rtlil {name}.il; hierarchy -top {name}; proc; opt; memory_collect; opt_clean; "
           "write_verilog -noattr {name}.v")


def export(arch, folder, *, tools):
    """Write the core of a target as Verilog without vendor's blocks, and a template of its use.

    Parameters
    ----------
    arch : :class:`ArchConfig`
    folder : path-like
        Receives ``popmac_TARGET.v``, ``popmac_TARGET_template.v`` and a log.
    tools : :class:`Tools`

    Returns
    -------
    pair of :class:`pathlib.Path`
        Of the two files.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name   = f"popmac_{arch.name.replace('-', '_')}"
    core   = AxiCore(arch)
    (folder / f"{name}.il").write_text(rtlil.convert(core, name=name, emit_src=False))
    tools.run("yosys", "-p", _SCRIPT.format(name=name), folder=folder,
              log=folder / f"{name}.log", limit=_LIMIT)
    (folder / f"{name}.il").unlink()
    template = folder / f"{name}_template.v"
    template.write_text(_template(core.signature, name, arch))
    return folder / f"{name}.v", template


def _template(signature, name, arch):
    """Verilog that uses a module once."""
    lines = [f"// {arch.name}, clocked at {arch.clock_hz / 1e6:g} MHz or what your FPGA allows.",
             "// Reset for at least 64 cycles. The streams carry the protocol of docs/protocol.md.",
             f"{name} {name}_i ("]
    ports = list(signature.members.items())
    for port, member in ports:
        kind  = "input" if member.flow is In else "output"
        width = f" [{member.shape - 1}:0]" if member.shape > 1 else ""
        comma = "" if port == ports[-1][0] else ","
        lines.append(f"    .{port + '()' + comma:20} // {kind}{width}")
    return "\n".join([*lines, ");\n"])
