"""Operators that copy values from one place to another."""

import numpy as np

from .registry import operator


__all__ = ["argument_max", "broadcast", "concatenation", "depth_to_space", "mirror_pad", "pack",
           "pad", "reshape", "shape", "space_to_depth", "split", "strided_slice", "transpose",
           "unpack"]


@operator("Reshape")
def reshape(output, x, *, shape):
    """Values in the same order."""
    return x.values.reshape(shape)


operator("ExpandDims")(reshape)
operator("Squeeze")(reshape)


@operator("Shape")
def shape(output, x):
    """Sizes of the axes."""
    return np.array(x.values.shape, output.dtype)


@operator("Transpose")
def transpose(output, x, *, permutation):
    """Axis ``i`` of the output is axis ``permutation[i]`` of the input."""
    return x.values.transpose(permutation)


@operator("Pad")
def pad(output, x, *, padding, value):
    """``padding`` is a (before, after) per axis, filled with the code ``value``."""
    return np.pad(x.values, padding, constant_values=x.values.dtype.type(value))


@operator("MirrorPad")
def mirror_pad(output, x, *, padding, mode):
    """``mode`` is "reflect", which leaves out the outermost value, or "symmetric"."""
    return np.pad(x.values, padding, mode=mode)


@operator("Broadcast")
def broadcast(output, x):
    """The same values for all of the axes that have size 1."""
    return np.broadcast_to(x.values, output.shape)


@operator("Concatenation")
def concatenation(output, *inputs, axis):
    """One after the other along ``axis``. All must have the same scale and zero point."""
    return np.concatenate([x.values for x in inputs], axis)


@operator("Pack")
def pack(output, *inputs, axis):
    """One after the other along a new ``axis``."""
    return np.stack([x.values for x in inputs], axis)


@operator("Unpack")
def unpack(output, x, *, axis):
    """The parts along ``axis``, which is gone from them."""
    return tuple(np.moveaxis(x.values, axis, 0))


@operator("Split")
def split(output, x, *, axis, sizes):
    """Parts of the given ``sizes`` along ``axis``."""
    return tuple(np.split(x.values, np.cumsum(sizes)[:-1], axis))


@operator("StridedSlice")
def strided_slice(output, x, *, slices, shape):
    """``slices`` is a (first index, number, stride) per axis of the input.

    ``shape`` is that of the output, which may lack axes of size 1, or have more of them.
    """
    values = x.values
    for axis, (first, number, stride) in enumerate(slices):
        values = values.take(first + stride * np.arange(number), axis)
    return values.reshape(shape)


@operator("SpaceToDepth")
def space_to_depth(output, x, *, block):
    """The ``block`` x ``block`` pixels of each block become channels, row by row."""
    batch, height, width, channels = x.values.shape
    blocks = x.values.reshape(batch, height // block, block, width // block, block, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(output.shape)


@operator("DepthToSpace")
def depth_to_space(output, x, *, block):
    """The reverse of :func:`space_to_depth`."""
    batch, height, width, channels = x.values.shape
    blocks = x.values.reshape(batch, height, width, block, block, channels // block**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(output.shape)


@operator("ArgMax")
def argument_max(output, x, *, axis):
    """Index of the greatest code along ``axis``, the first of several."""
    return x.values.argmax(axis).astype(output.dtype)
