"""Networks that nobody tuned for, from the reference runtime down to the simulated board."""

import numpy as np
import pytest
from network_models import random_network
from operator_models import random_inputs

import popmac
from popmac.compiler.frontends.tflite import load_tflite
from popmac.reference import open_reference


@pytest.mark.parametrize("url, count", [
    ("sim:tiny?link=fast", 8),
    pytest.param("sim:ulx3s-85f?link=fast", 200, marks=pytest.mark.slow),
])
def test_every_tensor_equals_the_reference(rng, url, count):
    macs = on_device = 0
    with popmac.open(url) as board:
        for index in range(count):
            data      = random_network(rng, int(rng.integers(5, 41)))
            graph     = load_tflite(data, f"network {index}")
            reference = open_reference(data, graph)
            inputs    = random_inputs(graph, rng)
            expected  = reference.run(inputs)
            compared  = set()
            for fuse in (True, False): # without fusion, there is every tensor
                program = popmac.compile(graph, target=board.arch, fuse=fuse)
                session = board.load(program)
                actual  = session.trace(inputs)
                for name in actual.keys() & expected.keys():
                    np.testing.assert_array_equal(actual[name], expected[name],
                                                  err_msg=f"network {index}, {name}")
                compared |= actual.keys()
            session.run(inputs)
            assert session.counters["cycles"] == pytest.approx(
                sum(layer.cycles for layer in program.layers), rel=0.03)
            assert compared >= {name for node in graph.nodes for name in node.outputs}
            macs      += program.macs
            on_device += program.macs_on_device
    assert on_device >= 0.95 * macs
