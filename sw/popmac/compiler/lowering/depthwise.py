"""Depthwise convolutions on the systolic array."""

import numpy as np

from ... import isa
from ...arch import BANKS
from ..nest import Loop
from ..rounding import fit_layer
from .convolution import array_plan, convolution_plan


__all__ = ["lower_depthwise_conv_2d", "row_pitch", "takes_words"]


def takes_words(graph, node, arch):
    """Whether a ``DepthwiseConv2D`` node can take several words in each step."""
    channels = graph.tensors[node.inputs[0]].shape[3]
    # With fewer channels, pixels share words.
    return "DEPTHWISE" in arch.units and channels > arch.rows // 2 \
        and node.attrs["depth_multiplier"] == 1 \
        and node.attrs["dilation"][1] == 1


def row_pitch(words, dilation, arch):
    """Least pitch of at least so many words with which taps of two rows are in different banks.

    ``None`` if there is none, which is so for some dilations.
    """
    return next((pitch for pitch in range(words, words + BANKS)
                 if arch.tap_columns <= pitch * dilation % BANKS <= BANKS - arch.tap_columns), None)


def lower_depthwise_conv_2d(graph, node, storages, arch):
    """Layers of a ``DepthwiseConv2D`` node.

    Where pixels share words, it is a convolution whose kernels are 0 for all other channels.
    Otherwise, if the rows of the input are so far apart that it is possible, a step takes
    neighbouring taps of two rows. If not, a step takes one tap of a block of channels, with weights
    on the diagonal of the array; where a channel has several results, these are in as many blocks
    of output channels, and each block of input channels is a layer of its own.
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
    pitch  = source.row_pitch * dilation[0]
    if takes_words(graph, node, arch) and source.pixel_pitch == 1 \
            and row_pitch(source.row_pitch, dilation[0], arch) == source.row_pitch:
        words = _tap_words(weights, target.blocks, arch)
        plan  = array_plan(graph, node, arch, kernel=weights, fitted=fitted, words=words,
                           macs=pixels * weights.size, unit=isa.Unit.DEPTHWISE,
                           tap_rows=dilation[0], tap_words=pitch, **common)
        loops, steps = plan.loops, words.shape[1] * words.shape[2]
        loops["kernel_column"] = Loop(words.shape[2], weight=1,
                                      column=arch.tap_columns * arch.word_bytes)
        loops["kernel_row"]    = Loop(words.shape[1], weight=words.shape[2], word=2 * pitch,
                                      row=2 * dilation[0])
        loops["output_block"]  = Loop(target.blocks, weight=steps, word=source.block_pitch,
                                      output=loops["output_block"].output)
        return [plan]

    words  = np.zeros((target.blocks, height, width, 1, arch.rows, arch.rows), np.int8)
    block, column = np.divmod(np.arange(outputs), arch.rows)
    words[block, :, :, 0, reads % arch.rows, column] = weights.transpose(2, 0, 1)

    # Blocks of outputs go on together with their block of inputs only if there are as many.
    at_once = target.blocks if multiple == 1 or source.blocks == 1 else multiple
    plans   = []
    for first in range(0, target.blocks, at_once):
        channels = slice(first * arch.rows, min((first + at_once) * arch.rows, outputs))
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


def _tap_words(weights, blocks, arch):
    """Weights (height, width, channels) as words of steps that take several taps."""
    height, width, channels = weights.shape
    down, along = -(-height // 2), -(-width // arch.tap_columns)
    taps = np.zeros((2 * down, along * arch.tap_columns, blocks * arch.rows), np.int8)
    taps[:height, :width, :channels] = weights
    taps = taps.reshape(down, 2, along, arch.tap_columns, blocks, arch.rows)
    taps = taps.transpose(4, 0, 2, 1, 3, 5).reshape(blocks, down, along, 1, -1, arch.rows)
    words = np.zeros((*taps.shape[:4], arch.rows, arch.rows), np.int8)
    words[..., :2*taps.shape[4]:2, :] = taps
    return words
