"""Thresholds are data: they are replaced between runs, and nothing is compiled again."""

from dataclasses import replace

import numpy as np
import pytest
from qonnx_models import random_network

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.golden import layers


pytestmark = pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime


def with_constant(graph, name, values):
    tensor = graph.tensors[name]
    return replace(graph, tensors=graph.tensors | {
        name: replace(tensor, data=values.reshape(tensor.shape).astype(tensor.dtype))})


@pytest.mark.parametrize("url", ["golden:tiny", "golden:ulx3s-85f", "golden:ulx3s-25f",
                                 "sim:tiny?link=fast"])
def test_replaced_thresholds_are_exact(rng, url):
    replaced, units = 0, set()
    with popmac.open(url) as device:
        while replaced < 12 or len(units) < 1 + (device.arch.planes > 0):
            data, shape = random_network(rng)
            graph   = load_onnx(data, "network")
            program = popmac.compile(graph, target=device.arch)
            program = popmac.Program.from_bytes(program.to_bytes())
            session = device.load(program)
            nodes   = {node.name: node for node in graph.nodes}
            x       = {"x": rng.integers(0, 256, shape).astype(np.float32)}
            session.run(x)
            for name, before in session.thresholds.items():
                t      = session.program.thresholds[name]
                values = rng.integers(t.low - 3, t.high + 4).astype(np.int32)
                values[::5] = rng.choice([-2**31, 2**31 - 1, 0], len(values[::5]))
                session.set_thresholds(name, values)
                np.testing.assert_array_equal(session.thresholds[name], values)
                units.add(t.step)
                graph = with_constant(graph, nodes[name].inputs[2], values)
                replaced += 1
                assert np.any(before != values)
            expected, actual = layers.run(graph, x), session.trace(x)
            for name, values in expected.items():
                if not graph.tensors[name].is_constant:
                    np.testing.assert_array_equal(actual[name], values, err_msg=name)
            np.testing.assert_array_equal(session.run(x), expected["scores"][0])


def test_wrong_thresholds_are_refused(rng):
    with popmac.open("golden:tiny") as device:
        while True:
            data, _ = random_network(rng)
            session = device.load(popmac.compile(load_onnx(data, "network"), target=device.arch))
            if session.thresholds:
                break
        name, values = next(iter(session.thresholds.items()))
        for wrong in (values[:-1], values.astype(np.float32), values.reshape(1, -1, 1)):
            with pytest.raises(popmac.PopmacError, match="integers, one per channel"):
                session.set_thresholds(name, wrong)
        with pytest.raises(popmac.PopmacError, match="has no thresholds"):
            session.set_thresholds("nothing", values)
        np.testing.assert_array_equal(session.thresholds[name], values)
