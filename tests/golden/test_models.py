"""Real models, where they lie beside the project."""

from pathlib import Path

import numpy as np
import pytest

from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers
from popmac.reference import LiteRTReference


pytest.importorskip("ai_edge_litert")

MODELS = sorted((Path(__file__).parents[2] / ".." / "shared" / "models").glob("*.tflite"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_tensor_is_bit_exact(path, rng):
    data      = path.read_bytes()
    graph     = load_tflite(data, path.stem)
    reference = LiteRTReference(data)
    name,     = graph.inputs
    shape     = graph.tensors[name].shape
    for codes in (np.full(shape, -128), np.full(shape, 127), rng.choice([-128, 127], shape),
                  *rng.integers(-128, 128, (5, *shape)), rng.integers(-20, 20, shape)):
        inputs   = {name: codes.astype(np.int8)}
        expected = reference.run(inputs)
        actual   = layers.run(graph, inputs)
        assert set(actual) <= set(expected)
        for tensor in graph.tensors:
            np.testing.assert_array_equal(actual[tensor], expected[tensor], err_msg=tensor)
