"""How many cycles a layer will take."""

from .. import isa


__all__ = ["predict", "LAYER_CHANGE"]


#: Cycles between the last step of a layer and the first step of the next, on every target.
LAYER_CHANGE = 49


def predict(plan, arch):
    """Predicted cycles of a layer, from the end of the layer before to its own.

    A pixel takes a cycle per step, or one per phase of the requantiser if these are more; the
    parameters of a block take a cycle per two channels, and are fetched ahead.
    """
    pixel  = max(plan.steps_per_pixel, plan.phases(arch))
    block  = plan.pixels_per_block * pixel
    blocks = plan.blocks
    loads  = 1 if plan.shared else blocks
    load   = arch.columns // 2
    ahead  = LAYER_CHANGE // load
    change = LAYER_CHANGE + (plan.unit == isa.Unit.BINARY) * (1 + (plan.planes - 1) * arch.phases)
    return change + max(blocks * block, (loads - ahead) * load + block)


assert isa.LEVELS[:3] == ("input_block", "kernel_column", "kernel_row")
