"""Quantised ONNX networks on the simulated board, behind the real driver."""

import json

import numpy as np
import pytest
from quantized_onnx_models import Builder, digits_network, network, quantised

import popmac
from popmac.cli import main
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.golden import layers
from popmac.verify import verify


def small_network(b):
    """Halved layers, a residual sum, a table, and both kinds of pools."""
    x = b.convolution(b.input([1, 3, 6, 6]), 3, 24)
    y = b.convolution(x, 24, 24, groups=24)
    y = b.convolution(y, 24, 24, 3, relu=False)
    x = b.add("Relu", b.add("Add", x, y))
    x = b.add("MaxPool", b.add("Sigmoid", x), kernel_shape=[2, 2], strides=[2, 2])
    x = b.add("Flatten", b.add("GlobalAveragePool", x))
    return b.add("Softmax", b.dense(x, 24, 6))


@pytest.fixture
def small(rng):
    builder = Builder(rng)
    output  = small_network(builder)
    samples = rng.normal(size=(12, 1, 3, 6, 6)).astype(np.float32)
    return lambda **options: (quantised(builder.model(output), samples, **options), samples)


def test_simulated_board(small, tmp_path):
    path, ops = tmp_path / "small.onnx", set()
    for unsigned in (True, False):
        data, samples = small(unsigned=unsigned)
        path.write_bytes(data)
        ops |= {layer.op for layer in popmac.compile(path, target="tiny").layers}
        result = verify(path, "sim:tiny?link=fast", {"x": samples[:2]})
        assert result.bit_exact and result.tensors >= 10 and result.inputs == 2
    assert ops >= {"Conv2D", "DepthwiseConv2D", "Add", "MaxPool2D", "SumCodes"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "mixture", "dscnn"])
def test_large_simulated_board(rng, digits, images, name):
    data, samples = digits_network(digits, images, rng) if name == "digits" else \
        network(name, rng)
    graph = load_onnx(data, name)
    with popmac.open("sim:ulx3s-85f?link=fast") as device, \
            popmac.open("golden:ulx3s-85f") as golden:
        actual   = device.load(graph).run_many(samples[:10])
        expected = golden.load(graph).run_many(samples[:10])
    np.testing.assert_array_equal(actual, expected)


def test_commands(small, tmp_path, capsys):
    data, samples = small()
    model, inputs, program, outputs = (str(tmp_path / name) for name in (
        "small.onnx", "inputs.npz", "small.popmac", "outputs.npz"))
    (tmp_path / "small.onnx").write_bytes(data)
    np.savez(inputs, x=samples[:2])
    assert main(["check", model, "--target", "tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["supported"] and found["macs_on_device"] == found["macs"] > 0
    assert main(["compile", model, "--target", "tiny", "-o", program]) == 0
    assert main(["run", program, "--device", "golden:tiny", "--inputs", inputs, "-o",
                 outputs]) == 0
    capsys.readouterr()
    assert main(["verify", model, "--device", "golden:tiny", "--inputs", inputs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bit_exact"]
    graph  = load_onnx(data, "small")
    tensor = graph.tensors["x"]
    codes  = np.clip(np.rint(samples[:2] / tensor.scale) + tensor.zero_point, 0, 255)
    with np.load(outputs) as made:
        for index in range(2):
            whole  = layers.run(graph, {"x": codes[index].astype(np.uint8)})
            result = made[graph.outputs[0]][index]
            output = graph.tensors[graph.outputs[0]]
            real   = (whole[graph.outputs[0]].astype(np.float32) - output.zero_point) \
                * output.scale
            np.testing.assert_array_equal(result, real.astype(np.float32)[0])
