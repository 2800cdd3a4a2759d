"""Random models of single operators and of whole networks, through compiler and golden machine."""

import numpy as np
import pytest
from network_models import random_network
from operator_models import random_inputs, random_model

import popmac
from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers
from popmac.program import DeviceSegment


DEVICE_OPERATORS = ["Conv2D", "DepthwiseConv2D", "FullyConnected", "Add", "AveragePool2D",
                    "MaxPool2D", "Mean", "ReduceMax", "TransposeConv", "Concatenation", "Split",
                    "StridedSlice", "Pad",
                    "ResizeNearestNeighbor", "Sub", "Mul", "Maximum", "Broadcast", "Relu",
                    "Relu6", "ReluN1To1", "Relu0To1", "LeakyRelu", "Logistic", "Tanh",
                    "HardSwish", "Quantize"]
#: What takes units that the serial engine does not have.
NOT_SERIAL       = {"MaxPool2D", "ReduceMax"}
RESHAPES         = ["Reshape", "ExpandDims", "Squeeze"]


@pytest.fixture(scope="module", params=["golden:tiny", "golden:ulx3s-85f",
                                        "golden:icebreaker"])
def golden(request):
    with popmac.open(request.param) as device:
        yield device


def check(device, graph, rng):
    """Compare every tensor; whether anything ran on the device."""
    inputs   = random_inputs(graph, rng)
    expected = layers.run(graph, inputs)
    on_device, compared = False, set()
    for fuse in (True, False): # without fusion, there is every tensor
        program = popmac.compile(graph, target=device.arch, fuse=fuse)
        actual  = device.load(program).trace(inputs)
        for name in actual.keys() & expected.keys():
            np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
        compared |= actual.keys()
        on_device |= any(isinstance(segment, DeviceSegment) for segment in program.segments)
    assert compared >= {name for node in graph.nodes for name in node.outputs}
    return on_device


@pytest.mark.parametrize("op", DEVICE_OPERATORS + RESHAPES)
def test_operators(golden, rng, op):
    on_device = [check(golden, load_tflite(random_model(op, rng), op), rng) for _ in range(25)]
    # There is nothing to do for the device where a model only reshapes.
    missing = NOT_SERIAL if golden.arch.engine == "serial" else ()
    assert any(on_device) == (op in DEVICE_OPERATORS and op not in missing)


def test_networks(golden, rng):
    for _ in range(10):
        check(golden, load_tflite(random_network(rng, int(rng.integers(5, 25))), "network"), rng)
