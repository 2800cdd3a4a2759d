"""Quantise a float ONNX model to INT8.

The file written is an ordinary QDQ model of one sample. Operators that are quantised: Abs, Add,
AveragePool, BatchNormalization (folded), Clip, Concat, Conv, Elu, Erf, Exp, Flatten, Gemm,
GlobalAveragePool, HardSigmoid, HardSwish, LeakyRelu, MatMul, MaxPool, Mul, Neg, Pad, Relu, Reshape,
Selu, Sigmoid, Slice, Softmax, Softplus, Squeeze, Tanh, Transpose, Unsqueeze.
"""

from pathlib import Path

from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="float model (.onnx)")
    parser.add_argument("--inputs", required=True, metavar="CALIBRATION.npz",
                        help="samples; arrays are named as the model's inputs, or x")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.onnx", help="file to write")
    parser.add_argument("--per-tensor", action="store_true",
                        help="one scale for all weights of a layer, not one per output channel")
    parser.add_argument("--symmetric", action="store_true", help="ranges of activations around 0")
    parser.add_argument("--method", default="min-max",
                        choices=["min-max", "moving-average", "percentile", "mse"],
                        help="how ranges of activations are found; default: %(default)s")
    parser.add_argument("--percentile", type=float, default=99.99, metavar="P",
                        help="values that --method percentile keeps; default: %(default)s %%")
    parser.add_argument("--activations", default="uint8", choices=["uint8", "int8"],
                        help="type of the codes; default: %(default)s")
    parser.add_argument("--bias-correction", action="store_true",
                        help="take the mean error of the weights out of the biases")
    parser.add_argument("--weight-only", action="store_true", help="leave activations in float32")
    parser.add_argument("--power-of-two", action="store_true", help="scales are powers of two")


def execute(options):
    """Run the command."""
    from ..quantize import quantize

    quantize(options.model, options.inputs, options.output, per_channel=not options.per_tensor,
             symmetric=options.symmetric, method=options.method, percentile=options.percentile,
             activations=options.activations, bias_correction=options.bias_correction,
             weight_only=options.weight_only, power_of_two=options.power_of_two)
    before, after = (Path(path).stat().st_size for path in (options.model, options.output))
    if options.json:
        print_json({"output": options.output, "bytes_before": before, "bytes_after": after})
    else:
        print(f"{options.output}: {after:,} bytes, from {before:,} ({before / after:.2f} times as "
              "many)")
