"""Depthwise convolutions on the systolic array."""

import numpy as np

from ..nest import Loop
from ..rounding import fit_layer
from .convolution import array_plan, convolution_plan


__all__ = ["lower_depthwise_conv_2d"]


def lower_depthwise_conv_2d(graph, node, storages, arch):
    """Layers of a ``DepthwiseConv2D`` node.

    Where pixels share words, it is a convolution whose kernels are 0 for all other channels.
    Otherwise a step takes one tap of a block of channels, with weights on the diagonal of the
    array; where a channel has several results, these are in as many blocks of output
    channels, and each block of input channels is a layer of its own.
    """
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    weights  = graph.tensors[node.inputs[1]].data[0]
    multiple = node.attrs["depth_multiplier"]
    (top, _), (left, _) = node.attrs["padding"]
    strides, dilation   = node.attrs["strides"], node.attrs["dilation"]
    outputs  = weights.shape[2]
    reads    = np.arange(outputs) // multiple
    pixels   = target.height * target.width
    common   = {"source": source, "target": target, "strides": strides, "dilation": dilation,
                "before": (top, left)}
    if source.group < arch.rows:
        kernel = np.zeros((*weights.shape[:2], source.channels, outputs), np.int8)
        kernel[:, :, reads, np.arange(outputs)] = weights
        return [convolution_plan(graph, node, arch, kernel=kernel, macs=pixels * weights.size,
                                 **common)]

    fitted = fit_layer(graph, node)
    height, width, _ = weights.shape
    words  = np.zeros((target.blocks, height, width, 1, arch.rows, arch.columns), np.int8)
    block, column = np.divmod(np.arange(outputs), arch.columns)
    words[block, :, :, 0, reads % arch.rows, column] = weights.transpose(2, 0, 1)

    # Blocks of outputs go on together with their block of inputs only if there are as many.
    at_once = target.blocks if multiple == 1 or source.blocks == 1 else multiple
    plans   = []
    for first in range(0, target.blocks, at_once):
        channels = slice(first * arch.columns, min((first + at_once) * arch.columns, outputs))
        here     = words[first:first + at_once]
        plan     = array_plan(
            graph, node, arch, kernel=weights[:, :, channels], fitted=fitted.of(channels),
            words=here, macs=pixels * weights[:, :, channels].size, channels=channels, **common,
            source_words=-top * source.row_pitch + first // multiple * source.block_pitch,
            target_bytes=first * target.block_pitch * arch.word_bytes)
        blocks   = plan.loops["output_block"]
        plan.loops["output_block"] = Loop(
            len(here), weight=blocks.strides["weight"], output=blocks.output,
            word=source.block_pitch if multiple == 1 else 0)
        plans.append(plan)
    return plans
