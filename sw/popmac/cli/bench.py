"""Measure the simulated board: how long it takes to build, and how fast it runs."""

import tempfile
import time

import numpy as np

from ..arch import target
from ..driver.device import Device
from ..driver.link import Link
from ..errors import ToolError
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("--target", default="ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--model", help="model that the speed is measured with; default: digits")


def execute(options):
    """Run the command."""
    from importlib.resources import files

    from ..models import load
    try:
        from popmac_sim.board import SimulatedBoard, build_board
    except ImportError as error:
        raise ToolError(f'the simulated board needs {error.name}: pip install "popmac[sim]"') \
            from None
    arch = target(options.target)
    with tempfile.TemporaryDirectory() as empty:
        begin = time.perf_counter()
        build_board(arch, folder=empty)
        build = time.perf_counter() - begin

    graph = load(options.model or files("popmac") / "zoo" / "digits.tflite")
    rng   = np.random.default_rng(0)
    x     = {name: rng.integers(-128, 128, graph.tensors[name].shape)
             .astype(graph.tensors[name].dtype) for name in graph.inputs}
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
    result = {"target": arch.name, "build_seconds": build, "cycles_per_second": speed,
              "model": graph.name, "cycles": count, "int8_macs_per_cycle": arch.macs_per_cycle,
              "binary_macs_per_cycle": arch.binary_macs_per_cycle, "layers": layers}
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
