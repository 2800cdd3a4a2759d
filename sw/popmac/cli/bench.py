"""Measure the simulated board: how long it takes to build, how fast it runs, and its cycles."""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..arch import target
from ..driver.device import Device
from ..driver.link import Link
from ..errors import PopmacError, ToolError
from ..models import load
from ..published import MLPERF_TINY
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("--target", default="ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--model", help="model that the speed is measured with; default: digits")
    parser.add_argument("--models", metavar="DIR", type=Path,
                        help="folder with models of MLPerf Tiny (" + ", ".join(
                            f"{model.file}.tflite" for model in MLPERF_TINY)
                        + "), whose cycles are set beside what is ideal and what is published")


def execute(options):
    """Run the command."""
    from importlib.resources import files

    try:
        from popmac_sim.board import SimulatedBoard, build_board
    except ImportError as error:
        raise ToolError(f'the simulated board needs {error.name}: pip install "popmac[sim]"') \
            from None
    arch = target(options.target)
    found = find_models(options.models) if options.models else []
    with tempfile.TemporaryDirectory() as empty:
        begin = time.perf_counter()
        build_board(arch, folder=empty)
        build = time.perf_counter() - begin

    graph = load(options.model or files("popmac") / "zoo" / "digits.tflite")
    x     = _random_codes(graph)
    board = SimulatedBoard(build_board(arch), arch, fast=True)
    with Device(Link(board)) as device:
        session = device.load(graph)
        session.run(x)
        cycles  = board.simulated
        begin   = time.process_time()
        while time.process_time() - begin < 3:
            session.run(x)
        speed   = (board.simulated - cycles) / (time.process_time() - begin)
        count   = session.counters["cycles"]
        layers  = [{"name": row["name"], "op": row["op"], "cycles": row["cycles"],
                    "macs_per_cycle": row["macs"] / row["cycles"]}
                   for row in session.counters["layers"] if row["macs"]]
        models  = [measured(device, benchmark, path) for benchmark, path in found]
    result = {"target": arch.name, "build_seconds": build, "cycles_per_second": speed,
              "model": graph.name, "cycles": count, "int8_macs_per_cycle": arch.macs_per_cycle,
              "binary_macs_per_cycle": arch.binary_macs_per_cycle, "layers": layers,
              "models": models}
    if options.json:
        print_json(result)
    else:
        print_table(f"simulated {arch.name}", ["figure", ">value"], [
            ("build, from sources to library", f"{build:.0f} s"),
            (f"speed with {graph.name}, one core", f"{speed:,.0f} cycles/s"),
            ("cycles of an inference", f"{count:,}"),
            ("INT8 MACs per cycle, at most", arch.macs_per_cycle),
            ("binary MACs per cycle, at most", f"{arch.binary_macs_per_cycle:,}"),
            (".. in relation to INT8", f"{arch.binary_macs_per_cycle / arch.macs_per_cycle:g}"),
        ])
        print_table(f"{graph.name}, layer by layer",
                    ["layer", "operator", ">cycles", ">MACs per cycle", ">x INT8 peak"],
                    [(row["name"], row["op"], row["cycles"], f"{row['macs_per_cycle']:,.0f}",
                      f"{row['macs_per_cycle'] / arch.macs_per_cycle:.2f}") for row in layers])
        if models:
            _print_models(arch, models)


def find_models(folder):
    """Models of MLPerf Tiny in a folder: pairs of :class:`popmac.published.Benchmark` and path.

    Raises
    ------
    PopmacError
        If there are none.
    """
    paths = sorted(folder.glob("*.tflite"))
    found = [(benchmark, path) for benchmark in MLPERF_TINY for path in paths
             if benchmark.file in path.stem]
    if not found:
        raise PopmacError(f"{folder} has none of "
                          + ", ".join(f"{benchmark.file}.tflite" for benchmark in MLPERF_TINY))
    return found


def measured(device, benchmark, path):
    """What the device counts for a model, beside what to compare it with, as plain values."""
    graph   = load(path)
    session = device.load(graph)
    session.run(_random_codes(graph))
    cycles  = session.counters["cycles"]
    return {"model": benchmark.name, "file": path.name, "cycles": cycles,
            "microseconds": cycles / device.arch.clock_hz * 1e6, "ideal": benchmark.ideal,
            "schedule": benchmark.schedule,
            "published": [asdict(entry) for entry in benchmark.published]}


def _random_codes(graph):
    rng = np.random.default_rng(0)
    return {name: rng.integers(-128, 128, graph.tensors[name].shape)
            .astype(graph.tensors[name].dtype) for name in graph.inputs}


def _print_models(arch, models):
    def latency(entry):
        changed = ", another network" if entry["changed"] else ""
        return f"{entry['microseconds']:,g} ({entry['by']}{changed})"

    print_table(
        f"MLPerf Tiny on {arch.name}, input in the device; ideal and schedule are of 16 x 16",
        ["model", ">cycles", ">ideal", ">schedule", f">us at {arch.clock_hz / 1e6:g} MHz",
         "published, us"],
        [(row["model"], row["cycles"], row["ideal"], row["schedule"],
          f"{row['microseconds']:,.1f}", "\n".join(map(latency, row["published"])))
         for row in models])
