"""Run a model or a program on a device."""

from pathlib import Path

import numpy as np

from ..driver.urls import open_device
from ..errors import PopmacError
from ..models import load
from ..program import Program
from .inputs import load_inputs
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL|PROGRAM", help="model file, or .popmac program")
    parser.add_argument("--device", default="sim:ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--inputs", required=True, metavar="F.npz",
                        help="samples; arrays are named as the model's inputs, or x")
    parser.add_argument("-o", "--output", metavar="F.npz", help="file for the results")


def execute(options):
    """Run the command."""
    if Path(options.model).suffix == ".popmac":
        program = Program.load(options.model)
        inputs  = load_inputs(options.inputs, program.graph.inputs)
        device  = open_device(options.device)
    else:
        program = load(options.model)
        inputs  = load_inputs(options.inputs, program.inputs)
        device  = open_device(options.device)
    with device:
        session  = device.load(program)
        begin    = device.link.time()
        results  = session.run_many(inputs)
        seconds  = device.link.time() - begin
        counters = session.counters
        clock    = device.arch.clock_hz
    names = [info.name for info in session.outputs]
    if not isinstance(results, dict):
        results = {names[0]: results}
    if options.output:
        try:
            np.savez_compressed(options.output, **results)
        except OSError as error:
            raise PopmacError(f"{options.output}: {error.strerror}") from None
    samples = len(results[names[0]])
    if options.json:
        print_json({"samples": samples, "seconds": seconds, "outputs": {
            name: {"shape": list(array.shape), "dtype": array.dtype.name}
            for name, array in results.items()}, "counters": dict(counters)})
        return
    print_table(f"last of {samples} samples", ["layer", "operator", "where", ">cycles", ">MACs"],
                [(row["name"], row["op"], row["where"], row["cycles"], row["macs"])
                 for row in counters["layers"]])
    cycles = counters["cycles"]
    print(f"{cycles:,} cycles, {cycles / clock * 1e6:,.1f} us at {clock / 1e6:g} MHz; link: "
          f"{counters['link_bytes_in']:,} bytes in, {counters['link_bytes_out']:,} bytes out")
    if seconds:
        print(f"with the link: {seconds / samples * 1e6:,.1f} us per sample")
