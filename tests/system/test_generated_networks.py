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
    ("sim:icebreaker?link=fast", 2),
    pytest.param("sim:icebreaker?link=fast", 60, marks=pytest.mark.slow),
    pytest.param("sim:ulx3s-85f?link=fast", 200, marks=pytest.mark.slow),
])
def test_every_tensor_equals_the_reference(request, url, count):
    macs = on_device = 0
    with popmac.open(url) as board:
        for index in range(count):
            rng       = np.random.default_rng([*request.node.nodeid.encode(), index])
            data      = random_network(rng, int(rng.integers(5, 41)))
            graph     = load_tflite(data, f"network {index}")
            reference = open_reference(data, graph)
            samples   = [random_inputs(graph, rng) for _ in range(2)]
            expected  = [reference.run(inputs) for inputs in samples]
            compared  = set()
            for fuse in (True, False): # without fusion, there is every tensor
                program = popmac.compile(graph, target=board.arch, fuse=fuse)
                session = board.load(program)
                actual  = session.trace(samples[0])
                for name in actual.keys() & expected[0].keys():
                    np.testing.assert_array_equal(actual[name], expected[0][name],
                                                  err_msg=f"network {index}, {name}")
                compared |= actual.keys()
            results = session.run_many({name: np.stack([inputs[name] for inputs in samples])
                                        for name in graph.inputs})
            name,   = graph.outputs
            np.testing.assert_array_equal(results, [values[name][0] for values in expected],
                                          err_msg=f"network {index}")
            assert session.counters["cycles"] == pytest.approx(
                sum(layer.cycles for layer in program.layers), rel=0.03), f"network {index}"
            assert compared >= {name for node in graph.nodes for name in node.outputs}
            macs      += program.macs
            on_device += program.macs_on_device
    assert on_device >= 0.95 * macs
