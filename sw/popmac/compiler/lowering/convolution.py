"""Convolutions and fully connected layers on the systolic array."""

from dataclasses import replace

import numpy as np

from ... import isa
from ...arch import ACCUMULATOR_BITS
from ...golden.arithmetic import activation_range
from ...golden.array import engine_excess, wrap
from ...golden.single import part_codes
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..rounding import fit_layer


__all__ = ["array_plan", "convolution_plan", "lower_conv_2d", "lower_fully_connected",
           "weight_words", "window_loops"]


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
    ndarray of int8 (output blocks, kernel rows, taps, input blocks, rows, rows)
        An output block is what a word of memory holds; further columns of the array are not used.
    """
    height, width, inputs, outputs = kernel.shape
    rows   = arch.rows
    blocks = -(-outputs // rows)
    if source.group < rows:
        taps   = np.zeros((height, width, source.group, blocks * rows), np.int8)
        taps[:, :, :inputs, :outputs] = kernel
        if not dilated:
            taps = taps.reshape(height, 1, width * source.group, -1)
        steps  = -(-taps.shape[2] // rows)
        words  = np.zeros((height, taps.shape[1], steps * rows, blocks * rows), np.int8)
        words[:, :, :taps.shape[2]] = taps
        words  = words.reshape(height, taps.shape[1] * steps, 1, rows, blocks, rows)
    else:
        words  = np.zeros((height, width, source.blocks * rows, blocks * rows), np.int8)
        words[:, :, :inputs, :outputs] = kernel
        words  = words.reshape(height, width, source.blocks, rows, blocks, rows)
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


def _several_pixels(kernel, source, target, arch, *, stride, dilation):
    """Number of neighbouring output pixels that are best computed at once.

    Where output pixels share words, the array has columns for several of them. Their windows
    overlap: one stretch of a kernel row serves them all, with a copy of the kernel in each group of
    columns, shifted by the stride.

    Parameters
    ----------
    kernel : ndarray (height, width, input channels, output channels)
    source, target : Layout
    arch : ArchConfig
    stride, dilation : int
        To the right.
    """
    if target.group >= arch.rows or source.group >= arch.rows or dilation > 1:
        return 1

    def cycles(count):
        bytes_read = (kernel.shape[1] + stride * (count - 1)) * source.group
        steps      = kernel.shape[0] * -(-bytes_read // arch.rows)
        return max(steps, -(-count * target.group // arch.lanes)) * -(-target.width // count)

    counts = [1 << i for i in range((arch.word_bytes // target.group).bit_length())]
    return min(counts, key=cycles)


def array_plan(graph, node, arch, *, source, target, kernel, fitted, words, strides, dilation,
               before, macs, pixels=1, channels=slice(None), **place):
    """Plan of a layer that sums up products of an input with constant weights.

    Parameters
    ----------
    source, target : Layout
    kernel : ndarray of int (..., channels)
        What the columns of the array sum up; all axes but the last are summed.
    fitted : Requantization
        Of as many channels.
    words : ndarray of int8 (output blocks, kernel rows, taps, input blocks, rows, rows)
        Weights, as :func:`weight_words` makes them.
    strides, dilation, before : (int, int)
    macs : int
    pixels : int
        Neighbouring pixels that are computed at once; ``kernel`` and ``words`` are for one
        such group.
    channels : slice
        Of the node's bias.
    place : mapping
        Further fields of the plan.
    """
    x, weights, *bias = (graph.tensors[name] for name in node.inputs if name)
    output    = graph.tensors[node.output]
    count     = kernel.shape[-1]
    zero      = int(x.zero_point[0])
    if pixels > 1:
        target  = replace(target, width=-(-target.width // pixels), channels=pixels * target.group,
                          group=pixels * target.group, block_pitch=0,
                          pixel_pitch=int(pixels * target.group == target.word_bytes))

    # The array adds products of codes, and what its engine leaves in.
    bias      = bias[0].data.ravel()[channels].astype(np.int64) if bias else 0
    excess    = engine_excess(words, arch).sum(axis=(1, 2, 3))
    sums      = kernel.sum(axis=tuple(range(kernel.ndim - 1)), dtype=np.int64)
    bias      = bias - fitted.origin - zero * sums
    fields    = {"multiplier": fitted.multiplier, "shift": fitted.shift, "bias": bias,
                 "offset_positive": fitted.offset_positive,
                 "offset_negative": fitted.offset_negative, "constant": fitted.is_constant}
    if pixels > 1: # the same for each of them
        fill   = (0, target.group // pixels - count)
        fields = {name: np.tile(np.pad(values, fill), pixels) for name, values in fields.items()}
    constant  = fields.pop("constant")
    bias      = fields["bias"] - excess.reshape(-1)[:len(constant)]
    fields["bias"] = np.where(constant, 0, wrap(bias, ACCUMULATOR_BITS))

    zero_point = int(output.zero_point[0])
    low, high = activation_range(node.attrs["activation"], output.scale[0], zero_point)
    part      = node.attrs.get("part")
    low, high = part_codes(np.array([low, high]), zero_point, part).tolist()
    fields    = {
        "loops": window_loops(source, target, words.shape[1:4],
                              strides=(strides[0], strides[1] * pixels), dilation=dilation),
        "source_words": -before[0] * source.row_pitch,
        "height": source.height, "row_bytes": source.row_bytes,
        "unit": isa.Unit.ARRAY, "weights": words.reshape(-1, arch.rows, arch.rows),
        "parameters": parameter_rows(isa.ChannelParameters, arch.columns, block=arch.rows,
                                     **fields),
    } | place
    return LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], target=node.output,
        first_row=-before[0], first_column=-before[1] * source.pixel_bytes,
        padding=zero, zero_point=fitted.zero_point, low=int(low), high=int(high),
        group=target.group, macs=0 if part and part[0] else macs, **fields)


def convolution_plan(graph, node, arch, *, source, target, kernel, strides, dilation, before, macs):
    """Plan of a convolution with ``kernel`` (height, width, input channels, output channels)."""
    pixels = _several_pixels(kernel, source, target, arch, stride=strides[1], dilation=dilation[1])
    copies = kernel
    if pixels > 1:
        height, width, inputs, outputs = kernel.shape
        copies = np.zeros((height, width + strides[1] * (pixels - 1), inputs, pixels, target.group),
                          np.int8)
        for i in range(pixels):
            copies[:, strides[1] * i:strides[1] * i + width, :, i, :outputs] = kernel
        copies = copies.reshape(*copies.shape[:3], -1)
    return array_plan(graph, node, arch, source=source, target=target, kernel=kernel,
                      fitted=fit_layer(graph, node),
                      words=weight_words(copies, source, arch, dilated=dilation[1] > 1),
                      strides=strides, dilation=dilation, before=before, macs=macs, pixels=pixels)


def lower_conv_2d(graph, node, storages, arch):
    """Layers of a ``Conv2D`` node."""
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    kernel = graph.tensors[node.inputs[1]].data.transpose(1, 2, 3, 0)
    (top, _), (left, _) = node.attrs["padding"]
    macs = target.height * target.width * kernel.size
    return [convolution_plan(graph, node, arch, source=source, target=target, kernel=kernel,
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
    return [convolution_plan(graph, node, arch, source=source, target=target, kernel=kernel,
                             strides=(1, 1), dilation=(1, 1), before=(0, 0), macs=macs)]
