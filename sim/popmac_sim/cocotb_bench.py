"""The test module that cocotb imports inside of the simulator; :mod:`.rtl` starts it."""

import importlib.util
import os
import pickle
from pathlib import Path

import cocotb
from amaranth.lib.wiring import In
from cocotb.task import bridge, resume

from .cocotb_context import run_testbenches


@cocotb.test
async def bench(dut):
    """Run a test that gets ``simulate`` as an argument, with the module as its component."""
    path, name, arguments = pickle.loads(Path(os.environ["POPMAC_BENCH"]).read_bytes())
    spec   = importlib.util.spec_from_file_location("bench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    calls  = 0

    @resume
    async def simulate(component, *testbenches, monitors=(), max_cycles=10_000):
        nonlocal calls
        calls += 1
        inputs = [port.as_value().name if hasattr(port, "as_value") else port.name
                  for _, member, port in component.signature.flatten(component)
                  if member.flow == In]
        await run_testbenches(dut, inputs, testbenches, monitors=monitors, max_cycles=max_cycles)

    await bridge(getattr(module, name))(**arguments, simulate=simulate)
    assert calls == 1, "a test runs one simulation"
