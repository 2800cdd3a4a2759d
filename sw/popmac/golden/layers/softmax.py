"""Softmax in fixed point."""

import numpy as np

from ..arithmetic import (
    divide_by_power,
    high_product,
    quantize_multiplier,
    rescale,
    saturate,
    wrap32,
)
from ..single import softmax_codes
from .registry import operator


__all__ = ["softmax"]


# Numbers are written Qi.f after their integer and fractional bits; all have a sign besides.
SCALED_BITS = 5  # of the exponent's argument: Q5.26
SUM_BITS    = 12 # of the sum of exponentials: Q12.19


def _fixed(real, bits):
    """``real`` as a fixed-point number with ``bits`` fractional bits."""
    return round(real * 2**bits)


def _exp_on_interval(values):
    """Exponential of Q0.31 numbers from -1/4 up to, but not including, 0, as Q0.31.

    Taylor's series about -1/8, to the fourth power.
    gemmlowp's ``exp_on_interval_between_negative_one_quarter_and_0_excl``.
    """
    constant = _fixed(np.exp(-1 / 8), 31)
    x  = values + 2**28
    x2 = high_product(x, x)
    x3 = high_product(x2, x)
    x4 = high_product(x2, x2)
    third = _fixed(1 / 3, 31)
    series = divide_by_power(high_product(divide_by_power(x4, 2) + x3, third) + x2, 1)
    return constant + high_product(x + series, constant)


def _exp_on_negative(values):
    """Exponential of Q5.26 numbers that are not positive, as Q0.31.

    gemmlowp's ``exp_on_negative_values``: the part below a quarter by a series, the other bits by
    one multiplication each.
    """
    fraction = 31 - SCALED_BITS
    quarter  = 2**(fraction - 2)
    lowest   = (values & (quarter - 1)) - quarter
    result   = _exp_on_interval(lowest << SCALED_BITS)
    rest     = lowest - values
    for exponent in range(-2, SCALED_BITS):
        factor = _fixed(np.exp(-2.0**exponent), 31)
        bit    = rest & 2**(fraction + exponent)
        result = np.where(bit != 0, high_product(result, factor), result)
    return np.where(values == 0, 2**31 - 1, result)


def _reciprocal(values):
    """``1 / (1 + x)`` of Q0.31 numbers from 0 to 1, as Q0.31.

    Three steps of Newton's method from ``48/17 - 32/17 * d`` for ``d = (1 + x) / 2``, in Q2.29.
    gemmlowp's ``one_over_one_plus_x_for_x_in_0_1``.
    """
    half = (values + 2**31) // 2
    x = _fixed(48 / 17, 29) + high_product(half, _fixed(-32 / 17, 29))
    for _ in range(3):
        error = 2**29 - high_product(half, x)
        x = wrap32(x + (high_product(x, error) << 2))
    return np.minimum(x << 1, 2**31 - 1)


@operator("Softmax", "int8 -> int8")
def softmax(output, x, *, beta, rounding="fixed"):
    """``exp(beta * sx * (x - max)) / sum`` along the last axis, with a scale of 1/256.

    Differences so great that they do not fit in Q5.26 count as minus infinity.
    TensorFlow Lite's ``reference_ops::Softmax``, with ``PreprocessSoftmaxScaling``. With a
    ``rounding`` of ``"single"`` it is :func:`popmac.golden.single.softmax_codes`.
    """
    if rounding == "single":
        return softmax_codes(x.values, x.scale, output.scale[0], int(output.zero_point[0]))
    real = min(np.float64(np.float32(beta)) * np.float64(x.scale) * 2.0**(31 - SCALED_BITS),
               2.0**31 - 1)
    mantissa, exponent = quantize_multiplier(real)
    least = -((((1 << SCALED_BITS) - 1) << (31 - SCALED_BITS)) >> int(exponent))

    codes       = x.values.astype(np.int64)
    differences = codes - codes.max(axis=-1, keepdims=True)
    counted     = differences >= least
    exponentials = _exp_on_negative(rescale(np.where(counted, differences, 0),
                                            mantissa, exponent))
    sums = np.where(counted, divide_by_power(exponentials, SUM_BITS), 0)
    sums = sums.sum(axis=-1, keepdims=True)

    bits  = np.frexp(sums.astype(np.float64))[1]   # of the sum: 32 less its leading zeros
    zeros = 32 - bits
    scale = _reciprocal((sums << zeros) - 2**31)
    product = high_product(scale, exponentials)
    results = divide_by_power(product, SUM_BITS - zeros + 31 - 8) - 128
    return saturate(np.where(counted, results, -128), np.int8)
