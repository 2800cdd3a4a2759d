import importlib
import importlib.util
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from float_models import FloatBuilder, depthwise_network, residual_network
from onnx import numpy_helper

import popmac
from popmac.cli import main
from popmac.errors import InputError, ModelFormatError, UnsupportedModelError


NETWORKS = {"residual": (residual_network, (3, 12, 12)), "depthwise": (depthwise_network,
                                                                     (1, 14, 10))}


def results(model, x):
    """Results of onnxruntime for samples (samples, ...), one after the other."""
    data    = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name    = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: sample[None]})[0] for sample in x])


def sqnr(expected, actual):
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - actual)**2))


def scales_of(data):
    """Scales of a quantised model: of its weights and of its activations, by tensor."""
    model  = onnx.load_model_from_string(data)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    names  = {(node.input[0], *node.input[1:3]) for node in model.graph.node
              if node.op_type == "DequantizeLinear"}
    weights = {x: (values[s], values[z]) for x, s, z in names if x in values
               and values[x].dtype == np.int8}
    others  = {x: (values[s], values[z]) for x, s, z in names if x not in values}
    return weights, others


@pytest.fixture(params=NETWORKS)
def network(rng, request):
    """A model and samples for it."""
    make, shape = NETWORKS[request.param]
    return make(rng), rng.normal(size=(48, *shape)).astype(np.float32)


@pytest.mark.parametrize("options, least", [
    ({}, 30), ({"per_channel": False}, 25), ({"symmetric": True}, 25), ({"method": "mse"}, 30),
    ({"method": "moving-average"}, 15), ({"method": "percentile"}, 28),
    ({"activations": "int8"}, 30), ({"bias_correction": True}, 30), ({"weight_only": True}, 34),
    ({"power_of_two": True}, 22), ({"power_of_two": True, "symmetric": True}, 20)], ids=str)
def test_values_stay(network, options, least):
    model, x = network
    expected = results(model, x)
    data     = popmac.quantize(model, x, **options)
    assert sqnr(expected, results(data, x)) > least
    weights, activations = scales_of(data)
    assert weights and all(not zero.any() for _, zero in weights.values())
    assert all((scale.size > 1) == options.get("per_channel", True)
               for scale, _ in weights.values())
    assert bool(activations) != options.get("weight_only", False)
    kinds = {zero.dtype.name for _, zero in activations.values()}
    assert kinds <= {options.get("activations", "uint8")}
    if options.get("symmetric"):
        assert {int(zero) for _, zero in activations.values()} == {128}
    if options.get("power_of_two"):
        for scale, _ in [*weights.values(), *activations.values()]:
            np.testing.assert_array_equal(np.frexp(scale)[0], 0.5)
    # What is not quantised: nothing, but the results of operators that are fused.
    ops = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
    assert "BatchNormalization" not in ops


def test_ranges_are_those_of_the_samples(rng):
    b = FloatBuilder(rng)
    model = b.model(("N", 4), b.node("Sigmoid", ["x"]))
    x = rng.uniform(-3, 9, (200, 4)).astype(np.float32)
    x[17, 2], x[18, 0] = -3, 9
    scale, zero = scales_of(popmac.quantize(model, x))[1]["x_QuantizeLinear_Output"]
    assert scale == np.float32(12 / 255) and zero == round(3 * 255 / 12)
    scale, zero = scales_of(popmac.quantize(model, x, symmetric=True))[1]["x_QuantizeLinear_Output"]
    assert scale == np.float32(18 / 255) and zero == 128
    # A moving average of the samples' own ranges.
    low, high = x[0].min(), x[0].max()
    for i in range(1, 200):
        share = max(0.01, 1 / (i + 1))
        low, high = low + share * (x[i].min() - low), high + share * (x[i].max() - high)
    data  = popmac.quantize(model, x, method="moving-average")
    scale = scales_of(data)[1]["x_QuantizeLinear_Output"][0]
    assert scale == pytest.approx((high - low) / 255, rel=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_outliers_are_cut_off(rng, symmetric):
    b = FloatBuilder(rng)
    model = b.model(("N", 100), b.node("Sigmoid", ["x"]))
    x = rng.normal(size=(100, 100)).astype(np.float32)
    x[3, 3] = 60

    def quantiser(method, **options):
        data = popmac.quantize(model, x, method=method, symmetric=symmetric, **options)
        return scales_of(data)[1]["x_QuantizeLinear_Output"]

    def error(scale, zero):
        codes = np.clip(np.rint(x / scale) + float(zero), 0, 255)
        return np.mean(((codes - zero) * scale - x)**2)

    widest = quantiser("min-max")
    assert widest[0] > 0.2
    # The share on either side, within the width of a bin, 60/1024.
    scale, zero = quantiser("percentile", percentile=99)
    limits = np.quantile(np.abs(x), 0.99) * np.array([-1, 1]) if symmetric else \
        np.quantile(x, [0.005, 0.995])
    assert scale * 255 == pytest.approx(limits[1] - limits[0], abs=0.2)
    best = quantiser("mse")
    assert best[0] < widest[0] and error(*best) < error(*widest)
    # No other range does much better.
    low, high = (x.min(), x.max()) if not symmetric else (-60, 60)
    for share in np.linspace(0.05, 1, 40):
        scale = (high * share - low * (1 if not symmetric else share)) / 255
        zero  = 128 if symmetric else np.rint(-low / scale)
        if share >= 0.3:
            assert error(*best) < 1.1 * error(scale, zero)


def test_constants_are_folded_exactly(rng):
    b = FloatBuilder(rng)
    x = b.norm("x", 3)                                         # of an input: a depthwise layer
    x = b.node("Relu", [b.conv(x, 3, 5)])
    y = b.conv(x, 5, 5, norm=False)
    x = b.node("Add", [b.norm(y, 5), y])                       # the sums are read as they are, too
    x = b.node("Flatten", [x])
    x = b.norm(b.gemm(x, 5 * 36, 20), 20)
    weights = b.constant(rng.normal(size=(20, 4)))
    x = b.node("Add", [b.constant(rng.normal(size=4)), b.node("MatMul", [x, weights])])
    weights, bias = b.constant(rng.normal(size=(4, 4))), b.constant(rng.normal(size=(1, 4)))
    x = b.node("Gemm", [x, weights, bias], alpha=0.5, beta=2.0)
    model = b.model(("N", 3, 6, 6), x, opset=11)
    from popmac.quantize.float_model import simplify
    x      = rng.normal(size=(20, 3, 6, 6)).astype(np.float32)
    folded = simplify(model, {"x": (1, 3, 6, 6)})
    ops    = [node.op_type for node in folded.graph.node]
    assert set(ops) == {"Conv", "Relu", "Add", "Flatten", "Gemm"} and ops.count("Add") == 1
    assert all(len(node.input) == 3 for node in folded.graph.node
               if node.op_type in ("Conv", "Gemm"))
    expected = results(model, x)
    np.testing.assert_allclose(results(folded, x), expected, atol=1e-4 * np.abs(expected).max())
    assert sqnr(expected, results(popmac.quantize(model, x), x)) > 25


def test_biases_are_corrected(rng):
    b = FloatBuilder(rng)
    # All inputs positive and few weights: the errors of the weights have a mean.
    model = b.model(("N", 40), b.node("Relu", [b.gemm("x", 40, 30)]))
    x = rng.uniform(1, 2, (100, 40)).astype(np.float32)
    expected = results(model, x).mean(axis=0)
    errors   = []
    for correct in (False, True):
        data = popmac.quantize(model, x, weight_only=True, per_channel=False,
                               bias_correction=correct)
        errors.append(np.abs(results(data, x).mean(axis=0) - expected).max())
    assert errors[1] < errors[0] / 50


def test_dead_channels_keep_their_biases(rng):
    weights, biases = rng.normal(size=(6, 4, 3, 3)), np.array([0.1, 0.7, 0, 0, -0.3, 0])
    weights[[1, 4]] = 0
    b = FloatBuilder(rng)
    y = b.node("Conv", ["x", b.constant(weights), b.constant(biases)])
    x = rng.normal(size=(20, 4, 5, 5)) * 30
    data   = popmac.quantize(b.model(("N", 4, 5, 5), y), x)
    values = {t.name: numpy_helper.to_array(t)
              for t in onnx.load_model_from_string(data).graph.initializer}
    codes, = (name for name, array in values.items() if array.dtype == np.int32 and array.ndim
              and array.any())
    rounded = values[codes] * values[f"{codes}_scale"]
    np.testing.assert_allclose(rounded, biases, atol=0.02)


def test_several_inputs_and_fixed_batch(rng):
    b = FloatBuilder(rng)
    y = b.node("Concat", [b.node("Relu", ["left"]), "right"], axis=1)
    model = b.model((1, 4), b.node("Mul", [y, y]), name="left")
    model.graph.input.append(onnx.helper.make_tensor_value_info("right", 1, (1, 6)))
    left, right = (rng.normal(size=(30, 1, n)).astype(np.float32) for n in (4, 6))
    data = popmac.quantize(model, {"left": left, "right": right[:, 0]})
    session = onnxruntime.InferenceSession(data)
    assert [i.shape for i in session.get_inputs()] == [[1, 4], [1, 6]]
    for l, r in zip(left, right):
        result,  = session.run(None, {"left": l, "right": r})
        expected = np.concatenate([np.maximum(l, 0), r], axis=1)**2
        assert np.abs(result - expected).max() < 0.2


def test_command(rng, tmp_path, capsys):
    model, out = residual_network(rng), tmp_path / "int8.onnx"
    x = rng.normal(size=(10, 3, 12, 12)).astype(np.float32)
    (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "c.npz", x=x)
    arguments = ["quantize", str(tmp_path / "float.onnx"), "--inputs", str(tmp_path / "c.npz"),
                 "-o", str(out), "--per-tensor", "--method", "percentile", "--symmetric"]
    assert main(arguments) == 0 and "times as many" in capsys.readouterr().out
    assert out.read_bytes() == popmac.quantize(tmp_path / "float.onnx", tmp_path / "c.npz",
                                               per_channel=False, method="percentile",
                                               symmetric=True)
    np.savez(tmp_path / "c.npz", image=x)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "calibration has no array 'x'; it has image" in error


def with_nan(x):
    x[7, 0, 3, 3] = np.nan
    return x


@pytest.mark.parametrize("change, message", [
    (with_nan, "input 'x' contains values that are not finite .the first one in sample 7"),
    (lambda x: x * np.inf, "values that are not finite"),
    (lambda x: x[:, :2], r"must have shape \(samples, 3, 12, 12\), not \(12, 2, 12, 12\)"),
    (lambda x: x[0, 0], "must have shape"),
    (lambda x: x[:0], "has 0 values"),
    (lambda x: np.ones_like(x), r"is constant \(1\)"),
    (lambda x: x > 0, "must be real numbers, not bool"),
    (lambda x: x.astype(complex), "must be real numbers, not complex"),
    (lambda x: {"picture": x}, "has no array 'x'; it has picture"),
    (lambda x: "nothing.npz", "nothing.npz: No such file"),
])
def test_wrong_samples_are_refused(rng, change, message):
    x = change(rng.normal(size=(12, 3, 12, 12)).astype(np.float32))
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match=message) as error:
        popmac.quantize(residual_network(rng), x)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options, message", [
    ({"method": "best"}, "no calibration by 'best'; there are min-max, moving-average"),
    ({"method": "percentile", "percentile": 30}, "percentile must be above 50"),
    ({"activations": "int4"}, "activations are uint8 or int8, not 'int4'")])
def test_wrong_options_are_refused(rng, options, message):
    with pytest.raises(InputError, match=message):
        popmac.quantize(residual_network(rng), rng.normal(size=(2, 3, 12, 12)), **options)


@pytest.mark.parametrize("model, error, message", [
    (b"hello", ModelFormatError, "is no ONNX"),
    ("nothing.onnx", ModelFormatError, "nothing.onnx: No such file"),
    (7, InputError, "not int")])
def test_wrong_models_are_refused(rng, model, error, message):
    with pytest.raises(error, match=message):
        popmac.quantize(model, rng.normal(size=(2, 4)))


def test_unsupported_operators_are_listed(rng):
    b = FloatBuilder(rng)
    x = b.node("Sin", [b.gemm("x", 4, 4)])
    model = b.model(("N", 4), b.node("Gemm", [b.node("Cos", [x]), x], transB=1))
    x = rng.normal(size=(9, 4))
    with pytest.raises(UnsupportedModelError) as error:
        popmac.quantize(model, x)
    assert [p[0] for p in error.value.problems] == ["1 Sin (Sin_4)", "2 Cos (Cos_5)",
                                                    "3 Gemm (Gemm_6)"]
    b = FloatBuilder(rng)
    data = popmac.quantize(b.model(("N", 4), b.gemm("x", 4, 4)), x)
    with pytest.raises(UnsupportedModelError, match="is quantised already"):
        popmac.quantize(data, x)


def test_layers_without_range_are_refused(rng):
    x = rng.normal(size=(20, 3, 6, 6)).astype(np.float32)
    b = FloatBuilder(rng)
    y = b.node("Conv", ["x", b.constant(np.zeros((4, 3, 3, 3)))])
    with pytest.raises(UnsupportedModelError, match="^Conv Conv_2: all of its weights are 0; "):
        popmac.quantize(b.model(("N", 3, 6, 6), y), x)
    b = FloatBuilder(rng)
    y = b.node("Relu", [b.node("Conv", ["x", b.constant(rng.normal(size=(4, 3, 1, 1))),
                                        b.constant(np.full(4, -1e3))])])
    y = b.node("MaxPool", [y], kernel_shape=[2, 2])
    with pytest.raises(UnsupportedModelError, match="^Relu Relu_4: its output is 0 for every "
                       "sample of the calibration") as error:
        popmac.quantize(b.model(("N", 3, 6, 6), y), x)
    assert len(error.value.problems) == 1


def test_models_that_overflow_are_refused(rng):
    b = FloatBuilder(rng)
    y = b.node("Mul", ["x", b.constant(1e38)])
    model = b.model(("N", 3), b.node("Relu", [b.node("Add", [y, y])]))
    for method in ("min-max", "moving-average", "percentile", "mse"):
        with pytest.raises(popmac.PopmacError, match="not finite"):
            popmac.quantize(model, rng.normal(size=(9, 3)) * 100, method=method)


def test_package_is_callable(rng):
    import popmac.quantize as package
    from popmac.quantize import quantize
    b = FloatBuilder(rng)
    model, x = b.model(("N", 4), b.gemm("x", 4, 4)), rng.normal(size=(9, 4))
    assert package(model, x) == quantize(model, x) == popmac.quantize(model, x)


def test_training_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "popmac.quantize.train", raising=False)
    with pytest.raises(popmac.ToolError, match=r'PyTorch: pip install "popmac.train'):
        importlib.import_module("popmac.quantize.train")
