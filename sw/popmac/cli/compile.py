"""Compile a model into a program for a target."""

import json

from ..compiler import compile_model
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite, .onnx)")
    parser.add_argument("--target", default="ulx3s-85f", help="default: %(default)s")
    parser.add_argument("-o", "--output", metavar="FILE", help="program file to write (.popmac)")


def execute(options):
    """Run the command."""
    program = compile_model(options.model, options.target)
    if options.output:
        program.save(options.output)
    if options.json:
        print_json({
            "target": program.arch.name, "fingerprint": f"{program.fingerprint:08x}",
            "layers": [json.loads(json.dumps(vars(layer))) for layer in program.layers],
            "fallbacks": [vars(fallback) for fallback in program.fallbacks],
            "macs": program.macs, "macs_on_device": program.macs_on_device,
            "weight_words": len(program.weights), "program_rows": program.resident_rows,
            "cycles": sum(layer.cycles for layer in program.layers),
        })
    else:
        print(program.report())
