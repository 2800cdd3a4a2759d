from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from operator_models import random_inputs, random_model

from popmac.compiler.frontends.tflite import load_tflite
from popmac.compiler.requantize import FitError
from popmac.compiler.rounding import (
    CHANNEL_AXES,
    average_rounding,
    fit_average,
    fit_layer,
    fit_mean,
    mean_rounding,
    static_range,
)
from popmac.golden import layers
from popmac.golden.layers import Operand
from popmac.graph import Tensor


MODELS = [Path(str(files("popmac"))) / "zoo" / "digits.tflite",
          *sorted((Path(__file__).parents[3] / "shared" / "models").glob("*.tflite"))]


def tensor(shape, scale, zero_point):
    return Tensor(name="t", shape=shape, dtype="int8", scale=np.array([scale], np.float32),
                  zero_point=np.array([zero_point]))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9, 25, 49, 63, 64, 100, 125, 500, 961, 1024])
def test_averages(count):
    fitted = fit_average(count, zero_point=3)
    sums   = np.arange(-128 * count, 127 * count + 1)[:, None]
    np.testing.assert_array_equal(
        fitted.apply(sums, low=-128, high=127),
        average_rounding(count).reference(sums, 0))


def test_average_rounding_is_that_of_the_operator(rng):
    codes  = rng.integers(-128, 128, (1, 5, 7, 200)).astype(np.int8)
    t      = tensor((1, 1, 1, 200), 1, 0)
    expected = layers.OPERATORS["AveragePool2D"](
        t, Operand(t, codes), kernel=(5, 7), strides=(1, 1), padding=((0, 0), (0, 0)),
        activation="none")
    sums = codes.astype(int).sum(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(average_rounding(35).reference(sums, 0), expected)


def test_means_agree_with_the_operator(rng):
    for _ in range(40):
        height, width  = rng.integers(1, 15, 2)
        x_scale, scale = (np.float32(10.0**e) for e in rng.uniform(-2, 0, 2))
        x_zero, zero   = (int(z) for z in rng.integers(-128, 128, 2))
        codes    = rng.integers(-128, 128, (1, height, width, 300)).astype(np.int8)
        codes[..., :20] = rng.choice([-128, 127], 20)
        output   = tensor((1, 300), scale, zero)
        x        = Operand(tensor(codes.shape, x_scale, x_zero), codes)
        expected = layers.OPERATORS["Mean"](output, x, axes=(1, 2), keep_dims=False)
        count    = int(height * width)
        fitted   = fit_mean(count, x_scale, x_zero, scale, zero)
        acc      = x.centred.sum(axis=(1, 2))
        assert mean_rounding(count, x_scale, scale, zero).zero_point == zero
        np.testing.assert_array_equal(fitted.apply(acc, low=-128, high=127),
                                      expected)


def test_static_range(rng):
    weights = rng.integers(-128, 128, (6, 10)).astype(np.int8)
    bias    = rng.integers(-1000, 1000, 6)
    for zero_point in (-128, 5, 127):
        low, high = static_range(weights, zero_point, bias)
        for bound, best in ((low, min), (high, max)):
            extremes = [[best(w * (-128 - zero_point), w * (127 - zero_point)) for w in row]
                        for row in weights.astype(int).tolist()]
            np.testing.assert_array_equal(bound, np.sum(extremes, axis=1) + bias)


@pytest.mark.parametrize("op", CHANNEL_AXES)
def test_layers_agree_with_the_operator(op, rng):
    tried  = 0
    while tried < 25:
        graph = load_tflite(random_model(op, rng), op)
        try:
            fitted = fit_layer(graph, graph.nodes[0])
        except FitError as error:
            # Random biases may be too large, and scales too small for 25 bits and 39 shifts.
            x, weights, y = (graph.tensors[name].scale for name in
                             (*graph.nodes[0].inputs[:2], graph.outputs[0]))
            ratio = np.broadcast_to(weights * x / y, 1000)[list(error.channels)] \
                if weights.size == 1 else (weights * x / y)[list(error.channels)]
            assert "sums" in str(error) or np.all(ratio < 2.0**-11)
            continue
        tried += 1
        output = graph.tensors[graph.outputs[0]]
        inputs = random_inputs(graph, rng)
        acc    = accumulators(graph, inputs)
        low, high = layers_range(graph)
        actual = fitted.apply(acc, low=low, high=high)
        np.testing.assert_array_equal(actual, layers.run(graph, inputs)[output.name])


def layers_range(graph):
    from popmac.golden.arithmetic import activation_range
    output = graph.tensors[graph.outputs[0]]
    return activation_range(graph.nodes[0].attrs["activation"], output.scale[0],
                            output.zero_point[0])


def accumulators(graph, inputs):
    """Sums, bias included, as the golden model has them before it requantises."""
    from unittest.mock import patch

    from popmac.golden.layers import convolution
    with patch.object(convolution, "_requantize", lambda sums, *_: sums), \
            patch.object(convolution, "_clamp", lambda codes, *_: codes), \
            patch.object(convolution, "real_multiplier", lambda *_, divisor: 1.0):
        return layers.run(graph, inputs)[graph.outputs[0]]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_real_models_fit(path):
    graph = load_tflite(path.read_bytes(), path.stem)
    for node in graph.nodes:
        if node.op in CHANNEL_AXES:
            fitted = fit_layer(graph, node)
            assert len(fitted.multiplier) == graph.tensors[node.output].shape[-1]
