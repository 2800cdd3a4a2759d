"""Quantised ONNX models as onnxruntime makes them: whole networks, and single operators."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from popmac.compiler.frontends.tflite import load_tflite


__all__ = ["NETWORKS", "OPERATORS", "Builder", "digits_network", "network", "quantised",
           "random_operator"]


OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]


class Builder:
    """A model that is being made; tensors are names."""

    def __init__(self, rng):
        self.rng  = rng
        self.nodes, self.constants, self.inputs = [], [], []

    def input(self, shape, dtype="float32", name="x"):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, values):
        name = f"constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, op, *inputs, outputs=1, **attrs):
        names = [f"t{len(self.nodes)}" + "_" * i for i in range(outputs)]
        domain = "com.microsoft" if op in CONTRIBUTED else ""
        inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain,
                                           name=f"{op} {len(self.nodes)}", **attrs))
        return names[0] if outputs == 1 else names

    def convolution(self, x, depth, channels, kernel=3, *, groups=1, stride=1, relu=True):
        height, width = np.broadcast_to(kernel, 2)
        weights = self.rng.normal(size=(channels, depth // groups, height, width)) \
            * np.sqrt(2 / (depth // groups * height * width)) \
            * self.rng.uniform(0.3, 1.5, (channels, 1, 1, 1))
        x = self.add("Conv", x, weights.astype(np.float32),
                     self.rng.normal(0, 0.2, channels).astype(np.float32), group=groups,
                     kernel_shape=[height, width], strides=[stride, stride],
                     pads=[height // 2, width // 2, (height - 1) // 2, (width - 1) // 2])
        return self.add("Relu", x) if relu else x

    def dense(self, x, depth, channels):
        weights = self.rng.normal(size=(channels, depth)) * 2 / np.sqrt(depth)
        return self.add("Gemm", x, weights.astype(np.float32),
                        self.rng.normal(0, 0.1, channels).astype(np.float32), transB=1)

    def model(self, *outputs):
        graph = helper.make_graph(
            self.nodes, "model", self.inputs,
            [helper.make_empty_tensor_value_info(name) for name in outputs], self.constants)
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)


CONTRIBUTED = {"QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
               "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid",
               "QLinearSoftmax"}


def quantised(model, samples, *, qdq=True, per_channel=True, unsigned=True):
    """Contents of the file that onnxruntime makes of a model of real numbers.

    Parameters
    ----------
    model : onnx.ModelProto
    samples : ndarray of float32 (samples, ...)
        Of its input, for calibration.
    qdq : bool
        QDQ, or operators of codes (QOperator).
    per_channel, unsigned : bool
        Scales of weights; codes of activations.
    """
    class Reader(CalibrationDataReader):
        left = iter(samples)

        def get_next(self):
            sample = next(self.left, None)
            return None if sample is None else {"x": sample}

    model = onnx.shape_inference.infer_shapes(model)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        quantize_static(
            source, target, Reader(), per_channel=per_channel, weight_type=QuantType.QInt8,
            quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
            activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8)
        return target.read_bytes()


# Networks of real numbers: functions of a builder that return the output; with the input's shape.

def _resnet(b):
    """As ResNet-8 of MLPerf Tiny."""
    def block(x, depth, channels, stride):
        y = b.convolution(x, depth, channels, stride=stride)
        y = b.convolution(y, channels, channels, relu=False)
        if stride > 1:
            x = b.convolution(x, depth, channels, 1, stride=stride, relu=False)
        return b.add("Relu", b.add("Add", y, x))

    x = b.convolution(b.input([1, 3, 32, 32]), 3, 16)
    x = block(block(block(x, 16, 16, 1), 16, 32, 2), 32, 64, 2)
    x = b.add("Flatten", b.add("GlobalAveragePool", x))
    return b.add("Softmax", b.dense(x, 64, 10))


def _dscnn(b):
    """As the keyword spotting network of MLPerf Tiny."""
    x = b.convolution(b.input([1, 1, 49, 10]), 1, 64, (10, 4), stride=2)
    for _ in range(4):
        x = b.convolution(x, 64, 64, groups=64)
        x = b.convolution(x, 64, 64, 1)
    x = b.add("AveragePool", x, kernel_shape=b_pool(49, 10), strides=[1, 1])
    return b.add("Softmax", b.dense(b.add("Flatten", x), 64, 12))


def b_pool(height, width):
    """Size of the image behind the first layer of the keyword spotting network."""
    return [(height - 1) // 2 + 1, (width - 1) // 2 + 1]


def _mixture(b):
    """A little of everything."""
    x = b.convolution(b.input(["batch", 3, 12, 12]), 3, 8, relu=False)
    x = b.add("Clip", x, np.float32(0), np.float32(6))
    y = b.convolution(x, 8, 8, relu=False)
    y = b.add("Mul", y, b.add("Sigmoid", y))
    z = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    x = b.add("Concat", y, z, axis=1)
    x = b.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.add("Pad", x, np.array([0, 0, 1, 0, 0, 0, 0, 2]))
    x = b.add("LeakyRelu", b.convolution(x, 16, 24, groups=2, relu=False), alpha=0.1)
    s = b.convolution(b.add("GlobalAveragePool", x), 24, 24, 1, relu=False)
    x = b.add("HardSwish", b.add("Tanh", b.add("Mul", x, b.add("Sigmoid", s))))
    x = b.add("Slice", x, np.array([0, 1]), np.array([16, 7]), np.array([1, 2]))
    x = b.add("Reshape", b.add("Transpose", x, perm=[0, 2, 3, 1]), np.array([1, -1]))
    weights = b.rng.normal(size=(16 * 6 * 8, 10)) / 30
    x = b.add("MatMul", x, weights.astype(np.float32))
    return b.add("Add", x, b.rng.normal(size=10).astype(np.float32))


NETWORKS = {"resnet": (_resnet, (1, 3, 32, 32)), "dscnn": (_dscnn, (1, 1, 49, 10)),
            "mixture": (_mixture, (1, 3, 12, 12))}


def network(name, rng, **options):
    """File of one of :data:`NETWORKS` with random weights, and samples of its input."""
    make, shape = NETWORKS[name]
    builder = Builder(rng)
    output  = make(builder)
    samples = rng.normal(size=(12, *shape)).astype(np.float32)
    return quantised(builder.model(output), samples, **options), samples


def digits_network(path, images, rng, **options):
    """File of the digits network, made of the weights of the one for TensorFlow Lite."""
    graph   = load_tflite(Path(path).read_bytes(), "digits")
    builder = Builder(rng)
    names   = {graph.inputs[0]: builder.input([1, 1, 8, 8])}

    def real(tensor, scale):
        return (tensor.data * scale.reshape(-1, *[1] * (tensor.data.ndim - 1))).astype(np.float32)

    for node in graph.nodes:
        x       = names[node.inputs[0]]
        output  = graph.tensors[node.output]
        if node.op in ("Conv2D", "FullyConnected"):
            scale   = graph.tensors[node.inputs[0]].scale
            weights, bias = (graph.tensors[name] for name in node.inputs[1:3])
            values  = real(weights, weights.scale), real(bias, weights.scale * scale)
            if node.op == "FullyConnected":
                x = builder.add("Gemm", x, *values, transB=1)
            else:
                x = builder.add("Conv", x, values[0].transpose(0, 3, 1, 2), values[1],
                                pads=[1] * 4, kernel_shape=[3, 3])
        elif node.op == "Add":
            x = builder.add("Add", x, names[node.inputs[1]])
        elif node.op == "MaxPool2D":
            x = builder.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        elif node.op == "AveragePool2D":
            x = builder.add("GlobalAveragePool", x)
        elif node.op == "Reshape":
            x = builder.add("Flatten", x)
        else:
            x = builder.add(node.op, x)
        if node.attrs.get("activation") == "relu":
            x = builder.add("Relu", x)
        names[output.name] = x
    tensor  = graph.tensors[graph.inputs[0]]
    samples = ((images.astype(np.float32) - tensor.zero_point) * tensor.scale).astype(np.float32)
    samples = samples.reshape(-1, 1, 1, 8, 8)
    return quantised(builder.model(names[graph.outputs[0]]), samples[:60], **options), samples


# Single operators of codes, by name of the operator.

OPERATORS = {}


def random_operator(op, rng):
    """Model of one quantised operator with random sizes, codes and scales."""
    builder = Builder(rng)
    builder.dtype = np.dtype(rng.choice(["uint8", "int8"]))
    outputs = OPERATORS[op](builder, rng)
    return builder.model(*(outputs if isinstance(outputs, (list, tuple)) else (outputs,)))


def _operator(*names):
    def register(function):
        for name in names:
            OPERATORS[name] = lambda b, rng, name=name: function(b, rng, name)
        return function
    return register


def _scaled(b, rng, low=-9, high=-1):
    """A scale and a zero point."""
    limits = np.iinfo(b.dtype)
    return (np.float32(2.0**rng.uniform(low, high)),
            b.dtype.type(rng.integers(limits.min, limits.max + 1)))


def _image(b, rng, name="x", channels=None):
    channels = channels or int(rng.choice([1, 3, 4, 8, 16, 17, rng.integers(1, 40)]))
    shape    = [1, channels, *rng.integers(3, 9, 2).tolist()]
    return b.input(shape, b.dtype, name), shape


def _window(rng, shape):
    kernel = [int(rng.integers(1, min(n, 4) + 1)) for n in shape[2:]]
    return {"kernel_shape": kernel, "strides": rng.integers(1, 3, 2).tolist(),
            "pads": [int(rng.integers(0, kernel[i % 2])) for i in range(4)]}


def _weights(rng, shape, axis):
    """Codes, scales and zero points of weights."""
    codes = rng.integers(-127, 128, shape).astype(np.int8)
    count = shape[axis] if rng.random() < 0.6 else 1
    scale = (2.0**rng.uniform(-9, -7, count)).astype(np.float32)
    return codes, scale if count > 1 else scale[0], np.zeros(count if count > 1 else (), np.int8)


@_operator("QLinearConv")
def _conv(b, rng, op):
    x, shape = _image(b, rng)
    depth    = shape[1]
    groups   = int(rng.choice([1, 1, depth, *([depth // 2] if depth % 2 == 0 else [])]))
    channels = groups * int(rng.integers(1, 24 if groups == 1 else 3))
    options  = _window(rng, shape)
    weights  = _weights(rng, (channels, depth // groups, *options["kernel_shape"]), 0)
    taps     = np.prod(weights[0].shape[1:])
    (scale, zero), (new, new_zero) = _scaled(b, rng, -6, -4), _scaled(b, rng)
    new  = np.float32(np.mean(weights[1]) * scale * np.sqrt(taps) * 2000 * 2.0**rng.uniform(-6, 0))
    bias = [rng.integers(-20_000, 20_000, channels).astype(np.int32)] if rng.random() < 0.7 else []
    return b.add(op, x, scale, zero, *weights, new, new_zero, *bias, group=groups, **options)


@_operator("QGemm", "QLinearMatMul")
def _product(b, rng, op):
    depth, channels = rng.integers(1, 80, 2).tolist()
    x = b.input([int(rng.choice([1, 1, 5])), depth], b.dtype)
    transposed = op == "QGemm" and rng.random() < 0.5
    shape   = (channels, depth) if transposed else (depth, channels)
    weights = _weights(rng, shape, 0 if transposed else 1)
    scale, zero = _scaled(b, rng, -6, -4)
    _, new_zero = _scaled(b, rng)
    new = np.float32(np.mean(weights[1]) * scale * np.sqrt(depth) * 2000 * 2.0**rng.uniform(-6, 0))
    if op == "QLinearMatMul":
        return b.add(op, x, scale, zero, *weights, new, new_zero)
    bias = rng.integers(-20_000, 20_000, channels).astype(np.int32)
    return b.add(op, x, scale, zero, *weights, bias, new, new_zero, transB=int(transposed))


@_operator("QLinearAdd", "QLinearMul")
def _arithmetic(b, rng, op):
    x, shape = _image(b, rng)
    (scale, zero), (second, second_zero), (new, new_zero) = (_scaled(b, rng, -6, -4)
                                                             for _ in range(3))
    if op == "QLinearMul":
        new = np.float32(new * 2)
    kind = rng.integers(4)
    if kind == 0: # a value per channel, constant or not
        shape = [1, shape[1], 1, 1]
    if kind == 1:
        other = rng.integers(0, 128, shape if rng.random() < 0.5 else [1, shape[1], 1, 1]) \
            .astype(b.dtype)
    else:
        other = b.input(shape, b.dtype, "second")
    return b.add(op, x, scale, zero, other, second, second_zero, new, new_zero)


@_operator("QLinearConcat")
def _concat(b, rng, op):
    x, shape = _image(b, rng)
    second   = b.input([1, int(rng.integers(1, 20)), *shape[2:]], b.dtype, "second")
    scales   = [_scaled(b, rng, -6, -5) for _ in range(3)]
    if rng.random() < 0.5:
        scales[1] = scales[0]
    return b.add(op, *scales[0], x, *scales[1], second, *scales[2], axis=1)


@_operator("QLinearAveragePool", "QLinearGlobalAveragePool", "MaxPool")
def _pool(b, rng, op):
    x, shape = _image(b, rng)
    if op == "MaxPool":
        scaled = _scaled(b, rng)
        x = b.add(op, b.add("DequantizeLinear", x, *scaled), **_window(rng, shape))
        return b.add("QuantizeLinear", x, *scaled)
    first = _scaled(b, rng, -5, -4)
    last  = first if rng.random() < 0.5 else _scaled(b, rng, -6, -5)
    if op == "QLinearGlobalAveragePool":
        return b.add(op, x, *first, *last)
    return b.add(op, x, *first, *last, count_include_pad=int(rng.integers(2)),
                 **_window(rng, shape))


@_operator("QLinearSigmoid", "QLinearLeakyRelu")
def _function(b, rng, op):
    x, _  = _image(b, rng)
    attrs = {"alpha": float(rng.uniform(0, 0.5))} if op == "QLinearLeakyRelu" else {}
    return b.add(op, x, *_scaled(b, rng, -6, -4), *_scaled(b, rng, -9, -6), **attrs)


@_operator("QLinearSoftmax")
def _softmax(b, rng, op):
    x = b.input([1, int(rng.integers(2, 40))], b.dtype)
    return b.add(op, x, *_scaled(b, rng, -6, -3), np.float32(1 / 256),
                 b.dtype.type(np.iinfo(b.dtype).min), axis=1, opset=13)


@_operator("Relu", "Clip", "Tanh", "HardSwish", "Elu")
def _real_function(b, rng, op):
    x, _ = _image(b, rng)
    x    = b.add("DequantizeLinear", x, *_scaled(b, rng, -6, -4))
    x    = b.add(op, x, *([np.float32(-1), np.float32(2)] if op == "Clip" else []))
    return b.add("QuantizeLinear", x, *_scaled(b, rng, -7, -5))


@_operator("Pad", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split")
def _movement(b, rng, op):
    x, shape = _image(b, rng, channels=int(rng.choice([2, 6, 16, 32])))
    scaled   = _scaled(b, rng)
    x        = b.add("DequantizeLinear", x, *scaled)
    operands, attrs, outputs = [], {}, 1
    match op:
        case "Pad":
            operands = [np.array([0, 0, *rng.integers(0, 3, 2), 0, 0, *rng.integers(0, 3, 2)])]
        case "Transpose":
            attrs = {"perm": rng.permutation(4).tolist()}
        case "Reshape":
            operands = [np.array([1, shape[1], -1])]
        case "Flatten":
            attrs = {"axis": 1}
        case "Squeeze":
            operands = [np.array([0])]
        case "Unsqueeze":
            x = b.add("Reshape", x, np.array([1, -1]))
            operands = [np.array([1, 3])]
        case "Slice":
            operands = [np.array([0, 1]), np.array([shape[1] // 2, 3]), np.array([1, 2])]
        case "Split":
            operands, attrs, outputs = [np.array([1, shape[1] - 1])], {"axis": 1}, 2
    made = b.add(op, x, *operands, outputs=outputs, **attrs)
    return [b.add("QuantizeLinear", name, *scaled) for name in ([made] if outputs == 1 else made)]
