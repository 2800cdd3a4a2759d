"""Functions of one and of two operands, value by value."""

import math

import tflite

from ....golden.arithmetic import MultiplierError, quantize_multiplier, single_multiplier
from .call import reader


@reader("ADD", "SUB", "MUL")
def _arithmetic(call):
    kind, op = {"ADD": (tflite.AddOptions, "Add"), "SUB": (tflite.SubOptions, "Sub"),
                "MUL": (tflite.MulOptions, "Mul")}[call.op]
    options = call.options(kind)
    return op, _broadcast(call), {"activation": call.activation(options)}


@reader("MINIMUM", "MAXIMUM", "PRELU")
def _elementwise(call):
    op = {"MINIMUM": "Minimum", "MAXIMUM": "Maximum", "PRELU": "Prelu"}[call.op]
    inputs = _broadcast(call)
    call.copies(inputs[0])
    call.require(op != "Prelu" or inputs[0].shape == call.output.shape,
                 f"its slopes have shape {inputs[1].shape}")
    return op, inputs, {}


def _broadcast(call):
    first, second = call.operands(2)
    sizes = [(1,) * (len(other.shape) - len(one.shape)) + one.shape
             for one, other in ((first, second), (second, first))]
    call.require(all(a == b or 1 in (a, b) for a, b in zip(*sizes)),
                 f"its operands have shapes {first.shape} and {second.shape}")
    call.require(first.dtype == second.dtype,
                 f"its operands are of types {first.dtype} and {second.dtype}")
    call.makes([a if b == 1 else b for a, b in zip(*sizes)])
    return [first, second]


@reader("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "HARD_SWISH",
         "QUANTIZE", "DEQUANTIZE")
def _unary(call):
    x, = call.operands(1)
    call.makes(x.shape)
    scaled = x.dtype == call.output.dtype == "int8" and None not in (x.scale, call.output.scale)
    if call.op == "LOGISTIC" and scaled:
        call.require(call.output.zero_point[0] == -128 and call.output.scale[0] == 1 / 256,
                     "its output must have a scale of 1/256 and a zero point of -128")
    if call.op == "HARD_SWISH" and scaled:
        real = single_multiplier(1 / 128, x.scale[0], divisor=call.output.scale[0])
        call.require(_exponent(call, real) <= 0, "its output's scale is too small")
    op = {"RELU": "Relu", "RELU6": "Relu6", "RELU_N1_TO_1": "ReluN1To1",
          "RELU_0_TO_1": "Relu0To1", "LOGISTIC": "Logistic", "TANH": "Tanh",
          "HARD_SWISH": "HardSwish", "QUANTIZE": "Quantize", "DEQUANTIZE": "Dequantize"}[call.op]
    return op, [x], {}


def _exponent(call, real):
    try:
        return quantize_multiplier(real)[1]
    except MultiplierError as error:
        return call.require(False, str(error))


@reader("LEAKY_RELU")
def _leaky_relu(call):
    alpha = call.options(tflite.LeakyReluOptions).Alpha()
    x, = call.operands(1)
    call.require(math.isfinite(alpha), f"it has a slope of {alpha}")
    call.makes(x.shape)
    return "LeakyRelu", [x], {"alpha": alpha}


@reader("SOFTMAX")
def _softmax(call):
    beta = call.options(tflite.SoftmaxOptions).Beta()
    x, = call.operands(1)
    call.require(len(x.shape) > 0 and min(x.shape) > 0, f"its input has shape {x.shape}")
    call.require(math.isfinite(beta) and beta > 0, f"it has a beta of {beta}")
    call.makes(x.shape)
    output = call.output
    if x.dtype == output.dtype == "int8" and x.scale is not None and output.scale is not None:
        call.require(output.zero_point[0] == -128
                     and abs(float(output.scale[0]) * 256 - 1) <= 0.001,
                     "its output must have a scale of 1/256 and a zero point of -128")
        call.require(beta * float(x.scale[0]) * 2**26 > 1, "its input's scale is too small")
    return "Softmax", [x], {"beta": beta}
