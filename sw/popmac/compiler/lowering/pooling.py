"""Average and maximum pooling, and means of whole images."""

from itertools import groupby

import numpy as np

from ... import isa
from ...golden.arithmetic import activation_range
from ...golden.single import part_codes
from ..plan import LayerPlan
from ..records import parameter_rows
from ..rounding import fit_average, fit_mean, fit_real_average
from .convolution import window_loops


__all__ = ["lower_average_pool_2d", "lower_max_pool_2d", "lower_mean", "lower_reduce_max"]


def _taps_inside(size, kernel, stride, before, outputs):
    """How many taps of a window are inside of the image, for each output."""
    first = np.arange(outputs) * stride - before
    return (np.minimum(first + kernel, size) - np.maximum(first, 0)).tolist()


def _runs(values):
    """Runs of equal values, as (first index, length, value)."""
    first = 0
    for value, run in groupby(values):
        length = len(list(run))
        yield first, length, value
        first += length


def lower_average_pool_2d(graph, node, storages, arch):
    """Layers of an ``AveragePool2D`` node: sums by the array, with weights of 1.

    What a sum is divided by is the number of taps inside of the image, which differs along
    padded borders: each part of the output with the same number is a layer of its own.
    """
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    output    = graph.tensors[node.output]
    kernel    = node.attrs["kernel"]
    strides   = node.attrs["strides"]
    (top, _), (left, _) = node.attrs["padding"]
    low, high = activation_range(node.attrs["activation"], output.scale[0], output.zero_point[0])
    x         = graph.tensors[node.inputs[0]]
    real      = node.attrs.get("rounding") == "single"
    quantised = [(tensor.scale[0], int(tensor.zero_point[0])) for tensor in (x, output)]
    plans = []
    for first_row, rows, taps_y in _runs(
            _taps_inside(source.height, kernel[0], strides[0], top, target.height)):
        for first_column, columns, taps_x in _runs(
                _taps_inside(source.width, kernel[1], strides[1], left, target.width)):
            taps = taps_y * taps_x
            if real:
                divisor = kernel[0] * kernel[1] if node.attrs["count_padding"] else taps
                fitted  = fit_real_average(taps, divisor, *quantised, node.attrs["offset"])
            else:
                fitted  = fit_average(taps, zero_point=0, low=low, high=high)
            plans.append(_sums(
                node, arch, source, target, kernel, strides, fitted=fitted,
                bias=-taps * quantised[0][1] if real else 0,
                limits=(low, high), first=(first_row, first_column), count=(rows, columns),
                before=(top, left)))
    return plans


def lower_mean(graph, node, storages, arch):
    """Layers of a ``Mean`` node over rows, columns, or both: a pooling of whole axes."""
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    x, output = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    kernel    = _whole_axes(graph, node, storages)
    taps      = kernel[0] * kernel[1]
    x_zero, zero = int(x.zero_point[0]), int(output.zero_point[0])
    fitted    = fit_mean(taps, x.scale[0], x_zero, output.scale[0], zero,
                         rounding=node.attrs.get("rounding", "fixed"),
                         part=node.attrs.get("part"))
    limits    = part_codes(np.array([-128, 127]), zero, node.attrs.get("part"))
    return [_sums(node, arch, source, target, kernel, (1, 1), fitted=fitted, bias=-taps * x_zero,
                  limits=limits, count=(target.height, target.width))]


def _sums(node, arch, source, target, kernel, strides, *, fitted, bias, limits, count,
          first=(0, 0), before=(0, 0)):
    """Plan of a part of a pooling: sums by the array, with weights of 1."""
    loops  = window_loops(source, target, (*kernel, 1), strides=strides, dilation=(1, 1),
                          weight_steps=False, inner=False, tap_bytes=source.pixel_bytes)
    loops["row"].count, loops["column"].count = count
    row, column = (i * stride - outside for i, stride, outside in zip(first, strides, before))
    return LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], target=node.output,
        unit=isa.Unit.ARRAY, loops=loops,
        first_row=row, first_column=column * source.pixel_bytes,
        source_words=row * source.row_pitch,
        target_bytes=first[0] * target.row_pitch * target.word_bytes
            + first[1] * target.pixel_bytes,
        height=source.height, row_bytes=source.row_bytes, padding=0,
        zero_point=fitted.zero_point, low=int(limits[0]), high=int(limits[1]), group=target.group,
        weights=np.eye(arch.rows, arch.columns, dtype=np.int8)[None],
        parameters=parameter_rows(
            isa.ChannelParameters, arch.columns,
            bias=np.repeat(bias - fitted.origin, arch.columns),
            **{name: np.repeat(getattr(fitted, name), arch.columns) for name in (
                "multiplier", "shift", "offset_positive", "offset_negative")}),
        shared=True)


def lower_max_pool_2d(graph, node, storages, arch):
    """Layers of a ``MaxPool2D`` node."""
    output = graph.tensors[node.output]
    (top, _), (left, _) = node.attrs["padding"]
    return _greatest(node, storages, arch, node.attrs["kernel"], node.attrs["strides"],
                     before=(top, left), limits=activation_range(
                         node.attrs["activation"], output.scale[0], output.zero_point[0]))


def lower_reduce_max(graph, node, storages, arch):
    """Layers of a ``ReduceMax`` node over rows, columns, or both: a pooling of whole axes."""
    return _greatest(node, storages, arch, _whole_axes(graph, node, storages), (1, 1),
                     before=(0, 0), limits=(-128, 127))


def _greatest(node, storages, arch, kernel, strides, *, before, limits):
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    group = target.group
    if target.bits: # bytes of them, of which the last ones may be of no channel
        limits = -128, 127
        group  = min(group, 1 << (target.channel_bytes - 1).bit_length())
    return [LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], target=node.output,
        unit=isa.Unit.UNION if source.bits else isa.Unit.MAXIMUM,
        loops=window_loops(source, target, (*kernel, 1), strides=strides, dilation=(1, 1),
                           weight_steps=False, inner=False, tap_bytes=source.pixel_bytes),
        first_row=-before[0], first_column=-before[1] * source.pixel_bytes,
        source_words=-before[0] * source.row_pitch,
        height=source.height, row_bytes=source.row_bytes, padding=-128,
        zero_point=0, low=int(limits[0]), high=int(limits[1]), group=group,
        weights=np.zeros((0, arch.rows, arch.columns), np.int8),
        parameters=parameter_rows(isa.PairParameters, arch.columns,
                                  multiplier=np.ones(arch.columns)),
        shared=True)]


def _whole_axes(graph, node, storages):
    """Kernel (rows, columns) of a reduction: whole axes, or 1."""
    source = storages[node.inputs[0]].layout
    rank   = len(graph.tensors[node.inputs[0]].shape)
    over   = [axis - rank for axis in node.attrs["axes"]]
    return tuple(size if axis in over else 1
                 for axis, size in ((-3, source.height), (-2, source.width)))
