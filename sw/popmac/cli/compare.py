"""Compare a float model with what it becomes in fewer bits, on a device."""

from pathlib import Path

from ..errors import PopmacError
from .inputs import load_array, load_inputs
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="float model (.onnx)")
    parser.add_argument("variants", metavar="VARIANT", nargs="*",
                        help="quantised models for the same inputs, of any format")
    parser.add_argument("--device", default="sim:ulx3s-85f?link=fast",
                        help="default: %(default)s")
    parser.add_argument("--inputs", required=True, metavar="F.npz",
                        help="samples; arrays are named as the float model's inputs, or x")
    parser.add_argument("--labels", metavar="NAME",
                        help="array of the same file with the class of each sample")
    parser.add_argument("--calibration", metavar="C.npz",
                        help="samples to quantise with; default: the same as are measured")
    parser.add_argument("--html", metavar="F", help="file for a page with plots")


def execute(options):
    """Run the command."""
    from ..compare import compare, comparison_page
    from ..compare.page import HEAD, cells
    from ..quantize.float_model import input_shapes, load_float

    names  = tuple(input_shapes(load_float(options.model)))
    inputs = load_inputs(options.inputs, names)
    labels = load_array(options.inputs, options.labels) if options.labels else None
    calibration = load_inputs(options.calibration, names) if options.calibration else None
    result = compare(options.model, options.variants, options.device, inputs, labels, calibration)
    if options.html:
        try:
            Path(options.html).write_text(comparison_page(result), encoding="utf-8")
        except OSError as error:
            raise PopmacError(f"{options.html}: {error.strerror}") from None
    if options.json:
        print_json(result.as_dict())
        return
    shown = [i for i, name in enumerate(HEAD) if name != "measured on"]
    print_table(f"{result.model}: {result.samples:,} samples",
                [HEAD[i] for i in shown], [[cells(row)[i] for i in shown] for row in result.rows])
    for row in result.rows:
        if row.problem:
            print(f"{row.name} is not on the device: {row.problem}")
        elif row.worst:
            decibels = {layer.name: layer.sqnr for layer in row.layers}
            print(f"{row.name}, worst layers: " + ", ".join(
                f"{name} {decibels[name]:.1f} dB" for name in row.worst))
    print(f"rows from INT8 down: {result.rows[-1].where}, cycles counted by it, at "
          f"{result.clock_hz / 1e6:g} MHz; float rows: {result.runtime}, float16 emulated")
    print(f"INT8 was calibrated with {result.calibration}; sha256 of samples and labels: "
          f"{result.sha256[:16]}")
