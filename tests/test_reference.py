import sys

import numpy as np
import pytest
import tflite_models

from popmac.errors import InputError, ModelFormatError, ToolError
from popmac.reference import LiteRTReference


@pytest.fixture
def builder():
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 4), scale=0.5, name="x")
    builder.output(builder.softmax(x))
    return builder


def test_description(builder):
    assert LiteRTReference(builder.build()).description == "LiteRT 2.3.0 BUILTIN_REF"


def test_all_tensors_are_returned(builder):
    values = LiteRTReference(builder.build()).run({"x": np.zeros((1, 4), np.int8)})
    np.testing.assert_array_equal(values["x"], [[0, 0, 0, 0]])
    np.testing.assert_array_equal(values["t1"], [[-64, -64, -64, -64]])


@pytest.mark.parametrize("inputs", [{}, {"y": np.zeros((1, 4), np.int8)},
                                    {"x": np.zeros((1, 5), np.int8)},
                                    {"x": np.zeros((1, 4), np.float32)}])
def test_wrong_inputs_are_refused(builder, inputs):
    with pytest.raises(InputError):
        LiteRTReference(builder.build()).run(inputs)


def test_file_that_the_runtime_refuses():
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 4), scale=0.5)
    builder.output(builder.unary("LOGISTIC", x, scale=0.3, zero_point=0))
    with pytest.raises(ModelFormatError, match="LiteRT .* refuses the model"):
        LiteRTReference(builder.build())


def test_missing_runtime_says_how_to_install_it(builder, monkeypatch):
    data = builder.build()
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ToolError, match=r'pip install "popmac\[sim\]"'):
        LiteRTReference(data)
