"""The core as Verilog behind the real driver, with streams that stall at random."""

from importlib.resources import files

import numpy as np
import pytest
from cocotb.task import bridge
from network_models import random_network

from popmac.arch import target
from popmac.compiler.frontends.tflite import load_tflite
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.golden import layers
from popmac_gateware.core import Core
from popmac_sim.cocotb_transport import CocotbTransport
from popmac_sim.rtl import run_bench


TINY = target("tiny")


def infer(simulate, model, name, inputs, rng, stall):
    """Run ``inputs`` (n, ...) through the model; runs inside of the simulator."""
    core  = Core(TINY)
    graph = load_tflite(model, name)

    def drive(transport):
        with Device(Link(transport)) as device:
            session = device.load(graph)
            for x in inputs:
                actual = session.trace(x)
                for tensor, expected in layers.run(graph, {graph.inputs[0]: x[None]}).items():
                    if not graph.tensors[tensor].is_constant:
                        np.testing.assert_array_equal(actual[tensor], expected, err_msg=tensor)
            session.run(inputs[0])
            assert session.counters["cycles"] > 0

    async def testbench(ctx):
        transport = CocotbTransport(ctx, core.i, core.o, rng=rng, stall=stall,
                                    clock_hz=TINY.clock_hz)
        await bridge(drive)(transport)

    simulate(core, testbench, max_cycles=1_000_000)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_small_network(rng, tmp_path, stall):
    model  = random_network(rng, 4, layers=["convolution", "addition", "max_pool"], size=(5, 5),
                            channels=2, classes=4)
    inputs = rng.choice([-128, 127, *range(-20, 20)], (3, 5, 5, 2)).astype(np.int8)
    run_bench(Core(TINY), infer, {
        "model": model, "name": "network", "inputs": inputs, "rng": rng, "stall": stall,
    }, tmp_path)


def test_whole_network_under_verilator(rng, tmp_path):
    zoo = files("popmac") / "zoo"
    with np.load(zoo / "digits.npz") as data:
        inputs = data["image"][:2]
    run_bench(Core(TINY), infer, {
        "model": (zoo / "digits.tflite").read_bytes(), "name": "digits", "inputs": inputs,
        "rng": rng, "stall": 0.2,
    }, tmp_path, simulator="verilator")
