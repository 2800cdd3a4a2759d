"""Every operator of the device against the golden model."""

import numpy as np

from ..compiler import compile_graph
from ..golden import layers
from ..graph import DTYPES, Graph, Node, Tensor
from .memories import Difference


__all__ = ["OPERATORS", "test_operator"]


_SAMPLES = 3

_PLAIN = {"activation": "none"}
_IMAGE = (1, 12, 12, 8)


def test_operator(device, rng, make):
    """Compare all elements of an operator's result for random and for extreme inputs."""
    graph   = make(rng).verify()
    program = compile_graph(graph, device.arch)
    if program.fallbacks:
        fallback, *_ = program.fallbacks
        return f"left to the host: {fallback.reason}"
    session  = device.load(program)
    elements = 0
    for sample in range(_SAMPLES):
        x = {}
        for name in graph.inputs:
            values  = rng.integers(-128, 128, graph.tensors[name].shape)
            x[name] = (values if sample else rng.choice([-128, 127], values.shape)).astype(np.int8)
        tensors = session.trace(x)
        for name, expected in layers.run(graph, x).items():
            if graph.tensors[name].is_constant or name in graph.inputs:
                continue
            wrong = np.argwhere(tensors[name] != expected)
            if wrong.size:
                at = tuple(wrong[0].tolist())
                raise Difference(f"element {at} is {tensors[name][at]} instead of {expected[at]}; "
                                 f"{len(wrong)} of {expected.size} elements are wrong")
            elements += expected.size
    return f"{elements:,} elements equal to the golden model"


class _Builder:
    """A graph of one operator."""

    def __init__(self, rng):
        self.rng, self.tensors, self.inputs = rng, {}, []

    def add(self, name, shape, *, scale=1 / 64, zero_point=0, dtype="int8", data=None, axis=None):
        """Add a tensor, and return its name."""
        scale = np.atleast_1d(np.asarray(scale, np.float32))
        self.tensors[name] = Tensor(
            name=name, shape=tuple(shape), dtype=dtype, scale=scale, axis=axis,
            zero_point=np.full(scale.shape, zero_point, np.int64),
            data=None if data is None else np.asarray(data).astype(DTYPES[dtype]))
        return name

    def input(self, shape, **options):
        name = self.add(f"input {len(self.inputs)}", shape, **options)
        self.inputs.append(name)
        return name

    def weights(self, shape, channels, depth, axis):
        """Weights and biases whose results use the range of codes."""
        scales  = self.rng.uniform(0.5, 1, channels) / (64 * np.sqrt(depth))
        weights = self.add("weights", shape, scale=scales, axis=axis,
                           data=self.rng.integers(-127, 128, shape))
        bias    = self.add("bias", (channels,), scale=scales / 64, axis=0, dtype="int32",
                           data=self.rng.integers(-2000, 2000, channels))
        return weights, bias

    def graph(self, op, inputs, shape, attrs, *, scale=1 / 32, zero_point=3):
        """The graph of an operator."""
        output = self.add("output", shape, scale=scale, zero_point=zero_point)
        node   = Node(op=op, name=op, inputs=tuple(inputs), outputs=(output,), attrs=attrs)
        return Graph(name=op, dialect="tflite", nodes=(node,), tensors=self.tensors,
                     inputs=tuple(self.inputs), outputs=(output,))


def _convolution(channels, kernel, stride=1, dilation=1):
    def make(rng):
        b = _Builder(rng)
        x = b.input((1, 12, 12, channels), zero_point=-7)
        before = (kernel - 1) * dilation // 2
        size   = (12 + 2 * before - (kernel - 1) * dilation - 1) // stride + 1
        w      = b.weights((24, kernel, kernel, channels), 24, kernel**2 * channels, 0)
        return b.graph("Conv2D", (x, *w), (1, size, size, 24), {
            "strides": (stride, stride), "dilation": (dilation, dilation),
            "padding": ((before, before), (before, before)), **_PLAIN})
    return make


def _depthwise(rng):
    b = _Builder(rng)
    x = b.input((1, 12, 12, 24), zero_point=-7)
    w = b.weights((1, 3, 3, 24), 24, 9, 3)
    return b.graph("DepthwiseConv2D", (x, *w), (1, 12, 12, 24), {
        "strides": (1, 1), "dilation": (1, 1), "padding": ((1, 1), (1, 1)),
        "depth_multiplier": 1, **_PLAIN})


def _fully_connected(rng):
    b = _Builder(rng)
    x = b.input((1, 200), zero_point=5)
    w = b.weights((40, 200), 40, 200, 0)
    return b.graph("FullyConnected", (x, *w), (1, 40), _PLAIN)


def _pair(op):
    def make(rng):
        b = _Builder(rng)
        x = b.input(_IMAGE, scale=1 / 50, zero_point=-3)
        y = b.input(_IMAGE, scale=1 / 90, zero_point=8)
        return b.graph(op, (x, y), _IMAGE, _PLAIN)
    return make


def _pool(op):
    def make(rng):
        b = _Builder(rng)
        x = b.input(_IMAGE, zero_point=2)
        return b.graph(op, (x,), (1, 6, 6, 8), {
            "kernel": (3, 3), "strides": (2, 2), "padding": ((0, 1), (0, 1)), **_PLAIN},
            scale=1 / 64, zero_point=2)
    return make


def _mean(rng):
    b = _Builder(rng)
    x = b.input(_IMAGE, zero_point=2)
    return b.graph("Mean", (x,), (1, 8), {"axes": (1, 2), "keep_dims": False}, scale=1 / 200)


def _function(op, scale, zero_point, **attrs):
    def make(rng):
        b = _Builder(rng)
        x = b.input(_IMAGE, scale=1 / 16, zero_point=-4)
        return b.graph(op, (x,), _IMAGE, attrs, scale=scale, zero_point=zero_point)
    return make


def _concatenation(rng):
    b = _Builder(rng)
    names = [b.input(_IMAGE, scale=1 / 32, zero_point=3) for _ in range(2)]
    return b.graph("Concatenation", names, (1, 12, 12, 16), {"axis": 3})


def _bits(rng):
    """Bytes to bits, bits to bits, pooling of bits, and the sums of a last layer."""
    b = _Builder(rng)
    nodes, window = [], {"strides": (1, 1), "dilation": (1, 1), "padding": ((0, 0), (0, 0))}

    def add(op, source, shape, weights=None, spread=0, **attrs):
        name, inputs = f"{len(nodes)} {op}", [source]
        if weights is not None:
            inputs.append(b.add(f"{name} weights", weights, data=rng.choice([-1, 1], weights)))
        if spread:
            limits = rng.normal(0, spread, (weights[0], 1))
            inputs.append(b.add(f"{name} thresholds", limits.shape, data=limits, dtype="int32"))
        output = b.add(name, shape, zero_point=0, scale=1)
        nodes.append(Node(op=op, name=name, inputs=tuple(inputs), outputs=(output,), attrs=attrs))
        return output

    levels = {"levels": (-1, 1)}
    x = b.input((1, 12, 12, 3), zero_point=-7)
    x = add("ThresholdConv2D", x, (1, 10, 10, 37), (37, 3, 3, 3), 300, **window, **levels)
    x = add("ThresholdConv2D", x, (1, 8, 8, 150), (150, 3, 3, 37), 18, **window, **levels)
    x = add("MaxPool2D", x, (1, 4, 4, 150), kernel=(2, 2), strides=(2, 2),
            padding=window["padding"], **_PLAIN)
    x = add("SegmentConv2D", x, (1, 4, 4, 20), (10, 1, 1, 150), **window, first=-150, step=2,
            segments=2)
    return Graph(name="bits", dialect="qonnx", nodes=tuple(nodes), tensors=b.tensors,
                 inputs=tuple(b.inputs), outputs=(x,))


#: Functions of random numbers that return a graph, by name of the item.
OPERATORS = {
    "Conv2D, 1 channel":    _convolution(1, 5),
    "Conv2D, 3 channels":   _convolution(3, 3, stride=2),
    "Conv2D, 40 channels":  _convolution(40, 1),
    "Conv2D, dilated":      _convolution(20, 3, dilation=2),
    "DepthwiseConv2D":      _depthwise,
    "FullyConnected":       _fully_connected,
    "Add":                  _pair("Add"),
    "Sub":                  _pair("Sub"),
    "Mul":                  _pair("Mul"),
    "AveragePool2D":        _pool("AveragePool2D"),
    "MaxPool2D":            _pool("MaxPool2D"),
    "Mean":                 _mean,
    "Logistic":             _function("Logistic", 1 / 256, -128),
    "LeakyRelu":            _function("LeakyRelu", 1 / 16, -30, alpha=0.1),
    "Concatenation":        _concatenation,
    "bits":                 _bits,
}
