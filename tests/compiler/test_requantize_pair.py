from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from popmac.compiler.frontends.tflite import load_tflite
from popmac.compiler.requantize import FitError
from popmac.compiler.requantize_pair import fit_pair, fit_sum, prove_pair, sum_table
from popmac.golden import layers
from popmac.golden.arithmetic import activation_range
from popmac.golden.layers import Operand
from popmac.graph import Graph, Node, Tensor


CODES  = np.arange(-128, 128)
MODELS = [Path(str(files("popmac"))) / "zoo" / "digits.tflite",
          *sorted((Path(__file__).parents[3] / "shared" / "models").glob("*.tflite"))]


def random_sum(rng):
    """Scales and zero points of operands and of the result."""
    first  = np.float32(10.0**rng.uniform(-3, 0))
    second = first * np.float32(rng.choice([1, 2.0**rng.integers(-3, 4),
                                            np.exp(rng.uniform(-3, 3))]))
    result = max(first, second) * np.float32(rng.choice([1, 0.5, 2, np.exp(rng.uniform(-1, 1.5))]))
    zeros  = [int(z) for z in rng.choice([-128, 0, 127, *rng.integers(-128, 128, 4)], 3)]
    return [(np.float32(scale), zero) for scale, zero in zip((first, second, result), zeros)]


def fit_operands(operands, activation="none", sign=1):
    first, second, result = operands
    low, high = activation_range(activation, *result)
    table  = sum_table(*operands, activation, sign=sign)
    layer  = {"zero_point": result[1], "low": low, "high": high}
    fitted = fit_pair(table, first[0] / result[0], second[0] / result[0], sign=sign, **layer)
    return fitted, table, layer


@pytest.mark.parametrize("op, sign", [("Add", 1), ("Sub", -1)])
def test_tables_are_those_of_the_operators(op, sign, rng):
    for activation in ("none", "relu"):
        operands = random_sum(rng)
        tensors  = [Tensor(name="t", shape=(), dtype="int8", scale=np.array([scale]),
                           zero_point=np.array([zero])) for scale, zero in operands]
        x = Operand(tensors[0], CODES.astype(np.int8)[:, None])
        y = Operand(tensors[1], CODES.astype(np.int8))
        np.testing.assert_array_equal(
            sum_table(*operands, activation, sign=sign),
            layers.OPERATORS[op](tensors[2], x, y, activation=activation))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_sums_fit(activation, sign, rng):
    for _ in range(60):
        fitted, table, layer = fit_operands(random_sum(rng), activation, sign)
        np.testing.assert_array_equal(fitted.apply(CODES[:, None], CODES, **layer), table)
        assert fitted.multiplier < 2**25 and fitted.second_multiplier < 2**25
        assert -2**41 <= fitted.offset < 2**41 and 0 <= fitted.shift <= 39


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_sums_of_real_models_fit(path):
    graph = load_tflite(path.read_bytes(), path.stem)
    for node in graph.nodes:
        if node.op == "Add":
            assert fit_sum(graph, node).multiplier > 0


@pytest.mark.parametrize("op, sign", [("Add", 1), ("Sub", -1)])
def test_nodes_agree_with_the_operator(op, sign, rng):
    names   = ("x", "y", "z")
    tensors = {name: Tensor(name=name, shape=(256, 256), dtype="int8", scale=np.array([scale]),
                            zero_point=np.array([zero]))
               for name, (scale, zero) in zip(names, random_sum(rng))}
    node    = Node(op=op, name="0", inputs=names[:2], outputs=names[2:],
                   attrs={"activation": "relu"})
    graph   = Graph(name="m", dialect="tflite", nodes=(node,), tensors=tensors,
                    inputs=names[:2], outputs=names[2:])
    x, y    = (array.astype(np.int8) for array in np.broadcast_arrays(CODES[:, None], CODES))
    fitted  = fit_sum(graph, node)
    assert fitted.sign == sign
    zero_point = int(tensors["z"].zero_point[0])
    np.testing.assert_array_equal(
        fitted.apply(x, y, zero_point=zero_point, low=zero_point, high=127),
        layers.run(graph, {"x": x, "y": y})["z"])


def test_changed_fits_are_refused(rng):
    accepted = refused = 0
    for _ in range(20):
        fitted, table, layer = fit_operands(random_sum(rng))
        for field in ("multiplier", "second_multiplier", "offset", "shift", "sign"):
            for change in (-2, -1, 1, 2):
                changed = replace(fitted, **{field: getattr(fitted, field) + change})
                if min(changed.multiplier, changed.second_multiplier, changed.shift) < 0 \
                        or changed.sign not in (1, -1):
                    expected = None
                else:
                    expected = changed.apply(CODES[:, None], CODES, **layer)
                if expected is not None and np.array_equal(expected, table):
                    prove_pair(changed, table, **layer)
                    accepted += 1
                else:
                    with pytest.raises(FitError):
                        prove_pair(changed, table, **layer)
                    refused += 1
    assert refused > 100


def test_one_result_for_all_pairs():
    operands = [(np.float32(1e-3), 0), (np.float32(1e-3), 0), (np.float32(10), 7)]
    fitted, table, _ = fit_operands(operands)
    assert np.all(table == 7)
    assert (fitted.multiplier, fitted.second_multiplier) == (0, 0)


def test_sum_that_falls_is_refused():
    table = np.zeros((256, 256), int)
    table[3, 4] = 1
    with pytest.raises(FitError, match="not monotone"):
        fit_pair(table, 0.1, 0.1, zero_point=0, low=-128, high=127)


def test_sum_that_is_not_one_is_refused():
    table = (CODES[:, None] + CODES) // 2
    table = np.where(CODES[:, None] > 50, np.maximum(table, CODES[:, None]), table)
    with pytest.raises(FitError, match="no multipliers and offset"):
        fit_pair(table, 0.5, 0.5, zero_point=0, low=-128, high=127)


@pytest.mark.parametrize("field, value", [("multiplier", 2**25), ("second_multiplier", 2**25),
                                          ("offset", 2**41), ("shift", 40)])
def test_parameters_beyond_their_fields_are_refused(field, value):
    operands = [(np.float32(0.1), 0)] * 3
    fitted, table, layer = fit_operands(operands)
    with pytest.raises(FitError, match="do not fit in their fields"):
        prove_pair(replace(fitted, **{field: value}), table, **layer)
