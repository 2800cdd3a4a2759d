"""Element-wise operations of two tensors, which are broadcast as numpy does."""

import numpy as np

from ..arithmetic import (
    activation_range,
    quantize_multiplier,
    rescale,
    saturate,
    single_multiplier,
)
from ..single import add_codes, multiply_codes
from .registry import operator


__all__ = ["add", "maximum", "minimum", "mul", "prelu", "sub", "sum_codes", "sum_multipliers"]


def sum_multipliers(first, second, output):
    """Multipliers of both operands and of the sum, as (mantissa, exponent) each.

    With ``T = 2 * max(first, second)`` they stand for ``first / T``, ``second / T`` and
    ``T / (2**20 * output)``.

    Parameters
    ----------
    first, second, output : float32
        Scales.
    """
    twice = 2 * np.float64(max(first, second))
    return (quantize_multiplier(np.float64(first) / twice),
            quantize_multiplier(np.float64(second) / twice),
            quantize_multiplier(twice / (2.0**20 * np.float64(output))))


def _sum(output, first, second, sign, activation):
    of_first, of_second, of_sum = sum_multipliers(first.scale, second.scale, output.scale[0])
    total = (rescale(first.centred << 20, *of_first)
             + sign * rescale(second.centred << 20, *of_second))
    low, high = activation_range(activation, output.scale[0], output.zero_point[0])
    return np.clip(rescale(total, *of_sum) + output.zero_point[0], low, high).astype(np.int8)


@operator("Add", "int8 int8 -> int8")
def add(output, first, second, *, activation, rounding="fixed", offset=0):
    """``y = clamp(rescale(t1 + t2) + zy)`` with ``t = rescale((x - z) << 20)``.

    See :func:`sum_multipliers`. TensorFlow Lite's ``reference_integer_ops::Add``. With a
    ``rounding`` of ``"single"`` it is :func:`popmac.golden.single.add_codes`.
    """
    if rounding == "single":
        return add_codes(first.values, second.values,
                         (first.scale, second.scale, output.scale[0]),
                         (first.zero_point, second.zero_point, int(output.zero_point[0])), offset)
    return _sum(output, first, second, 1, activation)


@operator("Sub", "int8 int8 -> int8")
def sub(output, first, second, *, activation):
    """As :func:`add` with ``t1 - t2``. TensorFlow Lite's ``reference_ops::Sub``."""
    return _sum(output, first, second, -1, activation)


@operator("Mul", "int8 int8 -> int8")
def mul(output, first, second, *, activation, rounding="fixed", offset=0):
    """``y = clamp(rescale((x1 - z1) * (x2 - z2), s1 * s2 / sy) + zy)``.

    The multiplier is computed in single precision.
    TensorFlow Lite's ``reference_integer_ops::Mul``. With a ``rounding`` of ``"single"`` it is
    :func:`popmac.golden.single.multiply_codes`.
    """
    if rounding == "single":
        return multiply_codes(first.centred * second.centred,
                              (first.scale, second.scale, output.scale[0]),
                              int(output.zero_point[0]), offset)
    multiplier = quantize_multiplier(single_multiplier(first.scale, second.scale,
                                                       divisor=output.scale[0]))
    low, high  = activation_range(activation, output.scale[0], output.zero_point[0])
    codes = rescale(first.centred * second.centred, *multiplier) + output.zero_point[0]
    return np.clip(codes, low, high).astype(np.int8)


@operator("Minimum")
def minimum(output, first, second):
    """Lesser code. TensorFlow Lite's ``reference_ops::MaximumMinimumBroadcastSlow``."""
    return np.minimum(first.values, second.values)


@operator("Maximum")
def maximum(output, first, second):
    """Greater code. TensorFlow Lite's ``reference_ops::MaximumMinimumBroadcastSlow``."""
    return np.maximum(first.values, second.values)


@operator("SumCodes", "int8 int8 -> int8")
def sum_codes(output, first, second):
    """Sum of the codes as they are; see :func:`popmac.golden.single.part_codes`."""
    return saturate(first.values.astype(np.int64) + second.values, np.int8)


@operator("Prelu", "int8 int8 -> int8")
def prelu(output, x, slope):
    """``rescale(v, sx / sy)`` for ``v = x - zx >= 0``, else ``rescale(v * a, sx * sa / sy)``.

    With ``a`` the code of the slope less its zero point. The multipliers are computed in single
    precision. TensorFlow Lite's ``reference_ops::BroadcastPrelu4DSlow``.
    """
    positive = quantize_multiplier(single_multiplier(x.scale, divisor=output.scale[0]))
    negative = quantize_multiplier(single_multiplier(x.scale, slope.scale,
                                                     divisor=output.scale[0]))
    codes = np.where(x.centred >= 0, rescale(x.centred, *positive),
                     rescale(x.centred * slope.centred, *negative))
    return saturate(codes + output.zero_point[0], np.int8)
