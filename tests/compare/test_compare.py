import hashlib
import json
from importlib.resources import files
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest
from float_models import FloatBuilder, residual_network

import popmac
from popmac.cli import main
from popmac.compare import compare, comparison_page
from popmac.compare.float_runs import float_macs, rounded_to_half, run_float
from popmac.compare.layers import measure_layers, weight_bits
from popmac.errors import InputError
from popmac.quantize.float_model import simplify


ZOO = files("popmac") / "zoo"


@pytest.fixture
def model(rng):
    """A float network for the images of digits."""
    b = FloatBuilder(rng)
    x = b.node("Relu", [b.conv("image", 1, 6)])
    x = b.node("Flatten", [b.node("MaxPool", [x], kernel_shape=[4, 4], strides=[4, 4])])
    return b.model(("N", 1, 8, 8), b.gemm(x, 24, 10), name="image")


@pytest.fixture(scope="module")
def samples():
    """Images, pixels from 0 to 16, and what they show."""
    with (ZOO / "digits.npz").open("rb") as file, np.load(file) as data:
        images = np.rint((data["image"][:24].astype(np.float32) + 128) * 16 / 255)
        return images.transpose(0, 3, 1, 2), data["label"][:24].astype(np.int64)


def test_rows(model, samples, tmp_path):
    x, labels = samples
    path, url = tmp_path / "float.onnx", "sim:tiny?link=fast"
    path.write_bytes(model.SerializeToString())
    variants = [ZOO / "digits.tflite", ZOO / "digits_binary.onnx"]
    result   = compare(path, variants, url, {"image": x}, labels, {"image": x[:12]})
    rows     = {row.name: row for row in result.rows}
    assert list(rows) == ["FP32", "FP16", "INT8 per tensor", "INT8 per channel", "digits.tflite",
                          "digits_binary.onnx"]
    session  = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {"image": x})[0].argmax(axis=1)
    assert rows["FP32"].accuracy == np.mean(expected == labels) and rows["FP32"].agreement == 1
    assert rows["FP16"].agreement > 0.9
    assert all(row.agreement > 0.7 for row in result.rows[:4])
    assert rows["FP32"].weight_bytes == 4 * (6 * 9 + 240) and rows["FP32"].macs == 64 * 54 + 240
    assert rows["INT8 per channel"].compression == 4 and rows["FP32"].latency_us > 0
    # What the device does, found in another way.
    with popmac.open(url) as device:
        for path in variants:
            session = device.load(popmac.load(path))
            scores  = session.run_many(x.transpose(0, 2, 3, 1) if path.suffix == ".tflite" else x)
            row     = rows[path.name]
            assert row.accuracy == np.mean(scores.argmax(axis=1) == labels) > 0.8
            assert row.agreement == np.mean(scores.argmax(axis=1) == expected)
            assert row.cycles == session.counters["cycles"] > 0 and "simulated board" in row.where
            assert row.latency_us == row.cycles / device.arch.clock_hz * 1e6
            assert row.macs == row.macs_on_device > 0
    binary, int8 = rows["digits_binary.onnx"], rows["digits.tflite"]
    assert (binary.bits, int8.bits) == ([1], [8])
    assert binary.weight_bytes == (64 * 256 + 256 * 256 + 2560) // 8
    for row in result.rows[2:4]:
        assert row.cycles > 0 and row.macs_on_device == row.macs == rows["FP32"].macs
        assert row.problem is None and "simulated board" in row.where
    assert binary.speedup_int8 == rows["INT8 per channel"].cycles / binary.cycles
    assert binary.speedup_cpu == rows["FP32"].latency_us / binary.latency_us
    assert len(rows["INT8 per channel"].worst) == 3
    check_page(comparison_page(result), result)
    json.dumps(result.as_dict(), allow_nan=False)


def check_page(page, result):
    """One well-formed document that loads nothing, with all that it should have."""
    tree  = ElementTree.fromstring(page.replace("<!DOCTYPE html>", "").replace(
        '<meta charset="utf-8">', ""))
    assert "http" not in page and "<script" not in page and "src=" not in page
    texts = "\n".join(tree.itertext())
    for row in result.rows:
        assert row.name in texts and row.where in texts
        for layer in row.layers:
            assert layer.name in texts
    circles = [c.find("title").text for c in tree.iter("circle")]
    latency = [row for row in result.rows if row.latency_us]
    assert len(circles) == len(latency) + len(result.rows)
    bars = [sum(1 for _ in svg.iter("rect")) for svg in tree.iter("svg")]
    assert sum(n > 0 for n in bars) == len(result.rows[3].layers) + \
        sum(len(row.weights) for row in result.rows)


def test_float16_is_rounded_everywhere(rng):
    b = FloatBuilder(rng)
    x = b.gemm("x", 5, 4)
    model   = simplify(b.model(("N", 5), b.node("Relu", [x])), {"x": (1, 5)})
    x       = rng.normal(size=(50, 1, 5)).astype(np.float32)
    actual  = run_float(rounded_to_half(model), {"x": x}, "")
    weights, bias = (np.float32(np.float16(onnx_values)) for onnx_values in constants(model))
    sums    = np.float16(x[:, 0]).astype(np.float32) @ weights.T + bias
    assert np.array_equal(actual, np.float16(actual)) and not np.array_equal(
        actual, run_float(model, {"x": x}, ""))
    np.testing.assert_allclose(actual, np.maximum(np.float16(sums), 0), rtol=1.1e-3, atol=1e-6)


def constants(model):
    from onnx import numpy_helper
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    node,  = (node for node in model.graph.node if node.op_type == "Gemm")
    return values[node.input[1]], values[node.input[2]]


def test_layers(rng):
    model = residual_network(rng)
    x     = rng.normal(size=(20, 3, 12, 12)).astype(np.float32)
    shape = {"x": (1, 3, 12, 12)}
    data  = popmac.quantize(model, x)
    found = measure_layers(simplify(model, shape), data, {"x": x[:, None]})
    assert [layer.op for layer in found] == [
        "Relu", "Relu", "Conv", "Relu", "Conv", "Relu", "Conv", "Relu", "GlobalAveragePool",
        "Flatten", "Gemm"]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    session  = onnxruntime.InferenceSession(data)
    actual   = np.concatenate([session.run(None, {"x": s[None]})[0] for s in x])
    noise    = np.sum((expected - actual)**2)
    last     = found[-1]
    assert last.sqnr == pytest.approx(10 * np.log10(np.sum(expected**2) / noise), abs=1)
    assert last.low == pytest.approx(expected.min(), rel=1e-4)
    assert sum(last.counts) == expected.size
    # Limits of the codes lie around all values, but for the rounding of the zero point.
    step = (last.last - last.first) / 255
    assert abs(last.first - last.low) < 0.51 * step and abs(last.last - last.high) < 0.51 * step


def test_the_worst_layer_is_found(rng):
    b = FloatBuilder(rng)
    x = b.node("Relu", [b.conv("x", 3, 4)])
    # Channels whose ranges differ by 300: one scale for all leaves little of the small ones.
    weights = rng.normal(size=(4, 4, 3, 3)) * np.array([300, 1, 1, 1]).reshape(-1, 1, 1, 1)
    bad = b.node("Conv", [x, b.constant(weights)], pads=[1] * 4)
    weights = rng.normal(size=(4, 4, 1, 1)) * np.array([0, 1, 1, 1]).reshape(1, -1, 1, 1)
    y = b.node("Conv", [bad, b.constant(weights)])
    x = rng.normal(size=(10, 3, 6, 6)).astype(np.float32)
    model = b.model(("N", 3, 6, 6), b.node("Relu", [y]))
    sqnr  = {}
    for per_channel in (True, False):
        data  = popmac.quantize(model, x, per_channel=per_channel)
        found = measure_layers(simplify(model, {"x": (1, 3, 6, 6)}), data, {"x": x[:, None]})
        sqnr[per_channel] = [layer.sqnr for layer in found]
    assert sqnr[True][0] > 30 and np.argmin(sqnr[False]) == len(sqnr[False]) - 1
    assert sqnr[False][-1] < 20


@pytest.mark.parametrize("codes, bits", [
    ([-1, 1], 1), ([-1, 0, 1], 2), ([-2, 1], 2), ([0], 2), ([2], 4), ([-8, 7], 4), ([8], 8),
    ([-128, 127], 8), ([128], 16)])
def test_bits_of_weights(codes, bits):
    assert weight_bits(np.array(codes)) == bits


def test_multiply_accumulates(rng):
    model = simplify(residual_network(rng), {"x": (1, 3, 12, 12)})
    convolutions = 144 * 9 * (3 * 8 + 2 * 8 * 8) + 36 * (9 * (8 * 16 + 16 * 16) + 8 * 16)
    assert float_macs(model) == convolutions + 160


def test_command(model, samples, tmp_path, capsys):
    x, labels = samples
    (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "samples.npz", image=x, label=labels)
    arguments = ["compare", str(tmp_path / "float.onnx"), str(ZOO / "digits_mixed.onnx"),
                 "--device", "golden:tiny", "--inputs", str(tmp_path / "samples.npz"),
                 "--labels", "label", "--html", str(tmp_path / "page.html")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for expected in ("FP16", "INT8 per tensor", "digits_mixed.onnx", "golden model", "24 samples",
                     "calibrated with the samples that are measured"):
        assert expected in out
    assert "<svg" in (tmp_path / "page.html").read_text()
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    digest = hashlib.sha256(x.tobytes() + labels.tobytes()).hexdigest()
    assert digest[:16] in out
    assert rows[-1]["bits"] == [1, 4] and rows[-1]["cycles"] is None
    np.savez(tmp_path / "samples.npz", image=x, label=labels[:3])
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error == "popmac: labels must be 24 integers, not int64 (3,)\n"


def test_variants_for_other_inputs_are_refused(model, samples, rng, tmp_path):
    (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
    b = FloatBuilder(rng)
    (tmp_path / "other.onnx").write_bytes(
        b.model(("N", 5), b.gemm("x", 5, 4)).SerializeToString())
    with pytest.raises(InputError, match="shape"):
        compare(tmp_path / "float.onnx", [], "golden:tiny", {"image": samples[0][:, :, :7]})
    with pytest.raises(InputError, match="'image' must have shape"):
        compare(tmp_path / "other.onnx", [ZOO / "digits.tflite"], "golden:tiny",
                {"x": rng.normal(size=(3, 5))})
