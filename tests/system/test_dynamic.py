"""Dynamically quantised models on devices, against onnxruntime."""

import numpy as np
import onnxruntime
import pytest
from dynamic_models import dynamic, lstm, perceptron, save
from onnxruntime.quantization import QuantType

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.verify import verify


pytestmark = pytest.mark.filterwarnings("ignore") # those of onnxruntime


def samples(rng, count, shape):
    """Of very different ranges, and constant ones."""
    x = rng.normal(size=(count, *shape)) * 10.0**rng.uniform(-3, 3, (count, *[1] * len(shape)))
    x[1::7], x[2::7], x[3::7] = 0, np.abs(x[2::7]), -np.abs(x[3::7])
    return x.astype(np.float32)


def runtime(data, x):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names   = [item.name for item in session.get_outputs()]
    return {name: np.stack(values) for name, values in
            zip(names, zip(*(session.run(names, {"x": one}) for one in x)))}


def check(device, data, x):
    program = popmac.compile(load_onnx(data, "model"), target=device.arch)
    program = popmac.Program.from_bytes(program.to_bytes())
    assert program.macs_on_device == program.macs > 0
    session = device.load(program)
    actual, expected = session.run_many(x), runtime(data, x)
    if not isinstance(actual, dict):
        actual = {program.graph.outputs[0]: actual}
    assert set(actual) == set(expected)
    for name, values in expected.items():
        assert len(np.unique(values)) > 20, "the test would not notice much"
        np.testing.assert_array_equal(actual[name].reshape(values.shape), values, err_msg=name)
    return session


@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"reduce_range": True},
                                     {"weight_type": QuantType.QUInt8}], ids=str)
def test_perceptrons_are_exact(rng, options):
    with popmac.open("golden:ulx3s-85f") as device:
        check(device, perceptron(rng, 3, (40, 24, 12), **options), samples(rng, 8, (3, 40)))


def test_lstm_is_exact(rng):
    with popmac.open("golden:ulx3s-85f") as device:
        check(device, lstm(rng, 4, 12, 16), samples(rng, 16, (4, 12)))


def test_simulated_board_counts(rng):
    with popmac.open("sim:tiny?link=fast") as device:
        session = check(device, perceptron(rng, 2, (9, 6)), samples(rng, 8, (2, 9)))
        layers  = [row for row in session.counters["layers"] if row["where"] == "device"]
        assert session.counters["cycles"] == sum(row["cycles"] for row in layers) > 0
        assert all(row["op"] == "SumFullyConnected" and row["cycles"] > 0 for row in layers)


def test_every_tensor_is_verified(rng, tmp_path):
    path   = save(lstm(rng, 3, 6, 8), tmp_path / "lstm.onnx")
    result = verify(path, "golden:tiny", {"x": samples(rng, 4, (3, 6))})
    assert result.bit_exact and result.tensors > 10, result


@pytest.mark.parametrize("function, reason", [
    ("Softmax", "Softmax"), ("Exp", "Exp"), ("Sigmoid", "Sigmoid")])
def test_functions_that_processors_differ_in_are_refused(rng, function, reason):
    data = dynamic([("MatMul", ["x", "w"], ["m"], {}), (function, ["m"], ["y"], {})],
                   {"x": (2, 5)}, {"y": (2, 4)},
                   {"w": rng.normal(size=(5, 4)).astype(np.float32)})
    with pytest.raises(popmac.UnsupportedModelError, match=f"{reason} stays floating point"):
        load_onnx(data, "model")


def test_products_of_two_computed_matrices_are_refused(rng):
    data = dynamic([("MatMul", ["x", "w"], ["m"], {}), ("Transpose", ["m"], ["t"], {}),
                    ("MatMul", ["m", "t"], ["y"], {})], {"x": (2, 5)}, {"y": (2, 2)},
                   {"w": rng.normal(size=(5, 4)).astype(np.float32)},
                   extra_options={"MatMulConstBOnly": False})
    with pytest.raises(popmac.UnsupportedModelError, match="two computed tensors"):
        load_onnx(data, "model")
