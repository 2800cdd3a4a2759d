"""How many cycles a layer will take."""

from .. import isa
from ..arch import LANE_ENTRIES


__all__ = ["layer_change", "predict"]


#: Cycles between the last step of a layer and the first step of the next, but for those that the
#: step spends from the words of a window on, in the array or pair unit, and that the lanes run one
#: behind the other.
_MEMORY_TO_MEMORY = 31

#: Cycles in the pair unit; in the array and in the binary engine, but for the rows and for the
#: skew of the sums.
_PAIR, _ARRAY, _BINARY = 8, 5, 3

#: Cycles until the descriptor of the first layer of a run is there, and further ones until its
#: first parameters are, but for one per two channels.
_DESCRIPTOR, _PARAMETERS = 9, 5


#: Of the serial engine, in frames: from a block to the next, with the same parameters and with
#: others; from the end of the layer before, or from the run command, to the first frame.
_SHARED_BLOCK, _BLOCK, _FIRST_LAYER, _NEXT_LAYER = 10, 19, 37, 39


def layer_change(unit, arch):
    """Cycles between the last step of a layer and the first step of the next."""
    skew  = arch.lanes // 2 - 1
    array = arch.rows // 2 + (arch.phases - 1) * skew
    way   = {isa.Unit.ARRAY: _ARRAY + array, isa.Unit.DEPTHWISE: _ARRAY + array,
             isa.Unit.BINARY: _BINARY + array}.get(unit, _PAIR)
    if unit not in (isa.Unit.BINARY, isa.Unit.DEPTHWISE): # two bits of the offset per cycle
        way += -(-(arch.rows - 1).bit_length() // 2)
    return _MEMORY_TO_MEMORY + way + skew


def predict(plan, arch, *, begins=False):
    """Predicted cycles of a layer, from the end of the layer before to its own.

    A pixel takes a cycle per step, or one per phase of the requantiser if these are more, which
    the last pixel does not wait for; the parameters of a block take a cycle per two channels, are
    fetched ahead, but not those of a layer that ``begins`` a run, and keep their slot until the
    last results of the block are written.
    """
    if arch.engine == "serial":
        return _predict_serial(plan, begins)
    pixel  = max(plan.steps_per_pixel, plan.phases(arch))
    block  = plan.pixels_per_block * pixel
    blocks = plan.blocks
    loads  = 1 if plan.shared else blocks
    load   = arch.columns // 2
    change = layer_change(plan.unit, arch)
    slots  = LANE_ENTRIES // arch.phases
    # From the end of the layer before: when steps may begin, and parameters come.
    begin  = _DESCRIPTOR if begins else 0
    start  = _DESCRIPTOR - load if begins else _DESCRIPTOR - change - load
    # The sums of planes come one behind the other, that of a pixel with the last of its bits.
    late   = plan.planes - 1 + (1 << plan.plane_bits_log2) - 1
    change = change + (plan.unit == isa.Unit.BINARY) * late * arch.phases
    steps  = plan.steps_per_pixel
    ends   = [] # of the steps of each block
    for i in range(blocks):
        if i < loads:
            start = max(start + load, ends[i - slots] + change if i >= slots else start)
        # A pixel needs them with its last step.
        ends.append(max(ends[-1] if i else begin, start + load + _PARAMETERS - steps) + block)
    return ends[-1] + change - (pixel - steps)


def _predict_serial(plan, begins):
    """Exactly: a frame of four cycles per step of one or two pixels of a row, and one for them."""
    column = plan.loops["column"].count if "column" in plan.loops else 1
    groups = plan.pixels_per_block // column * -(-column // 2) * plan.blocks
    frames = groups * (plan.steps_per_pixel + 1)
    if column > 1: # where the second pixel is has to be found out
        frames += plan.steps_per_pixel + 1
    frames += (plan.blocks - 1) * (_SHARED_BLOCK if plan.shared else _BLOCK) \
        + (_FIRST_LAYER if begins else _NEXT_LAYER)
    return 4 * frames


assert isa.LEVELS[:3] == ("input_block", "kernel_column", "kernel_row")
