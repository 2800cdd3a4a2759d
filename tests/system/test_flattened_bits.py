"""Images of bits that are flattened before the first layer."""

from pathlib import Path

import numpy as np
import pytest

import popmac
from popmac.golden import layers


DATA = Path(__file__).parents[1] / "data" / "mnist"


@pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime
@pytest.mark.parametrize("name, words, cycles", [("binary", 56 + 8 + 1, 300),
                                                 ("mixed", 392 + 64 + 112, 800)])
def test_flattened_images_are_vectors(rng, name, words, cycles):
    graph   = popmac.load(DATA / f"mnist_mlp_{name}.onnx")
    program = popmac.compile(graph, target="ulx3s-85f")
    assert len(program.weights) == words and len(program.layers) == 3
    assert sum(layer.cycles for layer in program.layers) < cycles
    assert program.layouts["t2"].words == (784 // 128 + 1 if name == "binary" else 784 // 16)
    x = rng.choice(np.array([0, 255], np.float32), (5, 1, 1, 28, 28), p=[0.7, 0.3])
    with popmac.open("golden:ulx3s-85f") as device:
        scores = device.load(program).run_many(x)
    expected = [layers.run(graph, {graph.inputs[0]: one})[graph.outputs[0]] for one in x]
    assert len(np.unique(scores)) > 10
    np.testing.assert_array_equal(scores, np.concatenate(expected))
