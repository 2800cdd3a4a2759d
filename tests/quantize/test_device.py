"""What popmac quantises, its device computes as onnxruntime does."""

import numpy as np
import onnxruntime
import pytest
from float_models import FloatBuilder, depthwise_network, residual_network

import popmac
from popmac.models import load


def functions_network(rng):
    """Functions between layers, and tensors that are joined."""
    b = FloatBuilder(rng)
    x = b.conv("x", 2, 4)
    y = b.node("Mul", [x, b.node("Sigmoid", [x])])
    z = b.node("HardSwish", [b.conv(y, 4, 4, 1)])
    x = b.node("Concat", [y, z, b.node("LeakyRelu", [x], alpha=0.1)], axis=1)
    x = b.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Flatten", [b.node("Tanh", [b.conv(x, 12, 4)])])
    return b.model(("N", 2, 8, 8), b.gemm(x, 64, 5), opset=14)


@pytest.mark.parametrize("options", [
    {}, {"per_channel": False, "symmetric": True}, {"activations": "int8", "method": "mse"},
    {"power_of_two": True, "bias_correction": True}], ids=str)
@pytest.mark.parametrize("make, shape", [
    (residual_network, (3, 12, 12)), (depthwise_network, (1, 14, 10)),
    (functions_network, (2, 8, 8))])
def test_results_are_those_of_onnxruntime(rng, tmp_path, make, shape, options):
    x    = rng.normal(size=(24, *shape)).astype(np.float32)
    path = popmac.quantize(make(rng), x[:16], tmp_path / "int8.onnx", **options)
    graph   = load(path)
    program = popmac.compile(graph, target="ulx3s-85f")
    assert program.macs_on_device > 0.8 * program.macs, program.report()
    with popmac.open("golden:ulx3s-85f") as device:
        actual = device.load(program).run_many(x)
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.qdqisint8allowed", "1") # for int8 activations
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    for sample, result in zip(x, actual):
        expected, = session.run(None, {"x": sample[None]})
        np.testing.assert_array_equal(expected[0], result)
