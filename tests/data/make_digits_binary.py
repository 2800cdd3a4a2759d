"""Trains networks of few bits for scikit-learn's digits, which `popmac demo` runs beside INT8's.

Needs scikit-learn and onnx. Run from the root of the project:

    python tests/data/make_digits_binary.py

Writes ``sw/popmac/zoo/digits_binary.onnx``, all of whose weights are binary, and
``sw/popmac/zoo/digits_mixed.onnx``, with 4-bit weights in the first and the last layer. Pixels
have five bits; all activations behind the first layer are binary. Both are QONNX. Weights and signs
are trained by straight-through estimators (Courbariaux et al., "Binarized Neural Networks", 2016):
the gradient of a rounding is that of its argument, where this is between -1 and 1.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


ZOO    = Path(__file__).parents[2] / "sw" / "popmac" / "zoo"
SEED   = 1 # of the split, as in make_digits.py
DOMAIN = "qonnx.custom_op.general"
EPOCHS, BATCH, RATE = 150, 64, 3e-3
EPSILON = 1e-5
WIDTH   = 256

def sign(values):
    return np.where(values >= 0, 1.0, -1.0)


def int4(values):
    """Codes -7 to 7 of weights between -1 and 1."""
    return np.clip(np.rint(values * 7), -7, 7)


class Network:
    """Fully connected layers, each followed by normalisation and, but for the last, by a sign."""

    def __init__(self, rng, widths, roundings):
        self.roundings = roundings
        self.weights = [rng.uniform(-1, 1, shape) for shape in zip(widths, widths[1:])]
        self.gains   = [np.ones(n) for n in widths[1:]]
        self.shifts  = [np.zeros(n) for n in widths[1:]]
        self.means   = [np.zeros(n) for n in widths[1:]]
        self.powers  = [np.ones(n) for n in widths[1:]]

    def parameters(self):
        return [*self.weights, *self.gains, *self.shifts]

    def forward(self, x, *, training=False):
        """Scores, and what the gradient needs."""
        kept = []
        for i, (weights, rounding) in enumerate(zip(self.weights, self.roundings)):
            rounded = rounding(weights)
            sums    = x @ rounded
            if training:
                mean, power = sums.mean(axis=0), sums.var(axis=0)
                self.means[i]  = 0.9 * self.means[i] + 0.1 * mean
                self.powers[i] = 0.9 * self.powers[i] + 0.1 * power
            else:
                mean, power = self.means[i], self.powers[i]
            scale = 1 / np.sqrt(power + EPSILON)
            normal = (sums - mean) * scale
            out    = normal * self.gains[i] + self.shifts[i]
            kept.append((x, rounded, scale, normal, out))
            x = sign(out) if i < len(self.weights) - 1 else out
        return x, kept

    def gradients(self, kept, gradient):
        """Gradients of the parameters, given that of the scores."""
        results = [[], [], []]
        for i in reversed(range(len(self.weights))):
            x, rounded, scale, normal, out = kept[i]
            if i < len(self.weights) - 1:
                gradient = gradient * (np.abs(out) <= 1)
            results[1].insert(0, (gradient * normal).sum(axis=0))
            results[2].insert(0, gradient.sum(axis=0))
            inner = gradient * self.gains[i]
            inner = scale * (inner - inner.mean(axis=0) - normal * (inner * normal).mean(axis=0))
            results[0].insert(0, x.T @ inner)
            gradient = inner @ rounded.T
        return [*results[0], *results[1], *results[2]]


def train(rng, network, images, labels):
    """Adam on the cross-entropy, with shifted images, which make up for how few there are."""
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in network.parameters()]
    step    = 0
    for epoch in range(EPOCHS):
        rate  = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(images))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first:first + BATCH]
            moved  = np.stack([shifted(rng, images[i]) for i in chosen])
            scores, kept = network.forward(moved, training=True)
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(BATCH), labels[chosen]] -= 1
            step += 1
            for p, g, (m, v) in zip(network.parameters(),
                                    network.gradients(kept, shares / BATCH), moments):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
            for weights in network.weights:
                np.clip(weights, -1, 1, out=weights)


def shifted(rng, image):
    """An image moved by up to one pixel, what leaves it is lost."""
    square = np.pad(image.reshape(8, 8), 1, constant_values=image.min())
    y, x   = rng.choice([0, 1, 1, 1, 2], 2)
    return square[y:y + 8, x:x + 8].reshape(-1)


def save(path, network):
    """Write a network as QONNX, for pixels from 0 to 16."""
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(op, inputs, output, domain="", **attrs):
        nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attrs))
        return output

    x = node("Reshape", ["image", constant("flat", np.array([1, 64]))], "pixels")
    x = codes(node, constant, x)
    last = len(network.weights) - 1
    for i, (weights, rounding) in enumerate(zip(network.weights, network.roundings)):
        values = node("Cast", [constant(f"weights_{i}", rounding(weights).astype(np.int8))],
                      f"float_{i}", to=TensorProto.FLOAT)
        if rounding is sign:
            w = node("BipolarQuant", [values, constant(f"one_{i}", np.float32(1))], f"w_{i}",
                     DOMAIN)
        else:
            w = node("Quant", [values, constant(f"one_{i}", np.float32(1)),
                               constant(f"zero_{i}", np.float32(0)),
                               constant(f"bits_{i}", np.float32(4))], f"w_{i}", DOMAIN,
                     signed=1, narrow=1, rounding_mode="ROUND")
        x = node("MatMul", [x, w], f"sums_{i}")
        if i == last:
            # One scale and one shift per class.
            gain  = network.gains[i] / np.sqrt(network.powers[i] + EPSILON)
            shift = network.shifts[i] - network.means[i] * gain
            x = node("Mul", [x, constant("gain", gain.astype(np.float32))], "scaled")
            x = node("Add", [x, constant("shift", shift.astype(np.float32))], "scores")
        else:
            norm = [network.gains[i], network.shifts[i], network.means[i], network.powers[i]]
            x = node("BatchNormalization", [x, *(
                constant(f"norm_{i}_{j}", values.astype(np.float32))
                for j, values in enumerate(norm))], f"normal_{i}", epsilon=EPSILON)
            x = node("BipolarQuant", [x, constant(f"unit_{i}", np.float32(1))], f"signs_{i}",
                     DOMAIN)
    graph = helper.make_graph(
        nodes, path.stem, [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 8, 8))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 10))], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)])
    path.write_bytes(model.SerializeToString())


def codes(node, constant, x):
    """Pixels as they are, in five bits."""
    return node("Quant", [x, constant("step", np.float32(1)), constant("origin", np.float32(0)),
                          constant("five", np.float32(5))], "codes", DOMAIN, signed=0, narrow=0,
                rounding_mode="ROUND")


def main():
    data = load_digits()
    split = train_test_split(data.data, data.target, test_size=360, random_state=SEED,
                             stratify=data.target)
    images, tests, labels, answers = split
    for name, roundings in [("digits_binary", (sign, sign, sign)),
                            ("digits_mixed", (int4, sign, int4))]:
        rng     = np.random.default_rng(SEED)
        network = Network(rng, (64, WIDTH, WIDTH, 10), roundings)
        train(rng, network, images, labels)
        scores, _ = network.forward(tests)
        print(f"{name}: {np.mean(scores.argmax(axis=1) == answers):.2%} of {len(tests)}")
        save(ZOO / f"{name}.onnx", network)



if __name__ == "__main__":
    main()
