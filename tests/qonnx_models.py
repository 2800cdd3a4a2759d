"""Random QONNX models of few bits, written with nothing but `onnx`."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


__all__ = ["random_network"]


DOMAIN = "qonnx.custom_op.general"


class _Builder:
    """Collects nodes and constants."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, values, dtype=np.float32):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op, inputs, domain="", **attrs):
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [name], domain=domain, **attrs))
        return name

    def weights(self, rng, shape, kind):
        """Weights of a kind of quantiser."""
        values = self.constant(rng.normal(size=shape))
        if kind == "bipolar":
            return self.node("BipolarQuant", [values, self.constant(1.0)], DOMAIN)
        bits, narrow = {"ternary": (2, 1), "int2": (2, 0), "int4": (4, 1)}[kind]
        return self.node("Quant", [values, self.constant(2.0**-(bits - 1)), self.constant(0.0),
                                   self.constant(float(bits))], DOMAIN, signed=1, narrow=narrow,
                         rounding_mode="ROUND")

    def bias(self, rng, count):
        """Inputs for a bias, or none."""
        if rng.random() < 0.6:
            return []
        return [self.node("Quant", [self.constant(rng.normal(size=count) * 8),
                                    self.constant(2.0**-int(rng.integers(1, 6))),
                                    self.constant(0.0), self.constant(16.0)],
                          DOMAIN, signed=1, narrow=0, rounding_mode="ROUND")]

    def fully_connected(self, rng, x, inputs, outputs, kind):
        """With and without a bias."""
        bias = self.bias(rng, outputs)
        if not bias and rng.random() < 0.7:
            return self.node("MatMul", [x, self.weights(rng, (inputs, outputs), kind)])
        return self.node("Gemm", [x, self.weights(rng, (outputs, inputs), kind), *bias], transB=1)

    def quantiser(self, x, kind):
        """Quantiser of as many bits as ``kind`` says, signed ("quant2") or not ("uquant2")."""
        return self.node("Quant", [x, self.constant(0.5), self.constant(0.0),
                                   self.constant(float(kind[-1]))], DOMAIN,
                         signed=int(kind[0] != "u"), narrow=0, rounding_mode="ROUND")

    def activation(self, rng, x, channels, spread, kind):
        """Quantiser of sums, with what may come before it."""
        if kind == "threshold":
            limits = np.sort(rng.normal(size=(channels, 1)) * spread, axis=1).round()
            return self.node("MultiThreshold", [x, self.constant(limits)], DOMAIN,
                             out_dtype="BIPOLAR", out_scale=2.0, out_bias=-1.0,
                             data_layout="NCHW")
        norm = [rng.normal(size=channels) + 0.1, rng.normal(size=channels),
                rng.normal(size=channels) * spread, rng.random(channels) * spread**2 + 0.1]
        x = self.node("BatchNormalization", [x, *(self.constant(values) for values in norm)])
        if kind == "bipolar":
            return self.node("BipolarQuant", [x, self.constant(1.0)], DOMAIN)
        return self.quantiser(x, kind)


def random_network(rng, *, images=None):
    """File of a network, and the shape of its input, whose values are whole numbers up to 255.

    Parameters
    ----------
    images : bool, optional
        With convolutions.
    """
    build  = _Builder()
    images = bool(rng.random() < 0.5) if images is None else images
    if images:
        shape = (1, int(rng.integers(1, 4)), *rng.integers(6, 11, 2).tolist())
    else:
        shape = (1, int(rng.integers(1, 300)))
    limits = [[float(rng.integers(60, 200))]]
    if rng.random() < 0.5:
        x  = build.node("MultiThreshold", ["x", build.constant(limits)], DOMAIN,
                        out_dtype="BIPOLAR", out_scale=2.0, out_bias=-1.0,
                        data_layout="NCHW" if images else "NC")
    else:
        x  = build.node("Mul", ["x", build.constant(2.0**-6)])
        x  = build.quantiser(x, str(rng.choice(["quant2", "uquant2", "uquant4"])))
    size, channels = shape[2:], shape[1]
    kinds  = ["threshold", "bipolar", "bipolar", "quant2", "quant4", "uquant2", "uquant4"]
    while images and min(size) > 2 and rng.random() < 0.7:
        outputs = int(rng.integers(1, 40))
        kernel  = rng.integers(1, 4, 2)
        strides = rng.integers(1, 3, 2)
        pads    = rng.integers(0, 2, 4) * (rng.random() < 0.3)
        weights = build.weights(rng, (outputs, channels, *kernel),
                                str(rng.choice(["bipolar", "bipolar", "ternary", "int2"])))
        x = build.node("Conv", [x, weights, *build.bias(rng, outputs)],
                       kernel_shape=kernel.tolist(), strides=strides.tolist(),
                       pads=pads.tolist())
        size = tuple((n + p - k) // s + 1 for n, p, k, s in
                     zip(size, pads[:2] + pads[2:], kernel, strides))
        x = build.activation(rng, x, outputs, np.sqrt(channels * kernel.prod()),
                             str(rng.choice(kinds)))
        channels = outputs
        if min(size) > 3 and rng.random() < 0.5:
            x    = build.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
            size = tuple(n // 2 for n in size)
    if images:
        x = build.node("Reshape", [x, build.constant([1, -1], np.int64)])
        channels *= int(np.prod(size))
    for _ in range(int(rng.integers(0, 3))):
        outputs = int(rng.integers(1, 200))
        x = build.fully_connected(rng, x, channels, outputs, str(rng.choice(
            ["bipolar", "bipolar", "ternary", "int2", "int4"])))
        x = build.activation(rng, x, outputs, np.sqrt(channels), str(rng.choice(kinds)))
        channels = outputs
    x = build.fully_connected(rng, x, channels, 7, "bipolar")
    if rng.random() < 0.5:
        x = build.node("Mul", [x, build.constant(rng.normal())])
        x = build.node("Add", [x, build.constant(rng.normal(size=7))])
    build.nodes[-1].output[0] = "scores"
    graph = helper.make_graph(
        build.nodes, "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 7))], build.constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)])
    return model.SerializeToString(), shape
