"""The operators of TensorFlow Lite files: what they may look like, and their attributes.

Each reader checks one operator's operands, as its kernel does when tensors are allocated, and
that the shapes in the file are those that it computes. What comes out can be computed.
"""

import math

import numpy as np
import tflite

from ...errors import ModelFormatError
from ...golden.arithmetic import MultiplierError, quantize_multiplier, single_multiplier


__all__ = ["READERS", "Call", "UnknownFormError"]


#: Functions by operator: from :class:`Call` to the node's ``op``, inputs and attributes.
READERS = {}

ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE:         "none",
    tflite.ActivationFunctionType.RELU:         "relu",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
    tflite.ActivationFunctionType.RELU6:        "relu6",
}


class UnknownFormError(Exception):
    """An operator in a form that popmac has not; the message says what stands in the way."""


class Call:
    """One operator of a file, for its reader.

    Parameters
    ----------
    model, name : str
        Of the model and of the operator, for messages.
    op : str
        Name of the operator in files.
    inputs, outputs : list of Tensor
        Inputs that are left out are ``None``.
    table : tflite.Operator
    charge : callable
        Called with the size of what is copied from the file.
    """

    def __init__(self, model, name, op, inputs, outputs, table, charge):
        self.op      = op
        self.inputs  = inputs
        self.outputs = outputs
        self._model  = model
        self._name   = name
        self._table  = table
        self._charge = charge

    @property
    def output(self):
        """The only output."""
        self.require(len(self.outputs) == 1, f"it has {len(self.outputs)} outputs instead of one")
        return self.outputs[0]

    def require(self, condition, message):
        """Refuse the file unless ``condition`` holds."""
        if not condition:
            raise ModelFormatError(f"{self._model}: {self._name}: {message}")

    def operands(self, least, most=None):
        """The inputs, of which the last ``most - least`` may be left out."""
        most   = least if most is None else most
        inputs = self.inputs + [None] * (most - len(self.inputs))
        self.require(len(inputs) == most and None not in inputs[:least],
                     f"it has {len(self.inputs)} inputs instead of {least}"
                     + (f" to {most}" if most > least else ""))
        return inputs

    def options(self, kind):
        """Table of options, of the class ``kind`` of the schema."""
        expected = getattr(tflite.BuiltinOptions, kind.__name__)
        union    = self._table.BuiltinOptions()
        self.require(union is not None and self._table.BuiltinOptionsType() == expected,
                     f"it has no {kind.__name__}")
        options = kind()
        options.Init(union.Bytes, union.Pos)
        return options

    def constant(self, tensor, what):
        """Whole numbers that are known when the file is read."""
        if not tensor.is_constant:
            raise UnknownFormError(f"its {what} is computed at run time")
        self.require(tensor.dtype in ("int32", "int64"), f"its {what} is of type {tensor.dtype}")
        self._charge(8 * tensor.data.size)
        return tuple(tensor.data.ravel().tolist())

    def weights(self, tensor, axis, rank):
        """Check that ``tensor`` can be weights whose output channels are along ``axis``."""
        if not tensor.is_constant:
            raise UnknownFormError("its weights are computed at run time")
        self.require(len(tensor.shape) == rank and min(tensor.shape) > 0,
                     f"its weights have shape {tensor.shape}")
        if tensor.scale is not None:
            self.require(not np.any(tensor.zero_point), "its weights have a zero point")
            self.require(tensor.axis in (None, axis),
                         f"its weights have scales along axis {tensor.axis}, not {axis}")

    def bias(self, tensor, channels):
        """Check that ``tensor`` can be the bias of ``channels`` channels."""
        if tensor is not None:
            if not tensor.is_constant:
                raise UnknownFormError("its bias is computed at run time")
            self.require(math.prod(tensor.shape) == channels,
                         f"its bias has shape {tensor.shape} for {channels} channels")

    def activation(self, options):
        """Name of the fused activation."""
        code = options.FusedActivationFunction()
        if code not in ACTIVATIONS:
            raise UnknownFormError(f"its fused activation has number {code}")
        return ACTIVATIONS[code]

    def image(self, tensor):
        """Check that ``tensor`` has shape (batch, height, width, channels)."""
        self.require(len(tensor.shape) == 4 and min(tensor.shape) > 0,
                     f"its input has shape {tensor.shape}")
        return tensor

    def axis(self, axis, rank):
        """An axis, counted from the front."""
        self.require(-rank <= axis < rank, f"it has axis {axis} of {rank}")
        return axis % rank

    def makes(self, *shapes):
        """Check the shapes of the outputs."""
        self.require(len(self.outputs) == len(shapes),
                     f"it has {len(self.outputs)} outputs instead of {len(shapes)}")
        for tensor, shape in zip(self.outputs, shapes):
            self.require(tensor.shape == tuple(shape),
                         f"it makes {tuple(shape)}, but its output has shape {tensor.shape}")

    def copies(self, tensor):
        """Check that the outputs have the type of ``tensor``."""
        for output in self.outputs:
            self.require(output.dtype == tensor.dtype,
                         f"it makes {output.dtype} from {tensor.dtype}")

    def keeps_quantization(self, *tensors):
        """Check that ``tensors`` have the scale and zero point of the output."""
        for tensor in dict.fromkeys(tensors):
            for one, other in ((tensor.scale, self.outputs[0].scale),
                               (tensor.zero_point, self.outputs[0].zero_point)):
                self.require(np.array_equal(one, other) if one is not None else other is None,
                             f"{tensor.name!r} and its output are quantised differently")


def _reader(*names):
    def register(function):
        for name in names:
            READERS[name] = function
        return function
    return register


def _window(call, sizes, kernel, strides, padding, dilation=(1, 1)):
    """Output sizes, and padding as ((top, bottom), (left, right))."""
    for values, what in ((kernel, "kernel"), (strides, "stride"), (dilation, "dilation")):
        call.require(min(values) > 0, f"it has a {what} of {values}")
    call.require(padding in (tflite.Padding.SAME, tflite.Padding.VALID),
                 f"it has padding {padding}")
    new_sizes, pads = [], []
    for size, taps, stride, rate in zip(sizes, kernel, strides, dilation):
        extent = (taps - 1) * rate + 1
        same   = padding == tflite.Padding.SAME
        new    = -(-size // stride) if same else (size - extent) // stride + 1
        call.require(new > 0, f"its kernel of {kernel} does not fit into {tuple(sizes)}")
        total  = max((new - 1) * stride + extent - size, 0) if same else 0
        new_sizes.append(new)
        pads.append((total // 2, total - total // 2))
    return new_sizes, tuple(pads)


@_reader("CONV_2D")
def _conv_2d(call):
    options = call.options(tflite.Conv2DOptions)
    x, weights, bias = call.operands(2, 3)
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=0, rank=4)
    channels, *kernel, weights_depth = weights.shape
    call.bias(bias, channels)
    if depth != weights_depth and depth % weights_depth == 0:
        raise UnknownFormError("its channels are in groups")
    call.require(depth == weights_depth,
                 f"its weights are for {weights_depth} channels, not {depth}")
    strides  = options.StrideH(), options.StrideW()
    dilation = options.DilationHFactor(), options.DilationWFactor()
    sizes, padding = _window(call, sizes, kernel, strides, options.Padding(), dilation)
    call.makes((batch, *sizes, channels))
    return "Conv2D", _given(x, weights, bias), {
        "strides": strides, "dilation": dilation, "padding": padding,
        "activation": call.activation(options)}


@_reader("DEPTHWISE_CONV_2D")
def _depthwise_conv_2d(call):
    options = call.options(tflite.DepthwiseConv2DOptions)
    x, weights, bias = call.operands(2, 3)
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=3, rank=4)
    one, *kernel, channels = weights.shape
    call.bias(bias, channels)
    call.require(one == 1 and channels % depth == 0,
                 f"its weights have shape {weights.shape} for {depth} channels")
    strides  = options.StrideH(), options.StrideW()
    dilation = options.DilationHFactor(), options.DilationWFactor()
    sizes, padding = _window(call, sizes, kernel, strides, options.Padding(), dilation)
    call.makes((batch, *sizes, channels))
    return "DepthwiseConv2D", _given(x, weights, bias), {
        "strides": strides, "dilation": dilation, "padding": padding,
        "activation": call.activation(options), "depth_multiplier": channels // depth}


@_reader("TRANSPOSE_CONV")
def _transpose_conv(call):
    options = call.options(tflite.TransposeConvOptions)
    shape, weights, x, bias = call.operands(3, 4)
    shape = call.constant(shape, "output shape")
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=0, rank=4)
    channels, *kernel, weights_depth = weights.shape
    call.bias(bias, channels)
    call.require(depth == weights_depth,
                 f"its weights are for {weights_depth} channels, not {depth}")
    call.require(len(shape) == 4 and min(shape) > 0 and (shape[0], shape[3]) == (batch, channels),
                 f"its output shape is {shape}")
    strides = options.StrideH(), options.StrideW()
    # The padding is that of the convolution that goes the other way.
    new_sizes, padding = _window(call, shape[1:3], kernel, strides, options.Padding())
    call.require(new_sizes == sizes,
                 f"its input has shape {x.shape}, which does not suit its output's, {shape}")
    call.makes(shape)
    return "TransposeConv", _given(x, weights, bias), {
        "strides": strides, "padding": padding, "activation": call.activation(options)}


@_reader("FULLY_CONNECTED")
def _fully_connected(call):
    options = call.options(tflite.FullyConnectedOptions)
    x, weights, bias = call.operands(2, 3)
    call.weights(weights, axis=0, rank=2)
    if options.WeightsFormat() != 0:
        raise UnknownFormError("its weights are shuffled")
    channels, depth = weights.shape
    call.bias(bias, channels)
    size = math.prod(x.shape)
    call.require(size > 0 and size % depth == 0,
                 f"its input has shape {x.shape}, its weights have {weights.shape}")
    if options.KeepNumDims():
        call.require(x.shape[-1:] == (depth,),
                     f"its input has shape {x.shape}, its weights have {weights.shape}")
        call.makes((*x.shape[:-1], channels))
    else:
        call.makes((size // depth, channels))
    return "FullyConnected", _given(x, weights, bias), {"activation": call.activation(options)}


def _given(*tensors):
    """``tensors`` without those at the end that are left out."""
    return [tensor for tensor in tensors if tensor is not None]


@_reader("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool_2d(call):
    options = call.options(tflite.Pool2DOptions)
    x, = call.operands(1)
    batch, *sizes, channels = call.image(x).shape
    kernel  = options.FilterHeight(), options.FilterWidth()
    strides = options.StrideH(), options.StrideW()
    sizes, padding = _window(call, sizes, kernel, strides, options.Padding())
    call.makes((batch, *sizes, channels))
    op = {"AVERAGE_POOL_2D": "AveragePool2D", "MAX_POOL_2D": "MaxPool2D"}[call.op]
    return op, [x], {"kernel": kernel, "strides": strides, "padding": padding,
                     "activation": call.activation(options)}


@_reader("MEAN", "REDUCE_MAX", "REDUCE_MIN")
def _reduce(call):
    options = call.options(tflite.ReducerOptions)
    x, axes = call.operands(2)
    rank = len(x.shape)
    axes = tuple(sorted({call.axis(axis, rank) for axis in call.constant(axes, "axis")}))
    call.require(math.prod(x.shape) > 0, f"its input has shape {x.shape}")
    keep = bool(options.KeepDims())
    call.makes([1 if axis in axes else size for axis, size in enumerate(x.shape)
                if keep or axis not in axes])
    op = {"MEAN": "Mean", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}[call.op]
    if op != "Mean":
        call.copies(x)
        call.keeps_quantization(x)
    return op, [x], {"axes": axes, "keep_dims": keep}


@_reader("ADD", "SUB", "MUL")
def _arithmetic(call):
    kind, op = {"ADD": (tflite.AddOptions, "Add"), "SUB": (tflite.SubOptions, "Sub"),
                "MUL": (tflite.MulOptions, "Mul")}[call.op]
    options = call.options(kind)
    return op, _broadcast(call), {"activation": call.activation(options)}


@_reader("MINIMUM", "MAXIMUM", "PRELU")
def _elementwise(call):
    op = {"MINIMUM": "Minimum", "MAXIMUM": "Maximum", "PRELU": "Prelu"}[call.op]
    inputs = _broadcast(call)
    call.copies(inputs[0])
    call.require(op != "Prelu" or inputs[0].shape == call.output.shape,
                 f"its slopes have shape {inputs[1].shape}")
    return op, inputs, {}


def _broadcast(call):
    first, second = call.operands(2)
    sizes = [(1,) * (len(other.shape) - len(one.shape)) + one.shape
             for one, other in ((first, second), (second, first))]
    call.require(all(a == b or 1 in (a, b) for a, b in zip(*sizes)),
                 f"its operands have shapes {first.shape} and {second.shape}")
    call.require(first.dtype == second.dtype,
                 f"its operands are of types {first.dtype} and {second.dtype}")
    call.makes([a if b == 1 else b for a, b in zip(*sizes)])
    return [first, second]


@_reader("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "HARD_SWISH",
         "QUANTIZE", "DEQUANTIZE")
def _unary(call):
    x, = call.operands(1)
    call.makes(x.shape)
    scaled = x.dtype == call.output.dtype == "int8" and None not in (x.scale, call.output.scale)
    if call.op == "LOGISTIC" and scaled:
        call.require(call.output.zero_point[0] == -128 and call.output.scale[0] == 1 / 256,
                     "its output must have a scale of 1/256 and a zero point of -128")
    if call.op == "HARD_SWISH" and scaled:
        real = single_multiplier(1 / 128, x.scale[0], divisor=call.output.scale[0])
        call.require(_exponent(call, real) <= 0, "its output's scale is too small")
    op = {"RELU": "Relu", "RELU6": "Relu6", "RELU_N1_TO_1": "ReluN1To1",
          "RELU_0_TO_1": "Relu0To1", "LOGISTIC": "Logistic", "TANH": "Tanh",
          "HARD_SWISH": "HardSwish", "QUANTIZE": "Quantize", "DEQUANTIZE": "Dequantize"}[call.op]
    return op, [x], {}


def _exponent(call, real):
    try:
        return quantize_multiplier(real)[1]
    except MultiplierError as error:
        return call.require(False, str(error))


@_reader("LEAKY_RELU")
def _leaky_relu(call):
    alpha = call.options(tflite.LeakyReluOptions).Alpha()
    x, = call.operands(1)
    call.require(math.isfinite(alpha), f"it has a slope of {alpha}")
    call.makes(x.shape)
    return "LeakyRelu", [x], {"alpha": alpha}


@_reader("SOFTMAX")
def _softmax(call):
    beta = call.options(tflite.SoftmaxOptions).Beta()
    x, = call.operands(1)
    call.require(len(x.shape) > 0 and min(x.shape) > 0, f"its input has shape {x.shape}")
    call.require(math.isfinite(beta) and beta > 0, f"it has a beta of {beta}")
    call.makes(x.shape)
    output = call.output
    if x.dtype == output.dtype == "int8" and x.scale is not None and output.scale is not None:
        call.require(output.zero_point[0] == -128
                     and abs(float(output.scale[0]) * 256 - 1) <= 0.001,
                     "its output must have a scale of 1/256 and a zero point of -128")
        call.require(beta * float(x.scale[0]) * 2**26 > 1, "its input's scale is too small")
    return "Softmax", [x], {"beta": beta}


@_reader("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
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


@_reader("SHAPE")
def _shape(call):
    x, = call.operands(1)
    call.require(call.output.dtype in ("int32", "int64"),
                 f"its output is of type {call.output.dtype}")
    call.makes((len(x.shape),))
    return "Shape", [x], {}


@_reader("TRANSPOSE")
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


@_reader("PAD", "PADV2")
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


@_reader("MIRROR_PAD")
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


@_reader("CONCATENATION")
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


@_reader("PACK")
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


@_reader("UNPACK")
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


@_reader("SPLIT", "SPLIT_V")
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


@_reader("SLICE")
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


@_reader("STRIDED_SLICE")
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


@_reader("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(call):
    kind, op = {
        "RESIZE_BILINEAR":         (tflite.ResizeBilinearOptions, "ResizeBilinear"),
        "RESIZE_NEAREST_NEIGHBOR": (tflite.ResizeNearestNeighborOptions, "ResizeNearestNeighbor"),
    }[call.op]
    options = call.options(kind)
    x, size = call.operands(2)
    batch, *_, channels = call.image(x).shape
    size = call.constant(size, "size")
    call.require(len(size) == 2 and min(size) > 0, f"it has size {size}")
    corners, centers = bool(options.AlignCorners()), bool(options.HalfPixelCenters())
    call.require(not (op == "ResizeBilinear" and corners and centers),
                 "it cannot align both corners and the centres of pixels")
    call.makes((batch, *size, channels))
    call.copies(x)
    return op, [x], {"size": size, "align_corners": corners, "half_pixel_centers": centers}


@_reader("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
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


@_reader("ARG_MAX")
def _argument_max(call):
    x, axis = call.operands(2)
    axis = call.constant(axis, "axis")
    call.require(len(axis) == 1, f"it has axes {axis}")
    axis = call.axis(axis[0], len(x.shape))
    call.require(math.prod(x.shape) > 0 and call.output.dtype in ("int32", "int64"),
                 f"it makes {call.output.dtype} from {x.shape}")
    call.makes(x.shape[:axis] + x.shape[axis + 1:])
    return "ArgMax", [x], {"axis": axis}
