"""Random float ONNX models, written with nothing but `onnx`."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


__all__ = ["FloatBuilder", "depthwise_network", "residual_network"]


class FloatBuilder:
    """Collects nodes and constants; methods return the name of what they add."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, values, dtype=np.float32):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op, inputs, **attrs):
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{self.count}", **attrs))
        return name

    def conv(self, x, inputs, outputs, size=3, *, stride=1, group=1, norm=True):
        """Convolution without a bias, with batch normalisation behind it if ``norm``."""
        shape   = (outputs, inputs // group, size, size)
        weights = self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        x = self.node("Conv", [x, self.constant(weights)], kernel_shape=[size, size], group=group,
                      strides=[stride, stride], pads=[size // 2] * 4)
        return self.norm(x, outputs) if norm else x

    def norm(self, x, channels):
        """Batch normalisation whose channels differ by powers of ten."""
        values = [10 ** self.rng.uniform(-1, 1, channels), self.rng.normal(size=channels),
                  self.rng.normal(size=channels) * 0.3, self.rng.uniform(0.2, 2, channels)]
        return self.node("BatchNormalization", [x, *map(self.constant, values)])

    def gemm(self, x, inputs, outputs):
        """Fully connected layer."""
        weights = self.rng.normal(size=(outputs, inputs)) / np.sqrt(inputs)
        return self.node("Gemm", [x, self.constant(weights),
                                  self.constant(self.rng.normal(size=outputs) * 0.1)], transB=1)

    def model(self, shape, output, *, name="x", opset=13):
        """The model, with inputs of ``shape``."""
        graph = helper.make_graph(
            self.nodes, "network", [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.constants)
        return helper.make_model(graph, ir_version=8,
                                 opset_imports=[helper.make_opsetid("", opset)])


def residual_network(rng, *, batch="N"):
    """Model of images (batch, 3, 12, 12) with two residual blocks, and its number of outputs."""
    b = FloatBuilder(rng)
    x = b.node("Relu", [b.conv("x", 3, 8)])
    for channels, wider in ((8, 8), (8, 16)):
        stride = wider // channels
        y = b.node("Relu", [b.conv(x, channels, wider, stride=stride)])
        y = b.conv(y, wider, wider)
        if wider > channels:
            x = b.conv(x, channels, wider, 1, stride=stride, norm=False)
        x = b.node("Relu", [b.node("Add", [x, y])])
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x])])
    return b.model((batch, 3, 12, 12), b.gemm(x, 16, 10))


def depthwise_network(rng):
    """Model of images (N, 1, 14, 10) by depthwise and pointwise convolutions, with ReLU6."""
    b = FloatBuilder(rng)

    def relu6(x):
        return b.node("Clip", [x, b.constant(0.0), b.constant(6.0)])

    x = relu6(b.conv("x", 1, 8, stride=2))
    for _ in range(2):
        x = relu6(b.conv(x, 8, 8, group=8))
        x = relu6(b.conv(x, 8, 8, 1))
    x = b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Reshape", [x, b.constant([0, -1], np.int64)])
    weights = b.constant(b.rng.normal(size=(48, 6)) / 7)
    x = b.node("Add", [b.node("MatMul", [x, weights]), b.constant(b.rng.normal(size=6))])
    return b.model(("N", 1, 14, 10), b.node("Softmax", [x]))
