"""Compare every tensor of a model on a device with its reference runtime."""

from ..models import load
from ..verify import verify
from .inputs import load_inputs
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite)")
    parser.add_argument("--device", default="sim:ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--inputs", required=True, metavar="F.npz",
                        help="samples; arrays are named as the model's inputs, or x")


def execute(options):
    """Run the command; 1 if there is a difference."""
    inputs = load_inputs(options.inputs, load(options.model).inputs)
    result = verify(options.model, options.device, inputs)
    if options.json:
        print_json(result.as_dict())
    else:
        print(result)
    return 0 if result.bit_exact else 1
