"""Operators that copy parts of tensors to other places."""

from ..nest import Loop
from ..requantize import FitError
from ..view import RESHAPES, image_shape
from .copy import copy_box


__all__ = ["can_copy", "lower_broadcast", "lower_concatenation", "lower_pad", "lower_reshape",
           "lower_resize", "lower_split", "lower_strided_slice"]


def _layouts(storages, *names):
    return tuple(storages[name].layout for name in names)


def _along(axis, rank, at):
    """Position ``at`` along an axis of a tensor, as a position in its image."""
    position = [0, 0, 0]
    position[axis - rank] = at
    return tuple(position)


def lower_broadcast(graph, node, storages, arch):
    """Layers of a ``Broadcast`` node: the same pixel again and again."""
    source, = node.inputs
    return copy_box(node, (source, node.output), _layouts(storages, source, node.output), arch,
                    size=image_shape(graph.tensors[node.output].shape), strides=(0, 0))


def lower_concatenation(graph, node, storages, arch):
    """Layers of a ``Concatenation`` node."""
    plans, at = [], 0
    axis      = node.attrs["axis"]
    for name in node.inputs:
        shape = graph.tensors[name].shape
        plans += copy_box(node, (name, node.output), _layouts(storages, name, node.output), arch,
                          size=image_shape(shape), target_at=_along(axis, len(shape), at))
        at += shape[axis]
    return plans


def lower_split(graph, node, storages, arch):
    """Layers of a ``Split`` node."""
    source,   = node.inputs
    plans, at = [], 0
    for name, size in zip(node.outputs, node.attrs["sizes"]):
        shape = graph.tensors[name].shape
        plans += copy_box(node, (source, name), _layouts(storages, source, name), arch,
                          size=image_shape(shape),
                          source_at=_along(node.attrs["axis"], len(shape), at))
        at += size
    return plans


def lower_strided_slice(graph, node, storages, arch):
    """Layers of a ``StridedSlice`` node."""
    source, = node.inputs
    first, number, stride = zip(*((0, 1, 1), (0, 1, 1), *node.attrs["slices"])[-3:])
    return copy_box(node, (source, node.output), _layouts(storages, source, node.output), arch,
                    size=number, source_at=first, strides=stride[:2])


def lower_pad(graph, node, storages, arch):
    """Layers of a ``Pad`` node: what lies outside of the input is filled."""
    source, = node.inputs
    (top, _), (left, _), _ = ((0, 0), (0, 0), *node.attrs["padding"])[-3:]
    return copy_box(node, (source, node.output), _layouts(storages, source, node.output), arch,
                    size=image_shape(graph.tensors[node.output].shape),
                    source_at=(-top, -left, 0), padding=node.attrs["value"])


def can_copy(graph, node):
    """Whether a node reshapes rows of pixels into one, or one into rows."""
    source, target = (image_shape(graph.tensors[name].shape) for name in
                      (node.inputs[0], node.outputs[0]))
    return node.op in RESHAPES and source[2] == target[2] and 1 in (source[0], target[0])


def lower_reshape(graph, node, storages, arch):
    """Layers of a reshaping node: none if the output is the input, read in another way."""
    source, = node.inputs[:1]
    if node.output in storages[source].tensors:
        return []
    before, after = layouts = _layouts(storages, source, node.output)
    if before.bits or after.bits:
        raise FitError([0], "bits are not copied")
    rows, columns = max((before.height, before.width), (after.height, after.width))
    plans = copy_box(node, (source, node.output), layouts, arch,
                     size=(rows, columns, before.channels))
    for plan in plans:
        if before.height == 1:
            plan.loops["row"] = Loop(rows, column=columns * before.pixel_bytes,
                                     output=plan.loops["row"].output)
        else:
            plan.loops["row"] = Loop(rows, row=1, word=before.row_pitch,
                                     output=columns * after.pixel_bytes)
    return plans


def lower_resize(graph, node, storages, arch):
    """Layers of a ``ResizeNearestNeighbor`` node that makes several pixels of each."""
    source, = node.inputs
    rows, columns, channels = image_shape(graph.tensors[source].shape)
    down, across = (new // old for new, old in zip(node.attrs["size"], (rows, columns)))
    return [plan for y in range(down) for x in range(across) for plan in copy_box(
        node, (source, node.output), _layouts(storages, source, node.output), arch,
        size=(rows, columns, channels), target_at=(y, x, 0), spacing=(down, across))]
