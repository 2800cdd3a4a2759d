"""Show where the cycles of a model go, layer by layer."""

from pathlib import Path

import numpy as np

from ..driver.urls import open_device
from ..errors import PopmacError
from ..models import load
from ..profile import profile
from ..profile_page import profile_page
from .inputs import load_inputs
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite, .onnx)")
    parser.add_argument("--device", default="sim:ulx3s-85f?link=fast",
                        help="default: %(default)s")
    parser.add_argument("--inputs", metavar="F.npz", help="samples, of which the first is run; "
                        "without them, zeros: the cycles are the same")
    parser.add_argument("--html", metavar="F", help="file for a page with plots")


def execute(options):
    """Run the command."""
    graph = load(options.model)
    if options.inputs:
        sample = {name: array[0] for name, array in
                  load_inputs(options.inputs, graph.inputs).items()}
    else:
        sample = {name: np.zeros(graph.tensors[name].shape, graph.tensors[name].dtype)
                  for name in graph.inputs}
    with open_device(options.device) as device:
        result = profile(device.load(graph), sample)
    if options.html:
        try:
            Path(options.html).write_text(profile_page(result), encoding="utf-8")
        except OSError as error:
            raise PopmacError(f"{options.html}: {error.strerror}") from None
    if options.json:
        print_json(result.as_dict())
        return
    print_table(f"{result.model} on {result.target}",
                ["layer", "operator", "where", ">cycles", ">predicted", ">MACs", ">array",
                 "bound by"],
                [(layer.name, layer.op, layer.where, layer.cycles, layer.predicted, layer.macs,
                  f"{layer.use:.0%}" if layer.macs else "", layer.bound.replace("_", " "))
                 for layer in result.layers])
    difference = result.cycles / result.predicted - 1
    print(f"{result.cycles:,} cycles, {result.cycles / result.clock_hz * 1e6:,.1f} us at "
          f"{result.clock_hz / 1e6:g} MHz ({difference:+.1%} against the prediction); link: "
          f"{result.link_seconds * 1e3:,.2f} ms")
