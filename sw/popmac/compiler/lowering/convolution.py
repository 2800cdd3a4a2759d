"""Convolutions and fully connected layers on the systolic array."""

import numpy as np

from ... import isa
from ...arch import ACCUMULATOR_BITS
from ...golden.arithmetic import activation_range
from ...golden.array import inner_product_excess, wrap
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..rounding import fit_layer


__all__ = ["lower_conv_2d", "lower_fully_connected", "window_loops", "weight_words"]


def weight_words(kernel, source, arch, *, dilated=False):
    """Weights as words, in the order of the steps.

    Parameters
    ----------
    kernel : ndarray of int8 (height, width, input channels, output channels)
    source : Layout
        Of the input. Where pixels share words, a step takes as many neighbouring taps of a kernel
        row as fit in a window.
    arch : ArchConfig
    dilated : bool
        Taps of a kernel row are not neighbours.

    Returns
    -------
    ndarray of int8 (output blocks, kernel rows, taps, input blocks, rows, columns)
    """
    height, width, inputs, outputs = kernel.shape
    rows, columns = arch.rows, arch.columns
    blocks = -(-outputs // columns)
    if source.group < rows:
        taps   = np.zeros((height, width, source.group, blocks * columns), np.int8)
        taps[:, :, :inputs, :outputs] = kernel
        if not dilated:
            taps = taps.reshape(height, 1, width * source.group, -1)
        steps  = -(-taps.shape[2] // rows)
        words  = np.zeros((height, taps.shape[1], steps * rows, blocks * columns), np.int8)
        words[:, :, :taps.shape[2]] = taps
        words  = words.reshape(height, taps.shape[1] * steps, 1, rows, blocks, columns)
    else:
        words  = np.zeros((height, width, source.blocks * rows, blocks * columns), np.int8)
        words[:, :, :inputs, :outputs] = kernel
        words  = words.reshape(height, width, source.blocks, rows, blocks, columns)
    return words.transpose(4, 0, 1, 2, 3, 5)


def window_loops(source, target, taps, *, strides, dilation, weight_steps=True, inner=True,
                 tap_bytes=None):
    """Loops of a layer that moves a window over an image.

    Parameters
    ----------
    source, target : Layout
    taps : (rows, columns, input blocks) of int
        Steps per pixel, as in :func:`weight_words`.
    strides, dilation : (int, int)
    weight_steps : bool
        Each step has a weight word of its own; otherwise all have the same.
    inner : bool
        Sum over the input blocks; otherwise each output block reads the block of its number.
    tap_bytes : int, optional
        From a tap of a row to the next; by default as in :func:`weight_words`.
    """
    rows, columns, blocks = taps
    if tap_bytes is None:
        packed    = source.group < source.word_bytes
        tap_bytes = source.word_bytes if packed and dilation[1] == 1 else \
            dilation[1] * source.pixel_bytes
    weight = int(weight_steps)
    return {
        "input_block":   Loop(blocks, word=source.block_pitch, weight=weight),
        "kernel_column": Loop(columns, column=tap_bytes, weight=weight * blocks),
        "kernel_row":    Loop(rows, row=dilation[0], word=dilation[0] * source.row_pitch,
                              weight=weight * blocks * columns),
        "column":        Loop(target.width, column=strides[1] * source.pixel_bytes,
                              output=target.pixel_bytes),
        "row":           Loop(target.height, row=strides[0], word=strides[0] * source.row_pitch,
                              output=target.row_pitch * target.word_bytes),
        "output_block":  Loop(target.blocks, weight=weight * blocks * columns * rows,
                              word=0 if inner else source.block_pitch,
                              output=target.block_pitch * target.word_bytes),
    }


def _plan(graph, node, arch, *, source, target, kernel, strides, dilation, before, macs):
    """Plan of a convolution with the weights ``kernel``, as in :func:`weight_words`."""
    x, weights, *bias = (graph.tensors[name] for name in node.inputs if name)
    output    = graph.tensors[node.output]
    channels  = kernel.shape[-1]
    zero      = int(x.zero_point[0])
    fitted    = fit_layer(graph, node)
    words     = weight_words(kernel, source, arch, dilated=dilation[1] > 1)

    # The array adds products of codes, and those that the fast inner product leaves in.
    bias      = bias[0].data.ravel().astype(np.int64) if bias else np.zeros(channels, np.int64)
    excess    = inner_product_excess(words).sum(axis=(1, 2, 3)).reshape(-1)[:channels]
    bias      = bias - fitted.origin - excess - zero * kernel.sum(axis=(0, 1, 2), dtype=np.int64)
    bias      = np.where(fitted.is_constant, 0, bias)
    low, high = activation_range(node.attrs["activation"], output.scale[0], output.zero_point[0])
    return LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], target=node.output,
        unit=isa.Unit.ARRAY,
        loops=window_loops(source, target, words.shape[1:4], strides=strides, dilation=dilation),
        first_row=-before[0], first_column=-before[1] * source.pixel_bytes,
        source_words=-before[0] * source.row_pitch,
        height=source.height, row_bytes=source.row_bytes, padding=zero,
        zero_point=fitted.zero_point, low=int(low), high=int(high), group=target.group,
        weights=words.reshape(-1, arch.rows, arch.columns),
        parameters=parameter_rows(
            isa.ChannelParameters, arch.columns, multiplier=fitted.multiplier, shift=fitted.shift,
            bias=wrap(bias, ACCUMULATOR_BITS), offset_positive=fitted.offset_positive,
            offset_negative=fitted.offset_negative),
        macs=macs)


def lower_conv_2d(graph, node, storages, arch):
    """Layers of a ``Conv2D`` node."""
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    kernel = graph.tensors[node.inputs[1]].data.transpose(1, 2, 3, 0)
    (top, _), (left, _) = node.attrs["padding"]
    macs = target.height * target.width * kernel.size
    return [_plan(graph, node, arch, source=source, target=target, kernel=kernel,
                  strides=node.attrs["strides"], dilation=node.attrs["dilation"],
                  before=(top, left), macs=macs)]


def lower_fully_connected(graph, node, storages, arch):
    """Layers of a ``FullyConnected`` node: a convolution whose kernel is the whole image."""
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    weights = graph.tensors[node.inputs[1]].data
    if target.width == 1 and target.height == 1:
        shape = (source.height, source.width, source.channels)
    else: # a row of vectors
        shape = (1, 1, source.channels)
    kernel = weights.T.reshape(*shape, len(weights))
    macs   = target.height * target.width * kernel.size
    return [_plan(graph, node, arch, source=source, target=target, kernel=kernel,
                  strides=(1, 1), dilation=(1, 1), before=(0, 0), macs=macs)]
