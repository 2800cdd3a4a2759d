"""Quantised ONNX files, against onnxruntime."""

from importlib.resources import files

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from operator_models import random_inputs
from quantized_onnx_models import (
    OPERATORS,
    Builder,
    digits_network,
    network,
    random_operator,
)

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.compiler.frontends.quantized_onnx_check import LEAST_OPERANDS
from popmac.compiler.requantize import FitError
from popmac.compiler.rounding import fit_real_average
from popmac.golden import layers
from popmac.golden.single import add_codes, softmax_codes
from popmac.reference import open_reference
from popmac.verify import verify


FORMS = [{"qdq": qdq, "per_channel": per_channel, "unsigned": unsigned}
         for qdq, per_channel, unsigned in
         [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]]


def runtime(data):
    """Function of a real input, as a user of onnxruntime would call it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


@pytest.fixture(scope="module")
def golden():
    with popmac.open("golden:tiny") as device:
        yield device


@pytest.mark.parametrize("op", OPERATORS)
def test_operators(rng, golden, op):
    compared = 0
    for _ in range(4):
        data     = random_operator(op, rng).SerializeToString()
        graph    = load_onnx(data, op)
        inputs   = random_inputs(graph, rng)
        expected = open_reference(data, graph).run(inputs)
        traced   = golden.load(popmac.compile(graph, target=golden.arch)).trace(inputs)
        for actual in (layers.run(graph, inputs), traced):
            for name in expected.keys() & actual.keys():
                np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
                compared += name not in graph.inputs
        for name in graph.outputs:
            assert name in expected and name in traced
            assert graph.tensors[name].dtype in ("int8", "uint8")
    assert compared >= 8


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_digits(rng, digits, images, form):
    data, samples = digits_network(digits, images, rng, **form)
    check_network(data, samples[:40], distinct=8)


@pytest.mark.parametrize("form", FORMS[:3], ids=str)
def test_mixture(rng, form):
    data, samples = network("mixture", rng, **form)
    check_network(data, samples, distinct=10)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS[:3], ids=str)
@pytest.mark.parametrize("name", ["resnet", "dscnn"])
def test_networks(rng, name, form):
    data, samples = network(name, rng, **form)
    samples = rng.normal(size=(1000, *samples.shape[1:])).astype(np.float32)
    check_network(data, samples, distinct=10)


def check_network(data, samples, *, distinct):
    """Compare outputs of real inputs and of codes; all multiply-accumulates are the device's."""
    graph   = load_onnx(data, "network")
    program = popmac.compile(graph, target="ulx3s-85f")
    assert program.macs_on_device == program.macs > 0
    expected = np.concatenate([runtime(data)(sample) for sample in samples])
    with popmac.open("golden:ulx3s-85f") as device:
        session = device.load(program)
        actual  = session.run_many(samples)
        np.testing.assert_array_equal(actual, expected)
        info    = session.inputs[0]
        assert (info.name, session.outputs[0].name) == ("x", graph.outputs[0])
        codes   = np.clip(np.rint(samples / np.float32(info.scale)) + info.zero_point,
                          *((0, 255) if info.dtype == "uint8" else (-128, 127)))
        result  = session.run(codes[0].astype(info.dtype))
    output = session.outputs[0]
    assert result.dtype == info.dtype
    np.testing.assert_array_equal(
        (result.astype(np.float32) - output.zero_point) * np.float32(output.scale), expected[0])
    assert len(np.unique(expected, axis=0)) >= distinct


def test_every_tensor_is_verified(rng, tmp_path):
    data, samples = network("mixture", rng, per_channel=True)
    path = tmp_path / "network.onnx"
    path.write_bytes(data)
    result = verify(path, "golden:tiny", {"x": samples[:2]})
    assert result.bit_exact and result.tensors > 20 and "all optimisations" in result.reference


def test_a_wrong_result_is_found(rng, tmp_path, monkeypatch):
    data, samples = network("mixture", rng, per_channel=False)
    path = tmp_path / "network.onnx"
    path.write_bytes(data)
    right = layers.OPERATORS["Mul"]
    monkeypatch.setitem(layers.OPERATORS, "Mul",
                        lambda *args, **attrs: right(*args, **attrs) ^ np.int8(1))
    with pytest.raises(popmac.UnsupportedModelError, match="rounds it in another way"):
        verify(path, "golden:tiny", {"x": samples[:1]})


def test_kinds_of_files(rng, tmp_path):
    path = tmp_path / "model.onnx"
    for op, dialect in (("QLinearConv", "onnx"), ("Relu", "onnx")):
        path.write_bytes(random_operator(op, rng).SerializeToString())
        assert popmac.load(path).dialect == dialect
    assert popmac.load(files("popmac") / "zoo" / "digits_binary.onnx").dialect == "qonnx"


def refused(builder, *outputs):
    """Problems of a model."""
    with pytest.raises(popmac.UnsupportedModelError) as caught:
        load_onnx(builder.model(*outputs).SerializeToString(), "model.onnx")
    return str(caught.value)


SCALED = (np.float32(0.1), np.uint8(3))


@pytest.mark.parametrize("op, reason", [
    ("Sin", "popmac has no Sin"), ("LSTM", "popmac has no LSTM")])
def test_unknown_operators_are_all_named(rng, op, reason):
    builder = Builder(rng)
    x = builder.add("QuantizeLinear", builder.input([1, 4]), *SCALED)
    x = builder.add("DequantizeLinear", x, *SCALED)
    first, second = builder.add(op, x), builder.add("Cos", x)
    message = refused(builder, first, second)
    assert reason in message and "popmac has no Cos" in message
    assert len(message.splitlines()) == 2


def test_what_stays_floating_point_is_refused(rng):
    builder = Builder(rng)
    x = builder.add("QuantizeLinear", builder.input([1, 3, 8, 8]), *SCALED)
    x = builder.convolution(builder.add("DequantizeLinear", x, *SCALED), 3, 4)
    message = refused(builder, builder.add("AveragePool", x, kernel_shape=[2, 2]))
    assert "Conv" in message and "stays floating point" in message


def test_two_scales_of_an_input_are_refused(rng):
    builder = Builder(rng)
    x = builder.input([1, 4])
    y = builder.add("QuantizeLinear", x, *SCALED)
    z = builder.add("QuantizeLinear", x, np.float32(0.2), np.uint8(3))
    assert "quantised in two ways" in refused(builder, y, z)


def test_wide_weights_are_refused(rng):
    builder = Builder(rng)
    x = builder.input([1, 4], "uint8")
    y = builder.add("QLinearMatMul", x, *SCALED, np.full((4, 2), 255, np.uint8), np.float32(1),
                    np.uint8(0), *SCALED)
    assert "do not fit in 8 bits" in refused(builder, y)


def axes(model):
    """Sizes of the input."""
    return model.graph.input[0].type.tensor_type.shape.dim


@pytest.mark.parametrize("change, message", [
    (lambda m: m.graph.initializer[0].ClearField("raw_data"), "damaged"),
    (lambda m: m.graph.initializer[0].dims.extend([1 << 20, 1 << 20]), "has shape"),
    (lambda m: axes(m)[1].ClearField("dim_value"), "known size"),
    (lambda m: axes(m).__delitem__(slice(None)), "known size"),
    (lambda m: m.graph.node[0].input.__setitem__(0, "nothing"), "refuses the model"),
    (lambda m: m.graph.node[0].attribute.append(helper.make_attribute("pads", [1 << 30] * 4)),
     "has pads"),
])
def test_damaged_files_are_refused(rng, change, message):
    model = random_operator("QLinearConv", rng)
    change(model)
    with pytest.raises(popmac.ModelFormatError, match=message) as caught:
        load_onnx(model.SerializeToString(), "model.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearConv", "QLinearSigmoid"])
def test_missing_operands_do_not_end_the_process(rng, op):
    model = random_operator(op, rng)
    node  = model.graph.node[0]
    node.name = "first\nsecond"
    del node.input[LEAST_OPERANDS[op] - 1:]
    with pytest.raises(popmac.ModelFormatError, match=r"first\\nsecond has \d operands"):
        load_onnx(model.SerializeToString(), "model.onnx")


@pytest.mark.parametrize("scale", [0, -1, 1e-30, 1e30, np.inf, np.nan])
def test_scales_that_leave_float32_are_refused(rng, scale):
    builder = Builder(rng)
    x = builder.add("QuantizeLinear", builder.input([1, 4]), *SCALED)
    y = builder.add("QLinearMul", x, *SCALED, np.uint8([3]), np.float32(scale), np.uint8(0),
                    *SCALED)
    assert "its scale is" in refused(builder, y)


def test_enormous_constants_are_not_computed(rng):
    builder = Builder(rng)
    wide    = builder.add("Add", np.zeros((1 << 13, 1), np.float32),
                          np.zeros((1, 1 << 13), np.float32))
    x = builder.add("Add", builder.input([1, 4]), wide)
    y = builder.add("QuantizeLinear", x, *SCALED)
    with pytest.raises(popmac.ModelFormatError, match="computes Add of constants"):
        load_onnx(builder.model(y).SerializeToString(), "model.onnx")


def test_an_open_batch_is_one(rng):
    data, samples = network("mixture", rng, per_channel=False)
    model = onnx.load_model_from_string(data)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert load_onnx(data, "model").tensors["x"].shape == samples.shape[1:]


def test_inputs_are_rounded_as_the_runtime_does(rng):
    """Halves to even, which :func:`popmac.golden.layers.quantize` does not."""
    builder = Builder(rng)
    scaled  = np.float32(0.25), np.int8(3)
    y = builder.add("QuantizeLinear", builder.input([1, 600]), *scaled)
    y = builder.add("DequantizeLinear", y, *scaled)
    data = builder.model(y).SerializeToString()
    x    = (np.arange(-300, 300, dtype=np.float32)[None] / 8).astype(np.float32)
    with popmac.open("golden:tiny") as device:
        actual = device.load(load_onnx(data, "model")).run(x)
    np.testing.assert_array_equal(actual, runtime(data)(x)[0])


@pytest.mark.parametrize("seed", [4, 100, 113])
def test_sums_are_rounded_as_by_processors_with_fma(seed):
    """Scales for which it matters to one or two of all pairs of codes."""
    rng    = np.random.default_rng(seed)
    scales = [np.float32(rng.uniform(0.01, 0.1)) for _ in range(3)]
    zeros  = rng.integers(-128, 128, 3)
    offset = int(rng.choice([0, 128]))
    codes  = np.arange(-128, 128).astype(np.int8)
    builder = Builder(rng)
    kind    = np.uint8 if offset else np.int8
    first, second = (np.ravel(grid) for grid in np.meshgrid(codes, codes, indexing="ij"))
    files   = [(part.astype(np.int64) + offset).astype(kind) for part in (first, second)]
    pairs   = [(scale, kind(zero + offset)) for scale, zero in zip(scales, zeros)]
    y = builder.add("QLinearAdd", builder.input([65536], kind), *pairs[0], files[1], *pairs[1],
                    *pairs[2])
    expected = runtime(builder.model(y).SerializeToString())(files[0]).astype(np.int64) - offset
    actual   = add_codes(first, second, scales, zeros.tolist(), offset)
    np.testing.assert_array_equal(actual, expected)


def test_softmax_is_summed_up_in_order():
    """Codes among which there is one that depends on it."""
    rng   = np.random.default_rng(42)
    codes = rng.integers(60, 128, (3000, 40)).astype(np.int8)
    scale = np.float32(rng.uniform(0.01, 0.1))
    builder = Builder(rng)
    y = builder.add("QLinearSoftmax", builder.input(list(codes.shape), "int8"), scale, np.int8(0),
                    np.float32(1 / 256), np.int8(-128), axis=1, opset=13)
    expected = runtime(builder.model(y).SerializeToString())(codes)
    np.testing.assert_array_equal(softmax_codes(codes, scale, np.float32(1 / 256), -128), expected)


def test_averages_that_depend_on_the_order_are_the_hosts():
    scaled, other = (np.float32(0.1), 3), (np.float32(0.17), -20)
    fit_real_average(9, 9, scaled, other, 0)
    for count in (2, 4, 6):
        with pytest.raises(FitError, match="order of its summation"):
            fit_real_average(count, count, scaled, scaled, 0)


def test_functions_in_floating_point_at_the_end(rng, tmp_path):
    builder = Builder(rng)
    x = builder.add("QuantizeLinear", builder.input([1, 6]), *SCALED)
    weights = rng.integers(-127, 128, (6, 9)).astype(np.int8)
    y = builder.add("QLinearMatMul", x, *SCALED, weights, np.float32(0.01), np.int8(0), *SCALED)
    y = builder.add("DequantizeLinear", y, *SCALED)
    ends = builder.add("Sigmoid", y), builder.add("Mul", y, builder.add("Tanh", y)), y
    path = tmp_path / "model.onnx"
    path.write_bytes(builder.model(*ends).SerializeToString())
    samples = rng.normal(0, 10, (4, 1, 6)).astype(np.float32)
    result  = verify(path, "golden:tiny", {"x": samples})
    assert result.bit_exact, result.first_difference
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with popmac.open("golden:tiny") as device:
        actual = device.load(popmac.load(path)).run(samples[0])
    for name, expected in zip(ends, session.run(None, {"x": samples[0]})):
        np.testing.assert_array_equal(actual[name], expected[0], err_msg=name)


def test_signed_weights_with_a_zero_point(rng):
    """What is left of uint8 weights with a zero point of 128 are int8 weights."""
    builder = Builder(rng)
    builder.dtype = np.dtype("uint8")
    x = builder.input([1, 6], "uint8")
    weights = rng.integers(0, 256, (6, 5)).astype(np.uint8)
    y = builder.add("QLinearMatMul", x, *SCALED, weights, np.float32(0.01), np.uint8(128),
                    np.float32(0.7), np.uint8(100))
    data  = builder.model(y).SerializeToString()
    graph = load_onnx(data, "model")
    codes = rng.integers(0, 256, (1, 6)).astype(np.uint8)
    np.testing.assert_array_equal(layers.run(graph, {"x": codes})[y], runtime(data)(codes))
    kernel, = (t for n, t in graph.tensors.items() if n.endswith("weights"))
    np.testing.assert_array_equal(kernel.data, (weights.astype(int) - 128).T)

