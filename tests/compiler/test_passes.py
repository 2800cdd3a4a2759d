"""Passes: the same results before and after, and what they leave alone."""

import numpy as np
import pytest
from operator_models import random_inputs, random_model
from tflite_models import ModelBuilder

from popmac.compiler.frontends.tflite import load_tflite
from popmac.compiler.passes.expand_operands import expand_operands
from popmac.compiler.passes.fold_pad import fold_pad
from popmac.compiler.passes.tile_rows import can_tile, tile_rows
from popmac.golden import layers


def assert_equivalent(before, after, rng):
    inputs   = random_inputs(before, rng)
    expected = layers.run(before, inputs)
    actual   = layers.run(after.verify(), inputs)
    for name in after.tensors.keys() & expected.keys():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


PADDING = ((0, 0), (2, 1), (0, 3), (0, 0))


def padded_convolution(rng, *, depthwise=False, value=None, padding=PADDING, twice=False,
                       is_output=False):
    """Graph of ``Pad`` and a convolution."""
    b = ModelBuilder()
    x = b.input((1, 6, 7, 4), scale=0.1, zero_point=-3)
    p = b.pad(x, list(padding), value)
    channels = p.shape[3]
    shape    = (1, 3, 3, channels) if depthwise else (5, 3, 3, channels)
    layer    = b.depthwise_conv_2d if depthwise else b.conv_2d
    options  = {"weight_scale": 0.01, "scale": 0.1, "padding": "same", "strides": (2, 1)}
    outputs  = [layer(p, rng.integers(-128, 128, shape).astype(np.int8), **options)]
    if twice:
        outputs.append(layer(p, rng.integers(-128, 128, shape).astype(np.int8), **options))
    b.output(*outputs, *([p] if is_output else []))
    return load_tflite(b.build(), "padded")


@pytest.mark.parametrize("depthwise", [False, True])
def test_folds_padding(rng, depthwise):
    before = padded_convolution(rng, depthwise=depthwise)
    after  = fold_pad(before)
    assert [node.op for node in after.nodes] == ["DepthwiseConv2D" if depthwise else "Conv2D"]
    (top, bottom), (left, right) = after.nodes[0].attrs["padding"]
    own = before.nodes[1].attrs["padding"]
    assert (top, bottom) == (own[0][0] + 2, own[0][1] + 1)
    assert (left, right) == (own[1][0], own[1][1] + 3)
    assert_equivalent(before, after, rng)


@pytest.mark.parametrize("reason, options", [
    ("padding is not the zero point", {"value": 5}),
    ("channels are padded",           {"padding": ((0, 0), (1, 1), (1, 1), (0, 2))}),
    ("batch is padded",               {"padding": ((1, 0), (1, 1), (1, 1), (0, 0))}),
    ("another operator reads it",     {"twice": True}),
    ("padded tensor is an output",    {"is_output": True}),
])
def test_leaves_padding_alone(rng, reason, options):
    graph = padded_convolution(rng, **options)
    assert fold_pad(graph).nodes == graph.nodes, reason


def product(shapes, *, constant=False):
    b = ModelBuilder()
    first = b.input(shapes[0], scale=0.1, zero_point=3)
    if constant:
        second = b.tensor(shapes[1], scale=0.1, zero_point=-3,
                          data=np.arange(np.prod(shapes[1])).reshape(shapes[1]).astype(np.int8))
    else:
        second = b.input(shapes[1], scale=0.1, zero_point=-3)
    b.output(b.binary("MUL", first, second, scale=0.5, zero_point=1, activation="none"))
    return load_tflite(b.build(), "product")


@pytest.mark.parametrize("second", [(1, 1, 1, 6), (6,), (1, 6)])
def test_expands_values_per_channel(rng, second):
    before = product([(1, 4, 5, 6), second])
    after  = expand_operands(before)
    assert [node.op for node in after.nodes] == ["Broadcast", "Mul"]
    assert_equivalent(before, after, rng)


@pytest.mark.parametrize("reason, second, constant", [
    ("shapes are the same", (1, 4, 5, 6), False),
    ("it is constant",      (6,),         True),
    ("one value per row",   (1, 4, 1, 1), False),
])
def test_leaves_operands_alone(reason, second, constant):
    graph = product([(1, 4, 5, 6), second], constant=constant)
    assert expand_operands(graph).nodes == graph.nodes, reason


@pytest.mark.parametrize("op", ["Conv2D", "DepthwiseConv2D", "AveragePool2D", "MaxPool2D", "Add",
                                "Mul", "Logistic"])
def test_tiles_rows(rng, op):
    tiled = 0
    for _ in range(30):
        before = load_tflite(random_model(op, rng), op)
        node,  = before.nodes
        if not can_tile(before, node):
            continue
        height = before.tensors[node.output].shape[1]
        parts  = int(rng.integers(2, height + 1))
        after, moving = tile_rows(before, node, parts)
        assert [n.op for n in after.nodes].count(op) == parts
        assert set(moving) == {n.name for n in after.nodes if n.op != op}
        assert_equivalent(before, after, rng)
        tiled += 1
    assert tiled > 5


def test_windows_in_the_padding_are_not_tiled(rng):
    graph = fold_pad(padded_convolution(rng, padding=((0, 0), (7, 0), (0, 0), (0, 0))))
    node, = graph.nodes
    assert not can_tile(graph, node)
