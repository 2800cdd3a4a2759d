"""Writes TensorFlow Lite files, from single operators to whole networks, without TensorFlow."""

from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


__all__ = ["ModelBuilder", "TensorHandle", "pack", "random_bias", "random_codes",
           "random_scale", "random_zero_point", "unpack"]


TYPES = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32,
         "uint8": schema.TensorType.UINT8, "int64": schema.TensorType.INT64,
         "bool": schema.TensorType.BOOL, "int16": schema.TensorType.INT16,
         "int8": schema.TensorType.INT8}

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}

PADDINGS = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}

#: Classes of options whose names do not follow from that of the operator.
OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions", "MAX_POOL_2D": "Pool2DOptions",
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MEAN": "ReducerOptions", "REDUCE_MAX": "ReducerOptions", "REDUCE_MIN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions", "MAXIMUM": "MaximumMinimumOptions",
    "PADV2": "PadV2Options",
    "RELU": None, "RELU6": None, "RELU_N1_TO_1": None, "RELU_0_TO_1": None, "LOGISTIC": None,
    "TANH": None, "PRELU": None,
}

#: Versions of operators whose first version there is no kernel for.
VERSIONS = {schema.BuiltinOperator.BROADCAST_TO: 3}


@dataclass(frozen=True)
class TensorHandle:
    """A tensor of a model that is being built."""

    index:      int
    name:       str
    shape:      tuple
    dtype:      str
    scale:      object
    zero_point: object


class ModelBuilder:
    """Collects tensors and operators, and packs them.

    Operators are added in the order in which they are computed; each method that adds one returns
    the handle of its output, so that networks read from top to bottom.
    """

    def __init__(self):
        self._buffers   = [schema.BufferT()]
        self._codes     = []
        self._tensors   = []
        self._operators = []
        self._inputs    = []
        self._outputs   = []

    def tensor(self, shape, dtype="int8", *, scale=None, zero_point=0, axis=0, data=None,
               name=None, **fields):
        """Tensor; a constant if it has ``data``. Several scales run along ``axis``.

        ``fields`` are any others of the schema's ``TensorT``.
        """
        tensor = schema.TensorT(shape=[int(n) for n in shape], type=TYPES[dtype],
                                name=name or f"t{len(self._tensors)}", **fields)
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            zeros  = np.broadcast_to(zero_point, scales.shape)
            tensor.quantization = schema.QuantizationParametersT(
                scale=scales.tolist(), zeroPoint=zeros.tolist(),
                quantizedDimension=int(axis))
        if data is not None:
            tensor.buffer = len(self._buffers)
            self._buffers.append(schema.BufferT(
                data=np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)))
        self._tensors.append(tensor)
        return TensorHandle(len(self._tensors) - 1, tensor.name, tuple(int(n) for n in shape),
                            dtype, scale, zero_point)

    def constant(self, data, dtype=None, **options):
        """Constant tensor; whole numbers are int32 unless ``dtype`` says otherwise."""
        data = np.asarray(data, dtype or "int32")
        return self.tensor(data.shape, data.dtype.name, data=data, **options)

    def input(self, shape, dtype="int8", *, scale=0.5, zero_point=0, **options):
        """Input of the model."""
        handle = self.tensor(shape, dtype, zero_point=zero_point, **options,
                             scale=None if dtype.startswith("float") else scale)
        self._inputs.append(handle.index)
        return handle

    def operator(self, name, inputs, outputs, **options):
        """Operator ``name`` of the schema, with the fields of its class of options."""
        code = getattr(schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT(
            opcodeIndex=self._codes.index(code),
            inputs=[-1 if handle is None else handle.index for handle in inputs],
            outputs=[handle.index for handle in outputs])
        kind = OPTIONS.get(name, "".join(map(str.capitalize, name.split("_"))) + "Options")
        if kind is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions     = getattr(schema, f"{kind}T")(**options)
        self._operators.append(operator)
        return outputs[0]

    def like(self, x, shape=None, *, scale=None, zero_point=None, dtype=None):
        """Tensor quantised as ``x`` is, but for what is given."""
        return self.tensor(x.shape if shape is None else shape, dtype or x.dtype,
                           scale=x.scale if scale is None else scale,
                           zero_point=x.zero_point if zero_point is None else zero_point)

    def output(self, *handles):
        """Make tensors outputs of the model."""
        self._outputs += [handle.index for handle in handles]

    def build(self):
        """The file, as bytes."""
        graph = schema.SubGraphT(tensors=self._tensors, inputs=self._inputs,
                                 outputs=self._outputs, operators=self._operators, name="main")
        codes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code,
                                      version=VERSIONS.get(code, 1))
                 for code in self._codes]
        return pack(schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph],
                                  buffers=self._buffers, description="popmac test model"))

    # Layers. Results are quantised with ``scale`` and ``zero_point``.

    def conv_2d(self, x, weights, bias=None, *, weight_scale, scale, zero_point=0,
                strides=(1, 1), dilation=(1, 1), padding="same", activation="none"):
        """Convolution; ``weights`` are (output channel, row, column, input channel).

        Without ``bias`` it has one of zeros: LiteRT insists.
        """
        bias = np.zeros(weights.shape[0]) if bias is None else bias
        return self._convolution("CONV_2D", x, weights, bias, weight_scale, 0,
                                 weights.shape[0], weights.shape[1:3], scale, zero_point,
                                 strides, dilation, padding, activation)

    def depthwise_conv_2d(self, x, weights, bias=None, *, weight_scale, scale, zero_point=0,
                          strides=(1, 1), dilation=(1, 1), padding="same", activation="none"):
        """Depthwise convolution; ``weights`` are (1, row, column, output channel)."""
        return self._convolution("DEPTHWISE_CONV_2D", x, weights, bias, weight_scale, 3,
                                 weights.shape[3], weights.shape[1:3], scale, zero_point,
                                 strides, dilation, padding, activation,
                                 depthMultiplier=weights.shape[3] // x.shape[3])

    def _convolution(self, name, x, weights, bias, weight_scale, axis, channels, kernel, scale,
                     zero_point, strides, dilation, padding, activation, **options):
        operands = self._parameters(x, weights, bias, weight_scale, axis)
        sizes = _window_sizes(x.shape[1:3], kernel, strides, dilation, padding)
        y = self.tensor((x.shape[0], *sizes, channels), scale=scale, zero_point=zero_point)
        return self.operator(name, [x, *operands], [y], padding=PADDINGS[padding],
                             strideH=strides[0], strideW=strides[1], dilationHFactor=dilation[0],
                             dilationWFactor=dilation[1],
                             fusedActivationFunction=ACTIVATIONS[activation], **options)

    def _parameters(self, x, weights, bias, weight_scale, axis):
        w = self.constant(weights, "int8", scale=weight_scale, axis=axis)
        if bias is None:
            return [w]
        scales = np.float32(x.scale) * np.asarray(weight_scale, np.float32)
        return [w, self.constant(bias, scale=scales)]

    def transpose_conv(self, x, weights, bias=None, *, weight_scale, shape, scale, zero_point=0,
                       strides=(1, 1), padding="same", activation="none"):
        """Transposed convolution to ``shape``."""
        w, *b = self._parameters(x, weights, bias, weight_scale, 0)
        y = self.tensor(shape, scale=scale, zero_point=zero_point)
        return self.operator("TRANSPOSE_CONV", [self.constant(shape), w, x, *b], [y],
                             padding=PADDINGS[padding], strideH=strides[0], strideW=strides[1],
                             fusedActivationFunction=ACTIVATIONS[activation])

    def fully_connected(self, x, weights, bias=None, *, weight_scale, scale, zero_point=0,
                        activation="none", keep_dims=False):
        """Fully connected layer; ``weights`` are (output channel, input)."""
        channels, depth = weights.shape
        operands = self._parameters(x, weights, bias, weight_scale, 0)
        rows  = x.shape[:-1] if keep_dims else (int(np.prod(x.shape)) // depth,)
        y = self.tensor((*rows, channels), scale=scale, zero_point=zero_point)
        return self.operator("FULLY_CONNECTED", [x, *operands], [y], keepNumDims=keep_dims,
                             fusedActivationFunction=ACTIVATIONS[activation])

    def pool_2d(self, name, x, kernel, *, strides=(1, 1), padding="valid", activation="none"):
        """``"AVERAGE_POOL_2D"`` or ``"MAX_POOL_2D"``."""
        sizes = _window_sizes(x.shape[1:3], kernel, strides, (1, 1), padding)
        y = self.like(x, (x.shape[0], *sizes, x.shape[3]))
        return self.operator(name, [x], [y], padding=PADDINGS[padding], strideH=strides[0],
                             strideW=strides[1], filterHeight=kernel[0], filterWidth=kernel[1],
                             fusedActivationFunction=ACTIVATIONS[activation])

    def reduce(self, name, x, axes, *, keep_dims=False, scale=None, zero_point=None):
        """``"MEAN"``, ``"REDUCE_MAX"`` or ``"REDUCE_MIN"``."""
        positive = [axis % len(x.shape) for axis in axes]
        shape = [1 if i in positive else n for i, n in enumerate(x.shape)
                 if keep_dims or i not in positive]
        y = self.like(x, shape, scale=scale, zero_point=zero_point)
        return self.operator(name, [x, self.constant(axes)], [y], keepDims=keep_dims)

    def binary(self, name, first, second, *, scale=None, zero_point=None, activation=None):
        """``"ADD"``, ``"SUB"``, ``"MUL"``, ``"MINIMUM"``, ``"MAXIMUM"`` or ``"PRELU"``."""
        shape   = np.broadcast_shapes(first.shape, second.shape)
        options = {} if activation is None else \
            {"fusedActivationFunction": ACTIVATIONS[activation]}
        y = self.like(first, shape, scale=scale, zero_point=zero_point)
        return self.operator(name, [first, second], [y], **options)

    def unary(self, name, x, *, scale=None, zero_point=None, dtype=None, **options):
        """Any operator of one input that keeps the shape."""
        if dtype == "float32":
            y = self.tensor(x.shape, dtype)
        else:
            y = self.like(x, scale=scale, zero_point=zero_point, dtype=dtype)
        return self.operator(name, [x], [y], **options)

    def softmax(self, x, beta=1.0):
        """Softmax along the last axis."""
        return self.unary("SOFTMAX", x, scale=1 / 256, zero_point=-128, beta=beta)

    def reshape(self, x, shape):
        """Values in the same order."""
        return self.operator("RESHAPE", [x, self.constant(shape)], [self.like(x, shape)],
                             newShape=list(shape))

    def concatenation(self, inputs, axis):
        """One after the other along ``axis``."""
        shape = list(inputs[0].shape)
        shape[axis] = sum(x.shape[axis] for x in inputs)
        return self.operator("CONCATENATION", inputs, [self.like(inputs[0], shape)], axis=axis)

    def pad(self, x, padding, value=None):
        """``padding`` is a (before, after) per axis; ``value`` a code, or the zero point."""
        shape    = [n + sum(pair) for n, pair in zip(x.shape, padding)]
        operands = [x, self.constant(padding)]
        if value is not None:
            operands.append(self.constant(value, x.dtype, scale=x.scale,
                                          zero_point=x.zero_point))
        return self.operator("PAD" if value is None else "PADV2", operands,
                             [self.like(x, shape)])

    def resize(self, name, x, size, **options):
        """``"RESIZE_BILINEAR"`` or ``"RESIZE_NEAREST_NEIGHBOR"``."""
        y = self.like(x, (x.shape[0], *size, x.shape[3]))
        return self.operator(name, [x, self.constant(size)], [y], **options)

    def transpose(self, x, permutation):
        """Axes in another order."""
        y = self.like(x, [x.shape[axis] for axis in permutation])
        return self.operator("TRANSPOSE", [x, self.constant(permutation)], [y])


def pack(model):
    """File of a ``ModelT`` of the schema."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def unpack(data):
    """``ModelT`` of the schema from a file; what is changed in it is packed again."""
    return schema.ModelT.InitFromPackedBuf(data)


def _window_sizes(sizes, kernel, strides, dilation, padding):
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    return [-(-size // stride) if padding == "same" else (size - extent) // stride + 1
            for size, stride, extent in zip(sizes, strides, extents)]


# Random values, extremes among them.

def random_codes(rng, shape, dtype="int8"):
    """Codes: uniform, or one extreme throughout, or only extremes, or mostly one."""
    limits = np.iinfo(dtype)
    low, high, middle = limits.min, limits.max, (limits.min + limits.max + 1) // 2
    match rng.integers(16):
        case 0:
            codes = np.full(shape, rng.choice([low, high, middle]))
        case 1:
            codes = rng.choice([low, low + 1, middle - 1, middle, middle + 1, high], shape)
        case 2:
            codes = np.where(rng.random(shape) < 0.9, rng.integers(low, high + 1),
                             rng.integers(low, high + 1, shape))
        case _:
            codes = rng.integers(low, high + 1, shape)
    return codes.astype(dtype)


def random_scale(rng, low=1e-4, high=1.0):
    """Scale: often any number, sometimes a power of two or another round number."""
    scale = np.exp(rng.uniform(np.log(low), np.log(high)))
    match rng.integers(4):
        case 0:
            scale = 2.0**np.round(np.log2(scale))
        case 1:
            scale = float(f"{scale:.1g}")
    return float(np.float32(scale))


def random_zero_point(rng):
    """Zero point: any code, with -128, 0 and 127 more often than others."""
    return int(rng.choice([-128, 0, 127, *rng.integers(-128, 128, 3)]))


def random_bias(rng, channels, size):
    """Biases up to ``size``, or none."""
    if rng.random() < 0.2:
        return None
    return rng.integers(-size, size + 1, channels)
