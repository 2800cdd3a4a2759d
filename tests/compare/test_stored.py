"""The stored networks of several precisions are what they are said to be."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import popmac
from popmac.compare.layers import weight_bits, weight_codes
from popmac.models import load
from popmac.reference import open_reference


pytestmark = pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime

ZOO   = files("popmac") / "zoo"
MNIST = Path(__file__).parents[1] / "data" / "mnist"


def check(path, samples, bits):
    """Run samples on the golden device and compare the first ones with qonnx; all results."""
    graph   = load(path)
    program = popmac.compile(graph, target="ulx3s-85f")
    assert program.macs_on_device == program.macs > 0
    assert [weight_bits(codes) for codes in weight_codes(graph).values()] == bits
    with popmac.open("golden:ulx3s-85f") as device:
        scores = device.load(program).run_many(samples)
    reference = open_reference(path.read_bytes(), graph)
    for sample, result in zip(samples[:3], scores):
        values = reference.run({"x": sample[None]})
        np.testing.assert_array_equal(values["scores"][0], result)
    return scores


@pytest.mark.parametrize("name, bits, least", [
    ("int4", [4, 4, 4], 0.98), ("ternary", [2, 2, 2], 0.98), ("mixed", [8, 1, 8], 0.98),
    ("binary", [1, 1, 1], 0.92)])
def test_digits(name, bits, least):
    with (ZOO / "digits_samples.npz").open("rb") as file, np.load(file) as data:
        images, labels = data["x"][:120].astype(np.float32), data["y"][:120]
    scores = check(ZOO / f"digits_cnn_{name}.onnx", images, bits)
    assert np.mean(scores.argmax(axis=1) == labels) > least


@pytest.mark.parametrize("name, bits", [("mlp_binary", [1, 1, 1]), ("mlp_mixed", [8, 1, 8])])
def test_mnist(rng, name, bits):
    path = MNIST / f"mnist_{name}.onnx"
    check(path, rng.integers(0, 256, (4, 1, 28, 28)).astype(np.float32), bits)
    if name == "mlp_binary": # at most twice the weight bits of TFC
        assert sum(c.size for c in weight_codes(load(path)).values()) <= 2 * 59_008
