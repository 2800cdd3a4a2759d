from pathlib import Path

import network_models
import numpy as np
import operator_models
import pytest
import tflite_models

from popmac.compiler.frontends.tflite import load_tflite
from popmac.errors import InputError, UnsupportedModelError
from popmac.golden import layers
from popmac.golden.arithmetic import MultiplierError
from popmac.graph import Graph, Node, Tensor
from popmac.reference import LiteRTReference


MODELS_PER_OPERATOR = 50


def assert_like_reference(data, rng, samples=1):
    graph     = load_tflite(data, "model")
    reference = LiteRTReference(data)
    for _ in range(samples):
        inputs   = operator_models.random_inputs(graph, rng)
        expected = reference.run(inputs)
        actual   = layers.run(graph, inputs)
        for name in graph.tensors:
            assert actual[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
    return graph


@pytest.mark.parametrize("op", operator_models.MODELS)
def test_operator_is_bit_exact(op, rng):
    for _ in range(MODELS_PER_OPERATOR):
        graph = assert_like_reference(operator_models.random_model(op, rng), rng)
        assert [node.op for node in graph.nodes] == [op]


def test_all_operators_are_tried():
    # See test_quantized_onnx.py, test_qonnx.py, and system/test_dynamic.py for the last four.
    others = {"Shape", "Lookup", "QuantizeEven", "SumCodes",
              "CentredSums", "DynamicQuantize", "Real", "SumFullyConnected"}
    others |= {name for name, function in layers.OPERATORS.items()
               if function.__module__.endswith(".thresholds")}
    assert set(layers.OPERATORS) - set(operator_models.MODELS) == others


def test_all_operators_are_recorded():
    folder = Path(__file__).parents[1] / "data" / "operators"
    assert {path.stem for path in folder.glob("*.tflite")} == set(operator_models.MODELS)


def assert_table_like_reference(op, x_scale, x_zero_point, scale, zero_point, **options):
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 256), scale=x_scale, zero_point=x_zero_point)
    builder.output(builder.unary(op, x, scale=scale, zero_point=zero_point, **options))
    data  = builder.build()
    graph = load_tflite(data, "model")
    codes = np.arange(-128, 128).astype(np.int8)
    expected = LiteRTReference(data).run({x.name: codes[None]})[graph.outputs[0]][0]
    np.testing.assert_array_equal(layers.table(graph, graph.nodes[0]), expected)


@pytest.mark.parametrize("op, scale, zero_point", [("LOGISTIC", 1 / 256, -128),
                                                   ("TANH", 1 / 128, 0),
                                                   ("TANH", 1 / 100, 5)])
def test_tables_decide_ties_as_the_reference_does(op, scale, zero_point):
    # Powers of two, for which many results are near to halves.
    for x_scale in 2.0**-np.arange(12):
        assert_table_like_reference(op, x_scale, 0, scale, zero_point)


def test_tables_of_hard_swish(rng):
    for _ in range(300):
        x_scale, ratio = 10.0**rng.uniform(-4, 0.5), rng.uniform(0.02, 3)
        assert_table_like_reference("HARD_SWISH", x_scale, int(rng.integers(-128, 128)),
                                    x_scale * ratio, int(rng.integers(-128, 128)))


@pytest.mark.parametrize("layer, shape, weights", [
    ("fully_connected",   (256, 1),       np.array([[1], [-1]])),
    ("conv_2d",           (1, 16, 16, 1), np.array([1, -1]).reshape(2, 1, 1, 1)),
    ("depthwise_conv_2d", (1, 16, 16, 1), np.array([1, -1]).reshape(1, 1, 1, 2)),
])
@pytest.mark.parametrize("ratio", [1/2, 1/4, 1/16])
def test_halves(layer, shape, weights, ratio):
    builder = tflite_models.ModelBuilder()
    x = builder.input(shape, scale=0.5)
    y = getattr(builder, layer)(x, weights, weight_scale=1, scale=0.5 / ratio)
    builder.output(y)
    data     = builder.build()
    inputs   = {x.name: np.arange(-128, 128).astype(np.int8).reshape(shape)}
    expected = LiteRTReference(data).run(inputs)[y.name]
    actual   = layers.run(load_tflite(data, "model"), inputs)[y.name]
    np.testing.assert_array_equal(actual, expected)
    assert set(expected.ravel()) > {-1, 0, 1}


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("weight, code", [(-128, -128), (-128, 127), (127, -128), (127, 127)])
def test_extremes(activation, weight, code):
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 5, 6, 70), scale=0.02, zero_point=min(-code, 127))
    y = builder.conv_2d(x, np.full((3, 7, 5, 70), weight), np.array([2**30, -2**30, 0]),
                        weight_scale=[0.01, 0.002, 0.0005], scale=0.7, zero_point=3,
                        activation=activation)
    builder.output(y)
    data     = builder.build()
    graph    = load_tflite(data, "model")
    inputs   = {x.name: np.full(x.shape, code, np.int8)}
    expected = LiteRTReference(data).run(inputs)[y.name]
    np.testing.assert_array_equal(layers.run(graph, inputs)[y.name], expected)


@pytest.mark.parametrize("length", [3, 8, 15, 30])
def test_networks(length, rng):
    for _ in range(5):
        size = tuple(rng.integers(8, 25, 2).tolist())
        data = network_models.random_network(rng, length, size=size)
        assert_like_reference(data, rng, samples=2)


def graph_of(op, attrs, *tensors):
    names = tuple(tensor.name for tensor in tensors)
    return Graph(name="model", dialect="tflite", tensors=dict(zip(names, tensors)),
                 nodes=(Node(op=op, name=f"0 {op}", inputs=names[:-1], outputs=names[-1:],
                             attrs=attrs),),
                 inputs=names[:-1], outputs=names[-1:])


def quantized(name, dtype="int8", shape=(1, 4), scale=0.5):
    return Tensor(name=name, shape=shape, dtype=dtype,
                  scale=None if scale is None else np.array([scale], np.float32),
                  zero_point=None if scale is None else np.array([0]))


@pytest.mark.parametrize("graph, reason", [
    (graph_of("Frobnicate", {}, quantized("x"), quantized("y")), "no such operator"),
    (graph_of("RESHAPE", {"reason": "its shape is a secret"}, quantized("x"), quantized("y")),
     "secret"),
    (graph_of("Relu", {}, quantized("x", "uint8"), quantized("y", "uint8")), "uint8 -> uint8"),
    (graph_of("Relu", {}, quantized("x", scale=None), quantized("y")), "not quantised"),
    (graph_of("Add", {"activation": "none"}, quantized("x"), quantized("y")), "int8 -> int8"),
])
def test_problems_are_named(graph, reason):
    (operator, found, remedy), = layers.problems(graph)
    assert operator == graph.nodes[0].name
    assert reason in found
    assert remedy
    with pytest.raises(UnsupportedModelError, match=graph.nodes[0].name):
        layers.run(graph, {name: np.zeros((1, 4), graph.tensors[name].dtype)
                           for name in graph.inputs})


def test_all_problems_are_named():
    tensors = {name: quantized(name) for name in "abc"}
    nodes = tuple(Node(op="Unheard", name=f"{i} UNHEARD", inputs=(a,), outputs=(b,))
                  for i, (a, b) in enumerate(["ab", "bc"]))
    graph = Graph(name="model", dialect="tflite", tensors=tensors, nodes=nodes, inputs=("a",),
                  outputs=("c",))
    assert [name for name, *_ in layers.problems(graph)] == ["0 UNHEARD", "1 UNHEARD"]


@pytest.mark.parametrize("inputs", [
    {}, {"z": np.zeros((1, 4), np.int8)}, {"x": np.zeros((1, 5), np.int8)},
    {"x": np.zeros((1, 4), np.uint8)},
])
def test_wrong_inputs_are_refused(inputs):
    with pytest.raises(InputError, match="input"):
        layers.run(graph_of("Relu", {}, quantized("x"), quantized("y")), inputs)


def test_scales_too_far_apart_are_refused():
    graph = graph_of("Relu", {}, quantized("x", scale=1e9), quantized("y", scale=1e-9))
    with pytest.raises(MultiplierError):
        layers.run(graph, {"x": np.zeros((1, 4), np.int8)})


def test_table_is_in_the_order_of_codes():
    graph = graph_of("Relu", {}, quantized("x"), quantized("y"))
    np.testing.assert_array_equal(layers.table(graph, graph.nodes[0]),
                                  np.maximum(np.arange(-128, 128), 0))
