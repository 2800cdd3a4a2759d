"""The two simulators that components are tested in."""

import copy

import pytest

from popmac_sim.rtl import run_bench
from popmac_sim.testbench import simulate as simulate_in_amaranth


class _Component(Exception):
    """Brings the component of a test to where the test was called."""


@pytest.fixture(params=["amaranth", "verilog"])
def simulate(request, tmp_path):
    """:func:`popmac_sim.testbench.simulate`, and the same on Verilog under cocotb."""
    return simulate_in_amaranth if request.param == "amaranth" else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a test that asks for Verilog inside of the simulator, from its beginning to its end."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if arguments.get("simulate", simulate_in_amaranth) is not None:
        return None
    del arguments["simulate"]
    unused = copy.deepcopy(arguments)

    def reveal(component, *testbenches, **options):
        raise _Component(component)

    try:
        pyfuncitem.obj(**arguments, simulate=reveal)
    except _Component as found:
        component, = found.args
    run_bench(component, pyfuncitem.obj, unused, pyfuncitem.funcargs["tmp_path"])
    return True
