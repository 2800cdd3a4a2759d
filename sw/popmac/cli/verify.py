"""Compare every tensor of a model on a device with its reference runtime."""

import importlib

from ..arch import target
from ..driver.urls import parse_url
from ..errors import PopmacError
from ..models import load
from ..verify import verify
from .inputs import load_inputs
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite, .onnx)")
    parser.add_argument("--device", default="sim:ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--inputs", required=True, metavar="F.npz",
                        help="samples; arrays are named as the model's inputs, or x")
    parser.add_argument("--wave", metavar="F.vcd",
                        help="if the device differs, write the signals of the simulated board "
                             "around the moment in which the first such element is written")


def execute(options):
    """Run the command; 1 if there is a difference."""
    kind, place, settings = parse_url(options.device)
    if options.wave and kind != "sim":
        raise PopmacError(f"--wave shows signals of simulated boards (sim:TARGET), and "
                          f"{options.device} is none")
    graph  = load(options.model)
    inputs = load_inputs(options.inputs, graph.inputs)
    result = verify(options.model, options.device, inputs)
    found  = result.first_difference
    if not options.json:
        print(result)
    wave = None
    if options.wave and found and found.stage == "device":
        simulation = importlib.import_module("popmac_sim.wave")
        board      = importlib.import_module("popmac_sim.board")
        wave = simulation.record(
            options.wave, graph, inputs, found,
            lambda: board.open_board(target(place), recording=True, **settings))
    if options.json:
        print_json(result.as_dict() | ({"wave": wave and wave.as_dict()} if options.wave else {}))
    elif options.wave:
        print(wave or f"{options.wave} is not written: the device has no difference to show")
    return 0 if result.bit_exact else 1
