"""Real models: the project's own, and published ones where they lie beside it."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers
from popmac.reference import LiteRTReference


MODELS = [files("popmac") / "zoo" / "digits.tflite",
          *sorted((Path(__file__).parents[3] / "shared" / "models").glob("*.tflite"))]


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
