"""Measure the accuracy of a model on a device, beside that of its reference runtime."""

from ..driver.urls import open_device
from ..evaluate import evaluate
from ..models import load
from .inputs import load_array, load_inputs
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite, .onnx)")
    parser.add_argument("--device", default="sim:ulx3s-85f?link=fast",
                        help="default: %(default)s")
    parser.add_argument("--inputs", required=True, metavar="F.npz",
                        help="samples; arrays are named as the model's inputs, or x")
    parser.add_argument("--labels", metavar="NAME",
                        help="array of the same file with the class of each sample")


def execute(options):
    """Run the command; 1 if a result differs from the reference's."""
    inputs = load_inputs(options.inputs, load(options.model).inputs)
    labels = load_array(options.inputs, options.labels) if options.labels else None
    with open_device(options.device) as device:
        result = evaluate(options.model, device, inputs, labels)
    if options.json:
        print_json(result.as_dict())
    else:
        if labels is not None:
            print(f"accuracy: {result.accuracy:.2%} on the device, "
                  f"{result.reference_accuracy:.2%} by {result.reference}")
        print(f"{result.equal:,} of {result.samples:,} samples have the reference's results")
        if result.cycles: # a golden device has no clock
            print(f"{result.cycles:,} cycles each, {result.cycles / result.clock_hz * 1e6:,.1f} us "
                  f"at {result.clock_hz / 1e6:g} MHz")
    return 0 if result.equal == result.samples else 1
