"""Transposed convolutions, as several convolutions."""

import numpy as np

from ..nest import Loop
from ..rounding import fit_layer
from .convolution import array_plan, weight_words


__all__ = ["lower_transpose_conv"]


def lower_transpose_conv(graph, node, storages, arch):
    """Layers of a ``TransposeConv`` node.

    Output rows that leave the same remainder when divided by the stride are made of the same
    kernel rows, and so with columns: for each pair of remainders there is a convolution with
    every ``stride``-th tap of the kernel, in reverse order, and a stride of 1.
    """
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    kernel = graph.tensors[node.inputs[1]].data.transpose(1, 2, 3, 0)
    fitted = fit_layer(graph, node)
    plans  = []
    for y, (rows, above) in enumerate(_parts(kernel.shape[0], 0, node, target.height)):
        for x, (columns, left) in enumerate(_parts(kernel.shape[1], 1, node, target.width)):
            part = kernel[rows][:, columns]
            macs = source.height * source.width * part.size
            if not part.size: # there is nothing but the bias
                part = np.zeros((1, 1, *kernel.shape[2:]), np.int8)
            plan = array_plan(
                graph, node, arch, source=source, target=target, kernel=part, fitted=fitted,
                words=weight_words(part, source, arch), strides=(1, 1), dilation=(1, 1),
                before=(above, left), macs=macs,
                target_bytes=y * target.row_pitch * target.word_bytes + x * target.pixel_bytes)
            for name, first, stride, size in (
                    ("row", y, node.attrs["strides"][0], target.height),
                    ("column", x, node.attrs["strides"][1], target.width)):
                loop = plan.loops[name]
                plan.loops[name] = Loop(-(-(size - first) // stride), **loop.strides,
                                        output=stride * loop.output)
            plans.append(plan)
    return plans


def _parts(taps, axis, node, size):
    """Indices of taps of the kernel, and padding before the input, for each remainder."""
    stride = node.attrs["strides"][axis]
    before = node.attrs["padding"][axis][0]
    for remainder in range(min(stride, size)):
        behind, first = divmod(remainder + before, stride)
        chosen = range(first, taps, stride)[::-1]
        yield list(chosen), max(len(chosen), 1) - 1 - behind
