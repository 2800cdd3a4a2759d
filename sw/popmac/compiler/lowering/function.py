"""Functions of one code: of activations, and of a tensor and constants."""

import numpy as np

from ... import isa
from ...golden.layers import compute
from ..plan import LayerPlan
from ..records import parameter_rows
from ..requantize import FitError, fit
from .copy import copy_box, word_loops


__all__ = ["function_values", "lower_function"]


def function_values(graph, node):
    """Results of ``node`` for all codes of the one input that is not constant.

    Returns
    -------
    ndarray of int8 (256, channels)
    """
    tensors  = {name: graph.tensors[name] for name in node.inputs}
    channels = graph.tensors[node.output].shape[-1:] or (1,)
    codes    = np.broadcast_to(np.arange(-128, 128, dtype=np.int8)[:, None], (256, *channels))
    values   = {name: tensor.data if tensor.is_constant else codes
                for name, tensor in tensors.items()}
    # Constants are the same for all pixels.
    values   = {name: array if array is codes else array.reshape(array.shape[-1:])
                for name, array in values.items()}
    return compute(graph, node, values)[0]


def lower_function(graph, node, storages, arch):
    """Layers of a node that makes a code of one code.

    If the requantiser can compute the function, it does so on each channel's codes, which it gets
    from the array with weights of 1, or -1 where the function falls. Otherwise, if it is the same
    for all channels, it is a table.
    """
    name,  = (name for name in node.inputs if not graph.tensors[name].is_constant)
    source, target = storages[name].layout, storages[node.output].layout
    values = function_values(graph, node).astype(np.int64)
    same   = bool(np.all(values == values[:, :1]))
    try:
        return [_rounded(node, name, source, target, values[:, :1] if same else values, arch)]
    except FitError:
        if not same:
            raise
    plan, = copy_box(node, (name, node.output), (source, target), arch, size=(
        source.height, source.width, source.channels))
    plan.loops.update(word_loops(source, target)[0])
    return [plan.with_table(values[:, 0].astype(np.int8))]


def _rounded(node, name, source, target, values, arch):
    """Plan with the functions (256, channels) as parameters of the requantiser."""
    falls  = values[0] > values[-1]
    rising = np.where(falls, values[::-1], values)
    if np.any(np.diff(rising, axis=0) < 0):
        raise FitError(np.flatnonzero(np.any(np.diff(rising, axis=0) < 0, axis=0)),
                       "the function both rises and falls")
    first   = np.where(falls, -127, -128)
    changes = np.diff(rising, axis=0) > 0
    begin, end = changes.argmax(axis=0), 255 - changes[::-1].argmax(axis=0)
    ratio   = (rising[-1] - rising[0]) / np.maximum(end - begin, 1)
    low, high = int(values.min()), int(values.max())

    def reference(acc, channel):
        return rising[acc - first[channel], channel]

    zero_points = dict.fromkeys(((low + high + 1) // 2, low, high))
    for attempt, zero_point in enumerate(zero_points, 1):
        try:
            fitted = fit(reference, first, first + 255, ratio, zero_point=zero_point, low=low,
                         high=high)
            break
        except FitError:
            if attempt == len(zero_points):
                raise

    # A block of columns per block of channels, or one for words that several pixels share.
    channels = np.arange(source.blocks * arch.rows) % source.group \
        if source.blocks == 1 else np.arange(source.blocks * arch.rows)
    channels = np.minimum(channels, len(falls) - 1)
    signs    = np.where(falls, -1, 1)[channels].reshape(source.blocks, -1)
    if np.all(signs == signs[0]):
        signs = signs[:1]
    weights  = np.zeros((len(signs), arch.rows, arch.rows), np.int8)
    weights[:, np.arange(arch.rows), np.arange(arch.rows)] = signs
    shared   = len(falls) == 1 or source.blocks == 1
    fields   = {"multiplier": fitted.multiplier, "shift": fitted.shift, "bias": -fitted.origin,
                "offset_positive": fitted.offset_positive,
                "offset_negative": fitted.offset_negative}
    chosen   = channels[:arch.rows] if shared else channels
    loops, row_bytes = word_loops(source, target)
    loops["output_block"].strides["weight"] = int(len(signs) > 1)
    return LayerPlan(
        node=node.name, op=node.op, source=name, target=node.output, unit=isa.Unit.ARRAY,
        loops=loops, height=source.height, row_bytes=row_bytes, zero_point=fitted.zero_point,
        low=low, high=high, group=arch.word_bytes, weights=weights,
        parameters=parameter_rows(isa.ChannelParameters, arch.columns, block=arch.rows,
                                  **{key: array[chosen] for key, array in fields.items()}),
        shared=shared)
