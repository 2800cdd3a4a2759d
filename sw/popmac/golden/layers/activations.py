"""Functions of one code: each is a table of 256 entries."""

import numpy as np

from ..arithmetic import (
    activation_range,
    divide_by_power,
    high_product,
    quantize_multiplier,
    rescale,
    round_away,
    saturate,
    single_multiplier,
)
from .registry import operator


__all__ = ["hard_swish", "leaky_relu", "logistic", "lookup", "relu", "tanh"]


def _clamped(activation):
    def clamped(output, x):
        multiplier = quantize_multiplier(single_multiplier(x.scale, divisor=output.scale[0]))
        low, high  = activation_range(activation, output.scale[0], output.zero_point[0])
        codes = rescale(x.centred, *multiplier) + output.zero_point[0]
        return np.clip(codes, low, high).astype(np.int8)
    return clamped


#: ``y = clamp(rescale(x - zx, sx / sy) + zy)``, with a multiplier in single precision.
#: TensorFlow Lite's ``optimized_ops::ReluX``.
relu         = operator("Relu",       "int8 -> int8")(_clamped("relu"))
relu6        = operator("Relu6",      "int8 -> int8")(_clamped("relu6"))
relu_n1_to_1 = operator("ReluN1To1",  "int8 -> int8")(_clamped("relu_n1_to_1"))
relu_0_to_1  = operator("Relu0To1",   "int8 -> int8")(_clamped("relu_0_to_1"))


@operator("LeakyRelu", "int8 -> int8")
def leaky_relu(output, x, *, alpha):
    """``rescale(v, sx / sy)`` for ``v = x - zx >= 0``, else ``rescale(v, sx * alpha / sy)``.

    The multipliers are computed in single precision.
    TensorFlow Lite's ``reference_ops::QuantizeLeakyRelu``.
    """
    positive = quantize_multiplier(single_multiplier(x.scale, divisor=output.scale[0]))
    negative = quantize_multiplier(single_multiplier(x.scale, alpha, divisor=output.scale[0]))
    codes = np.where(x.centred >= 0, rescale(x.centred, *positive), rescale(x.centred, *negative))
    return saturate(codes + output.zero_point[0], np.int8)


def _tabulated(function, output, x):
    """Codes of ``function`` of real values, as ``LUTPopulate`` makes them in single precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = function(x.scale * x.centred.astype(np.float32))
        codes  = np.clip(np.nan_to_num(result * (np.float32(1) / output.scale[0])), -1024, 1024)
    return saturate(round_away(codes).astype(np.int64) + output.zero_point[0], np.int8)


def _single(function, values):
    """``function`` of float32 ``values``, rounded once.

    Mathematics libraries may be off by a unit in the last place, which would matter at ties.
    """
    return function(values.astype(np.float64)).astype(np.float32)


@operator("Logistic", "int8 -> int8")
def logistic(output, x):
    """``y = clamp(round(256 / (1 + exp(-r))) - 128)`` with ``r = (x - zx) * sx``.

    Each step is rounded to single precision, which decides ties.
    TensorFlow Lite's ``LUTPopulate`` in ``SigmoidPrepare``.
    """
    return _tabulated(lambda real: 1 / (1 + _single(np.exp, -real)), output, x)


@operator("Tanh", "int8 -> int8")
def tanh(output, x):
    """``y = clamp(round(tanh((x - zx) * sx) / sy) + zy)``.

    TensorFlow Lite's ``LUTPopulate`` in ``TanhPrepare``.
    """
    return _tabulated(lambda real: _single(np.tanh, real), output, x)


def _high_half(mantissa):
    """16-bit multiplier from one of 32 bits. ``DownScaleInt32ToInt16Multiplier``."""
    return np.minimum((mantissa + 2**15) >> 16, 2**15 - 1)


def _shift_left(values, amount):
    return np.clip(values << amount, -2**15, 2**15 - 1)


@operator("HardSwish", "int8 -> int8")
def hard_swish(output, x):
    """``x * min(max(x + 3, 0), 6) / 6`` in 16-bit fixed point.

    With ``h = (x - zx) << 7``, two numbers of 16 bits are made: ``p``, which is ``h`` on the
    scale of the output but for a shift, and ``g``, which is ``x / 3`` limited to -1 ... 1 and then
    halved and moved to 0 ... 1. Their product, shifted, is the result.
    TensorFlow Lite's ``reference_ops::HardSwish``.
    """
    hires = x.centred << 7
    output_mantissa, output_exponent = quantize_multiplier(
        single_multiplier(1 / 128, x.scale, divisor=output.scale[0]))
    relu_mantissa, relu_exponent = quantize_multiplier(
        single_multiplier(1 / 128, x.scale, divisor=3 / 32768))

    preshift = high_product(hires, _high_half(output_mantissa), bits=16)
    gate = _shift_left(hires, max(relu_exponent - 1, 0))
    gate = high_product(gate, _high_half(relu_mantissa), bits=16)
    gate = _shift_left(gate, 1) if relu_exponent > 0 else gate
    gate = divide_by_power(gate, max(-relu_exponent, 0))
    gate = (gate + 2**15) >> 1
    product = gate * preshift
    # C's division rounds towards zero.
    product = np.sign(product) * (np.abs(product) >> 15)
    return saturate(divide_by_power(product, -output_exponent) + output.zero_point[0], np.int8)


@operator("Lookup", "int8 int8 -> int8", "int8 float32 -> float32")
def lookup(output, x, values):
    """Entry ``code + 128`` of a table of 256 constants: what the reference makes of each code."""
    return values.values[x.values.astype(np.int64) + 128]
