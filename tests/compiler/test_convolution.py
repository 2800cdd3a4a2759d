"""Convolutions with few channels, several of whose pixels are computed at once."""

import numpy as np
import pytest
from operator_models import random_inputs
from tflite_models import ModelBuilder

import popmac
from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers


def convolution(rng, inputs, outputs, stride, kernel=3, width=13):
    b = ModelBuilder()
    x = b.input((1, 6, width, inputs), scale=0.1, zero_point=5)
    b.output(b.conv_2d(
        x, rng.integers(-128, 128, (outputs, kernel, kernel, inputs)).astype(np.int8),
        rng.integers(-1000, 1000, outputs), strides=(1, stride), zero_point=-7, scale=0.5,
        weight_scale=rng.uniform(0.005, 0.02, outputs).tolist()))
    return load_tflite(b.build(), "convolution")


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("inputs, outputs", [(1, 1), (1, 4), (3, 8), (4, 3), (8, 8), (2, 5)])
def test_pixels_at_once(rng, inputs, outputs, stride):
    graph   = convolution(rng, inputs, outputs, stride)
    program = popmac.compile(graph, target="ulx3s-85f")
    sample  = random_inputs(graph, rng)
    with popmac.open("golden:ulx3s-85f") as device:
        actual = device.load(program).trace(sample)
    name,   = graph.outputs
    np.testing.assert_array_equal(actual[name], layers.run(graph, sample)[name])


def test_they_take_fewer_cycles(rng):
    # 8 channels in half of the columns: 3 bytes per pixel, 2 pixels at once, 3 steps for both.
    graph   = convolution(rng, 3, 8, 2, width=96)
    layer,  = popmac.compile(graph, target="ulx3s-85f").layers
    assert layer.cycles < 6 * 24 * 3 + 80
