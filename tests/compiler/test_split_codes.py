import numpy as np
import pytest

import popmac
from popmac.compiler.passes.split_codes import COUNTS, can_split, parts, split_codes
from popmac.compiler.pipeline import compile_graph
from popmac.compiler.requantize import FitError
from popmac.compiler.rounding import fit_layer, layer_rounding, single_rounding
from popmac.golden import layers
from popmac.graph import Graph, Node, Tensor


#: A scale with which no parameters round as single precision does: two thresholds are a unit
#: early, and some between them are a unit late.
HARD = np.float32(0.0007921714568510652)

#: A scale with which those of even codes alone, or of odd codes, are no rounded straight line.
HARDER = np.float32(0.0005507541354745626)


def dense(rng, scales, *, rounding="single", depth=64):
    """A fully connected layer whose outputs have a scale of 1."""
    count   = len(scales)
    weights = rng.integers(-127, 128, (count, depth)).astype(np.int8)
    def tensor(name, shape, dtype="int8", scale=1.0, zero=0, **fields):
        scale = np.atleast_1d(np.float32(scale))
        return Tensor(name=name, shape=shape, dtype=dtype, scale=scale,
                      zero_point=np.full(scale.shape, zero, np.int64), **fields)

    tensors = [tensor("x", (1, depth), zero=-3), tensor("y", (1, count), zero=2),
               tensor("w", weights.shape, scale=scales, axis=0, data=weights)]
    node = Node(op="FullyConnected", name="dense", inputs=("x", "w"), outputs=("y",),
                attrs={"activation": "none", "rounding": rounding})
    return Graph(name="dense", dialect="onnx", nodes=(node,), inputs=("x",), outputs=("y",),
                 tensors={t.name: t for t in tensors}).verify()


def samples(rng, graph, count=20):
    """Random inputs, and for each output those with which it is greatest and least."""
    shape   = graph.tensors["x"].shape
    extreme = np.where(graph.tensors["w"].data > 0, 127, -128)[:, None]
    return [{"x": x.astype(np.int8)} for x in
            (*rng.integers(-128, 128, (count, *shape)), *extreme, *~extreme)]


@pytest.mark.parametrize("count, multiplier", [(2, HARD), (4, HARD), (4, HARDER)])
@pytest.mark.parametrize("zero_point", [-128, 2, 127])
def test_parts_have_a_fit_where_the_whole_has_none(zero_point, count, multiplier):
    multiplier = np.full(1, multiplier)
    limits     = np.array([-1_207_828]), np.array([1_207_787])
    if zero_point == 2:
        with pytest.raises(FitError, match="channel 0"):
            single_rounding(multiplier, zero_point).fit(*limits)
    acc    = np.arange(limits[0][0], limits[1][0] + 1, 31)[:, None]
    whole  = single_rounding(multiplier, zero_point)
    result = 0
    for index in range(count):
        rounding = single_rounding(multiplier, zero_point, (index, count))
        fitted   = rounding.fit(*limits)
        result   = result + fitted.apply(acc, low=rounding.low, high=rounding.high)
    np.testing.assert_array_equal(result, whole.reference(acc, np.zeros(1, int)))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_splits(rng, count):
    before = dense(rng, np.full(5, 0.001))
    after  = split_codes(before, before.nodes[0], count).verify()
    assert [node.op for node in after.nodes] == ["FullyConnected"] * count \
        + ["SumCodes"] * (count - 1)
    assert [node.attrs.get("part") for node in after.nodes[:count]] \
        == [(i, count) for i in range(count)]
    for inputs in samples(rng, before):
        np.testing.assert_array_equal(layers.run(after, inputs)["y"],
                                      layers.run(before, inputs)["y"])


@pytest.mark.parametrize("reason, graph", [
    ("it rounds otherwise", dense(np.random.default_rng(0), np.ones(3), rounding="double")),
])
def test_leaves_alone(reason, graph):
    assert not can_split(graph.nodes[0]), reason
    assert not any(can_split(part) for part in parts(graph.nodes[0], 2))


@pytest.mark.parametrize("multiplier, count", [(HARD, 2), (HARDER, 4)])
def test_only_what_has_no_fit_is_split(rng, multiplier, count):
    easy    = compile_graph(dense(rng, np.full(4, 0.0123)), "tiny")
    assert [layer.op for layer in easy.layers] == ["FullyConnected"]
    # Far from the range of the weights, so that all thresholds can be reached.
    graph   = dense(rng, np.array([multiplier, 0.0123, multiplier]), depth=300)
    with pytest.raises(FitError):
        fit_layer(graph, graph.nodes[0])
    program = compile_graph(graph, "tiny")
    assert [layer.op for layer in program.layers] == ["FullyConnected"] * count \
        + ["SumCodes"] * (count - 1)
    assert program.macs == program.macs_on_device == 900
    assert not program.fallbacks
    weights = [layer.weight_words for layer in program.layers]
    assert weights[0] > 0 and not any(weights[1:]) # the parts have the same
    with popmac.open("golden:tiny") as device:
        session = device.load(program)
        for inputs in samples(rng, graph):
            np.testing.assert_array_equal(session.run(inputs["x"]),
                                          layers.run(graph, inputs)["y"][0])


@pytest.mark.parametrize("count", COUNTS)
def test_rounding_of_a_layer_knows_its_part(rng, count):
    graph = dense(rng, np.full(3, 0.001))
    for part in parts(graph.nodes[0], count):
        rounding, *_ = layer_rounding(graph, part)
        assert rounding.low == -128 // count
        assert rounding.high - 128 // count in (-1, 0)
