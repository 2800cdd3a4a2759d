import numpy as np
import pytest
from few_bit_models import prefer_engine
from qonnx_models import random_network

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.golden import layers
from popmac.reference import QonnxReference


pytestmark = pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime


def inputs(rng, shape, count):
    return rng.integers(0, 256, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("images", [False, True])
def test_networks_are_bit_exact(rng, images):
    for _ in range(12):
        data, shape = random_network(rng, images=images)
        graph       = load_onnx(data, "network")
        reference   = QonnxReference(data, graph)
        for x in inputs(rng, shape, 4):
            expected, actual = reference.run({"x": x}), layers.run(graph, {"x": x})
            assert "scores" in expected
            for name, values in expected.items():
                np.testing.assert_array_equal(actual[name], values, err_msg=name)


@pytest.mark.parametrize("engine", [False, True])
@pytest.mark.parametrize("url", ["golden:tiny", "golden:ulx3s-85f", "golden:ulx3s-85f-binary",
                                 "golden:ulx3s-25f", "sim:tiny?link=fast"])
def test_device_is_bit_exact(rng, monkeypatch, url, engine):
    if engine:
        prefer_engine(monkeypatch)
    engines = set()
    with popmac.open(url) as device:
        for _ in range(8):
            data, shape = random_network(rng)
            graph   = load_onnx(data, "network")
            program = popmac.compile(graph, target=device.arch)
            session = device.load(program)
            engines.update(layout.bits for layout in program.layouts.values())
            for x in inputs(rng, shape, 2):
                actual = session.trace(x)
                for name, values in layers.run(graph, {"x": x}).items():
                    if not graph.tensors[name].is_constant:
                        np.testing.assert_array_equal(actual[name], values, err_msg=name)
    assert len(engines) == 1 + (device.arch.planes > 0) # some were bits, and others bytes


def test_damaged_files_are_refused(rng):
    data, _ = random_network(rng)
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            broken[place] ^= 1 << int(rng.integers(8))
        try:
            load_onnx(bytes(broken[:int(rng.integers(1, len(data) + 1))]), "network")
        except popmac.PopmacError as error:
            assert str(error)
