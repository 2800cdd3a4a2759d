"""Operators that copy values from one place to another."""

import math

import numpy as np
import tflite

from .call import UnknownFormError, reader


@reader("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def _reshape(call):
    op = {"RESHAPE": "Reshape", "SQUEEZE": "Squeeze", "EXPAND_DIMS": "ExpandDims"}[call.op]
    call.require(call.inputs and call.inputs[0] is not None, "it has no input")
    x, *others = call.inputs
    if any(other is not None and not other.is_constant for other in others):
        raise UnknownFormError("its shape is computed at run time")
    # What the shape is made from may stand in several places; the output's has to agree.
    shape = call.output.shape
    call.require(math.prod(shape) == math.prod(x.shape), f"it makes {shape} from {x.shape}")
    if op != "Reshape":
        call.require([n for n in shape if n != 1] == [n for n in x.shape if n != 1],
                     f"it makes {shape} from {x.shape}")
    call.copies(x)
    return op, [x], {"shape": shape}


@reader("SHAPE")
def _shape(call):
    x, = call.operands(1)
    call.require(call.output.dtype in ("int32", "int64"),
                 f"its output is of type {call.output.dtype}")
    call.makes((len(x.shape),))
    return "Shape", [x], {}


@reader("BROADCAST_TO")
def _broadcast_to(call):
    x, shape = call.operands(2)
    shape = tuple(call.constant(shape, "shape"))
    call.require(len(shape) >= len(x.shape)
                 and all(n in (1, m) for n, m in zip(x.shape[::-1], shape[::-1])),
                 f"it makes {shape} from {x.shape}")
    call.makes(shape)
    call.copies(x)
    return "Broadcast", [x], {}


@reader("TRANSPOSE")
def _transpose(call):
    x, permutation = call.operands(2)
    rank = len(x.shape)
    permutation = tuple(call.axis(axis, rank)
                        for axis in call.constant(permutation, "permutation"))
    call.require(sorted(permutation) == list(range(rank)), f"it has permutation {permutation}")
    call.makes([x.shape[axis] for axis in permutation])
    call.copies(x)
    return "Transpose", [x], {"permutation": permutation}


def _padding(call, tensor, rank):
    numbers = call.constant(tensor, "padding")
    call.require(len(numbers) == 2 * rank and min(numbers, default=0) >= 0,
                 f"it has padding {numbers}")
    return tuple(zip(numbers[::2], numbers[1::2]))


@reader("PAD", "PADV2")
def _pad(call):
    x, padding, filling = call.operands(2, 3)
    padding = _padding(call, padding, len(x.shape))
    call.makes([size + before + after for size, (before, after) in zip(x.shape, padding)])
    call.copies(x)
    output = call.output
    value  = 0 if output.scale is None else int(output.zero_point[0])
    if filling is not None:
        if not filling.is_constant:
            raise UnknownFormError("its filling is computed at run time")
        call.require(math.prod(filling.shape) == 1 and filling.dtype == x.dtype,
                     f"its filling has shape {filling.shape} and type {filling.dtype}")
        if x.scale is not None:
            call.require(np.array_equal(filling.zero_point, output.zero_point),
                         "its filling and its output are quantised differently")
        value = filling.data.item()
    return "Pad", [x], {"padding": padding, "value": value}


@reader("MIRROR_PAD")
def _mirror_pad(call):
    mode = call.options(tflite.MirrorPadOptions).Mode()
    x, padding = call.operands(2)
    padding = _padding(call, padding, len(x.shape))
    call.require(mode in (0, 1), f"it has mode {mode}")
    # A mirror that leaves out the outermost value has one less to show.
    call.require(all(max(pair) <= max(size - 1 + mode, 0) for size, pair in zip(x.shape, padding)),
                 f"it has padding {padding} for shape {x.shape}")
    call.makes([size + sum(pair) for size, pair in zip(x.shape, padding)])
    call.copies(x)
    return "MirrorPad", [x], {"padding": padding, "mode": ("reflect", "symmetric")[mode]}


@reader("CONCATENATION")
def _concatenation(call):
    options = call.options(tflite.ConcatenationOptions)
    inputs  = _alike(call)
    first   = inputs[0].shape
    axis    = call.axis(options.Axis(), len(first))
    call.require(all(len(x.shape) == len(first) and
                     all(i == axis or a == b for i, (a, b) in enumerate(zip(first, x.shape)))
                     for x in inputs),
                 f"its inputs have shapes {', '.join(str(x.shape) for x in inputs)}")
    if call.activation(options) != "none":
        raise UnknownFormError("it has a fused activation")
    call.keeps_quantization(*inputs)
    call.makes((*first[:axis], sum(x.shape[axis] for x in inputs), *first[axis + 1:]))
    return "Concatenation", inputs, {"axis": axis}


@reader("PACK")
def _pack(call):
    options = call.options(tflite.PackOptions)
    inputs  = _alike(call)
    shape   = inputs[0].shape
    axis    = call.axis(options.Axis(), len(shape) + 1)
    call.require(all(x.shape == shape for x in inputs),
                 f"its inputs have shapes {', '.join(str(x.shape) for x in inputs)}")
    call.makes((*shape[:axis], len(inputs), *shape[axis:]))
    return "Pack", inputs, {"axis": axis}


def _alike(call):
    """All inputs, which must be of one type."""
    call.require(call.inputs and None not in call.inputs, "it has no inputs")
    call.require(len({x.dtype for x in (*call.inputs, call.output)}) == 1,
                 "its inputs are of different types")
    return call.inputs


@reader("UNPACK")
def _unpack(call):
    options = call.options(tflite.UnpackOptions)
    x, = call.operands(1)
    axis  = call.axis(options.Axis(), len(x.shape))
    count = x.shape[axis]
    call.require(len(call.outputs) == count == options.Num(),
                 f"it has {len(call.outputs)} outputs for shape {x.shape}")
    call.makes(*[x.shape[:axis] + x.shape[axis + 1:]] * count)
    call.copies(x)
    return "Unpack", [x], {"axis": axis}


@reader("SPLIT", "SPLIT_V")
def _split(call):
    if call.op == "SPLIT":
        axis, x = call.operands(2)
        sizes   = None
    else:
        x, sizes, axis = call.operands(3)
        sizes = call.constant(sizes, "sizes")
    axis = call.constant(axis, "axis")
    call.require(len(axis) == 1, f"it has axes {axis}")
    axis  = call.axis(axis[0], len(x.shape))
    total = x.shape[axis]
    if sizes is None:
        sizes = (total // len(call.outputs),) * len(call.outputs)
    elif sizes.count(-1) == 1:
        sizes = tuple(total - sum(sizes) - 1 if size == -1 else size for size in sizes)
    call.require(len(sizes) == len(call.outputs) and min(sizes) >= 0 and sum(sizes) == total,
                 f"it has sizes {sizes} for shape {x.shape}")
    call.makes(*((*x.shape[:axis], size, *x.shape[axis + 1:]) for size in sizes))
    call.copies(x)
    return "Split", [x], {"axis": axis, "sizes": sizes}


@reader("SLICE")
def _slice(call):
    x, begin, size = call.operands(3)
    begin, size = call.constant(begin, "begin"), call.constant(size, "size")
    call.require(len(begin) == len(size) == len(x.shape), f"it has begin {begin} and size {size}")
    size = tuple(whole - first if n == -1 else n for whole, first, n in zip(x.shape, begin, size))
    call.require(all(first >= 0 and n >= 0 and first + n <= whole
                     for whole, first, n in zip(x.shape, begin, size)),
                 f"it has begin {begin} and size {size} for shape {x.shape}")
    call.makes(size)
    call.copies(x)
    return "StridedSlice", [x], {"slices": tuple((b, n, 1) for b, n in zip(begin, size)),
                                 "shape": size}


@reader("STRIDED_SLICE")
def _strided_slice(call):
    options = call.options(tflite.StridedSliceOptions)
    x, *parameters = call.operands(4)
    begin, end, strides = (call.constant(tensor, what) for tensor, what in
                           zip(parameters, ("begin", "end", "strides")))
    if options.EllipsisMask() or options.NewAxisMask() or options.Offset():
        raise UnknownFormError("it makes use of an ellipsis, new axes or an offset")
    call.require(len(begin) == len(end) == len(strides) <= len(x.shape) and 0 not in strides,
                 f"it has begin {begin}, end {end} and strides {strides}")
    slices, shape = [], []
    for axis, size in enumerate(x.shape):
        if axis >= len(begin):
            slices.append((0, size, 1))
            shape.append(size)
            continue
        bit    = 1 << axis
        stride = strides[axis]
        if options.ShrinkAxisMask() & bit:
            first = begin[axis] + size * (begin[axis] < 0)
            call.require(0 <= first < size, f"it has begin {begin} for shape {x.shape}")
            slices.append((first, 1, 1))
            continue
        first, last, stride = slice(None if options.BeginMask() & bit else begin[axis],
                                    None if options.EndMask() & bit else end[axis],
                                    stride).indices(size)
        slices.append((first, len(range(first, last, stride)), stride))
        shape.append(slices[-1][1])
    call.makes(shape)
    call.copies(x)
    return "StridedSlice", [x], {"slices": tuple(slices), "shape": tuple(shape)}


@reader("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
def _blocks(call):
    kind = {"SPACE_TO_DEPTH": tflite.SpaceToDepthOptions,
            "DEPTH_TO_SPACE": tflite.DepthToSpaceOptions}[call.op]
    block = call.options(kind).BlockSize()
    x, = call.operands(1)
    batch, height, width, channels = call.image(x).shape
    call.copies(x)
    call.require(block > 0, f"it has blocks of {block}")
    if call.op == "SPACE_TO_DEPTH":
        call.require(height % block == width % block == 0,
                     f"it has blocks of {block} for shape {x.shape}")
        call.makes((batch, height // block, width // block, channels * block**2))
        return "SpaceToDepth", [x], {"block": block}
    call.require(channels % block**2 == 0, f"it has blocks of {block} for shape {x.shape}")
    call.makes((batch, height * block, width * block, channels // block**2))
    return "DepthToSpace", [x], {"block": block}
