"""Operators that move values, on codes, on real numbers made of codes, and on inputs."""

import math
from dataclasses import replace

import numpy as np

from ..quantized_onnx_values import Codes, Constant, Input, Real
from .registry import codes_of, number, reader, require, scale_of, zero_of


def on_codes(function, loader, node, label, operands):
    """``function`` of the codes of real numbers, which are made real behind it."""
    first = operands[0]
    require(not first.nodes, f"{node.op_type} behind a function in floating point",
            "quantise its input")
    moved = function(loader, node, label, [first.codes, *operands[1:]])
    real  = [Real(codes, first.source, first.chain) for codes in
             (moved if isinstance(moved, tuple) else (moved,))]
    for one in real: # the file has real numbers there
        loader.origins.pop(one.codes.tensor.name, None)
    return tuple(real)


def moving(*names):
    """Register a function of codes as the reader of operators that move values."""
    def register(function):
        @reader(*names)
        def read(loader, node, label, operands):
            first = operands[0]
            if isinstance(first, Input):
                if first.dtype != "float32":
                    first = loader.quantised_input(first, np.float32(1), 0, first.dtype)
                    return function(loader, node, label, [first, *operands[1:]])
                return replace(first, moves=(*first.moves, node))
            if isinstance(first, Real):
                return on_codes(function, loader, node, label, operands)
            return function(loader, node, label, operands)
        return function
    return register


def _constant(value, what):
    require(isinstance(value, Constant), f"its {what} is computed", "use constant shapes")
    return [int(n) for n in value.values.reshape(-1)]


def _plain(loader, node, x, shape, index=0):
    """An output of codes like ``x``, in the order of the file."""
    return loader.result(node, shape, tuple(range(len(shape))), x.tensor.scale[0],
                         int(x.tensor.zero_point[0]) + x.offset, x.offset, index)


@moving("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(loader, node, label, operands):
    x, *constants = operands
    constants = {n: loader.values[n].values for n in node.input[1:]
                 if isinstance(loader.values.get(n), Constant)}
    require(len(constants) == len([n for n in node.input[1:] if n]), "its shape is computed",
            "use constant shapes")
    probe = np.zeros(x.shape, np.uint8 if x.offset else np.int8)
    shape = loader.evaluate([node], {**constants, node.input[0]: probe})[node.output[0]].shape
    if x.unflattened is None and x.axes != tuple(range(len(x.axes))):
        size = math.prod(x.shape)
        wide = [axis for axis in x.axes if x.shape[axis] > 1]
        if wide != sorted(wide) and len(shape) == 2 and shape == (1, size):
            # Matrix products take them in any order.
            places = np.arange(size).reshape(x.tensor.shape)
            order  = places.transpose(np.argsort(x.axes)).reshape(-1)
            flat   = loader.tensor(f"{node.output[0]} (HWC)", shape, "int8", scale=x.tensor.scale,
                                   zero_point=x.tensor.zero_point)
            loader.add("Reshape", flat.name, [x.tensor], [flat], shape=shape)
            return loader.made(Codes(flat, shape, (0, 1), x.offset, unflattened=x, order=order),
                               node.output[0])
    if x.unflattened is not None and shape == x.shape:
        return loader.made(x, node.output[0])
    x    = loader.arranged(x, range(len(x.shape)))
    made = _plain(loader, node, x, shape)
    loader.add("Reshape", label, [x.tensor], [made.tensor], shape=shape)
    return made


@moving("Transpose")
def _transpose(loader, node, label, operands):
    x     = loader.in_order(operands[0])
    rank  = len(x.shape)
    perm  = tuple(loader.attributes(node).get("perm", range(rank)[::-1]))
    require(sorted(perm) == list(range(rank)), f"it has permutation {perm}")
    # The graph's tensor stays; its axes have other numbers in the file.
    return loader.made(replace(x, shape=tuple(x.shape[axis] for axis in perm),
                               axes=tuple(perm.index(axis) for axis in x.axes)), node.output[0])


@moving("Identity", "Dropout")
def _identity(loader, node, label, operands):
    return loader.made(operands[0], node.output[0])


@moving("Pad")
def _pad(loader, node, label, operands):
    x, pads, filling, which = [*operands, None, None, None][:4]
    attrs = loader.attributes(node)
    require(attrs.get("mode", b"constant") == b"constant", f"its mode is {attrs.get('mode')}",
            "pad with zeros")
    x, rank = loader.in_order(x), len(x.shape)
    pads  = _constant(pads, "padding")
    which = range(rank) if which is None else [a % rank for a in _constant(which, "axes")]
    require(len(pads) == 2 * len(which) and min(pads, default=0) >= 0, f"it has padding {pads}")
    full  = [(0, 0)] * rank
    for axis, before, after in zip(which, pads, pads[len(which):]):
        full[axis] = before, after
    value = 0.0 if filling is None else float(number(filling, "filling"))
    zero  = int(x.tensor.zero_point[0])
    code  = int(np.rint(np.float32(value) / x.tensor.scale[0])) + zero
    real  = filling is None or filling.values.dtype == np.float32
    if not real: # codes
        code = int(value) - x.offset
    require(-128 <= code <= 127 and (not real or (code - zero) * x.tensor.scale[0] == value),
            f"it pads with {value}, which is no code", "pad with zeros")
    shape = tuple(size + sum(pad) for size, pad in zip(x.shape, full))
    made  = loader.result(node, shape, x.axes, x.tensor.scale[0], zero + x.offset, x.offset)
    loader.add("Pad", label, [x.tensor], [made.tensor],
               padding=tuple(full[axis] for axis in x.axes), value=code)
    return made


@moving("Slice")
def _slice(loader, node, label, operands):
    x, first, last, *more = operands
    x, rank = loader.in_order(x), len(x.shape)
    first, last = _constant(first, "begin"), _constant(last, "end")
    axes    = _constant(more[0], "axes") if more and more[0] is not None else range(len(first))
    strides = _constant(more[1], "strides") if len(more) > 1 and more[1] is not None \
        else [1] * len(first)
    require(len(first) == len(last) == len(axes) == len(strides) and 0 not in strides,
            "it has begins, ends, axes and strides of different numbers")
    slices  = [(0, size, 1) for size in x.shape]
    for axis, begin, end, stride in zip(axes, first, last, strides):
        places = range(*slice(begin, end if not (stride < 0 and end < -x.shape[axis % rank])
                              else None, stride).indices(x.shape[axis % rank]))
        slices[axis % rank] = places.start, len(places), stride
    shape   = tuple(count for _, count, _ in slices)
    require(min(shape) > 0, "it takes nothing")
    made    = loader.result(node, shape, x.axes, x.tensor.scale[0],
                            int(x.tensor.zero_point[0]) + x.offset, x.offset)
    loader.add("StridedSlice", label, [x.tensor], [made.tensor],
               slices=tuple(slices[axis] for axis in x.axes), shape=made.tensor.shape)
    return made


@moving("Split")
def _split(loader, node, label, operands):
    x, *sizes = operands
    x, attrs  = loader.in_order(x), loader.attributes(node)
    axis  = attrs.get("axis", 0) % len(x.shape)
    total, parts = x.shape[axis], len(node.output)
    if sizes and sizes[0] is not None:
        sizes = _constant(sizes[0], "sizes")
    else:
        each  = -(-total // parts)
        sizes = list(attrs.get("split") or [min(each, total - i * each) for i in range(parts)])
    require(len(sizes) == parts and min(sizes) > 0 and sum(sizes) == total,
            f"it has sizes {sizes} for shape {x.shape}")
    made  = tuple(loader.result(node, (*x.shape[:axis], size, *x.shape[axis + 1:]), x.axes,
                                x.tensor.scale[0], int(x.tensor.zero_point[0]) + x.offset,
                                x.offset, index) for index, size in enumerate(sizes))
    loader.add("Split", label, [x.tensor], [part.tensor for part in made],
               axis=x.axes.index(axis), sizes=tuple(sizes))
    return made


@reader("QLinearConcat")
def _concatenation(loader, node, label, operands):
    y_scale, y_zero, *rest = operands
    scale = scale_of(y_scale)
    zero, offset = zero_of(y_zero)
    parts = []
    for index in range(0, len(rest), 3):
        x = loader.in_order(codes_of(loader, *rest[index:index + 3]))
        if x.tensor.scale[0] != scale or x.tensor.zero_point[0] + x.offset != zero:
            # The same operator of this operand alone.
            twin = loader.onnx.NodeProto()
            twin.CopyFrom(node)
            del twin.input[:], twin.attribute[:]
            twin.input.extend([*node.input[:2], *node.input[2 + index:5 + index]])
            twin.attribute.append(loader.onnx.helper.make_attribute("axis", 0))
            table = loader.table(x, [twin], twin.input[2], node.output[0])
            moved = loader.coded(f"{label} part {index // 3}", x.tensor.shape, scale,
                                 zero - offset)
            values = loader.constant(
                f"{moved.name} table", (table.astype(np.int64) - offset).astype(np.int8),
                scale=moved.scale, zero_point=moved.zero_point)
            loader.add("Lookup", moved.name, [x.tensor, values], [moved])
            x = replace(x, tensor=moved, file_name="")
        parts.append(x)
    rank  = len(parts[0].shape)
    axis  = loader.attributes(node)["axis"] % rank
    axes  = parts[0].axes
    require(all(len(x.shape) == rank and x.shape[:axis] == parts[0].shape[:axis]
                and x.shape[axis + 1:] == parts[0].shape[axis + 1:] for x in parts),
            f"its operands have shapes {', '.join(str(x.shape) for x in parts)}")
    parts = [loader.arranged(x, axes) for x in parts]
    shape = (*parts[0].shape[:axis], sum(x.shape[axis] for x in parts),
             *parts[0].shape[axis + 1:])
    made  = loader.result(node, shape, axes, scale, zero, offset)
    loader.add("Concatenation", label, [x.tensor for x in parts], [made.tensor],
               axis=axes.index(axis))
    return made
