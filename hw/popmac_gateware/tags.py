"""What accompanies a pixel from its last step to the writing of its results."""

from amaranth import *
from amaranth.lib import data

from popmac import isa
from popmac.arch import LANE_ENTRIES


__all__ = ["parameter_slots", "tag_layout", "done_layout"]


def parameter_slots(arch):
    """Output-channel blocks whose parameters the lanes hold."""
    return LANE_ENTRIES // arch.phases


def tag_layout(arch):
    """Label of a pixel."""
    return data.StructLayout({
        "slot":    range(parameter_slots(arch)), # where the lanes have the parameters
        "column":  1, # the loop that goes on after this pixel is the one over columns,
        "row":     1, # over rows,
        "block":   1, # over output-channel blocks,
        "final":   1, # none: this is the last pixel of the layer
        "release": 1, # the last pixel that uses the parameters in the slot
    })


def done_layout(arch):
    """The last step of a pixel has been taken."""
    return data.StructLayout({"valid": 1, "tag": tag_layout(arch)})


assert isa.LEVELS[3:] == ("column", "row", "output_block")
