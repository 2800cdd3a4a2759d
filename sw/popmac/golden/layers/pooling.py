"""Reductions: over a moving window, or over whole axes."""

import numpy as np

from ..arithmetic import (
    activation_range,
    divide_away,
    quantize_multiplier,
    real_multiplier,
    rescale,
    saturate,
    single_multiplier,
)
from ..single import average_codes, part_codes, scale_codes
from .registry import operator
from .windows import taps


__all__ = ["average_pool_2d", "max_pool_2d", "mean", "mean_multiplier", "reduce_max",
           "reduce_min"]


@operator("AveragePool2D", "int8 -> int8")
def average_pool_2d(output, x, *, kernel, strides, padding, activation, rounding="codes",
                    count_padding=False, offset=0):
    """``y = clamp(sum / n)`` over the ``n`` taps inside of the image, halves away from zero.

    On codes: neither scales nor zero points enter.
    TensorFlow Lite's ``reference_integer_ops::AveragePool``. With a ``rounding`` of ``"single"``
    it is :func:`popmac.golden.single.average_codes`; ``count_padding`` counts all taps.
    """
    window = {"strides": strides, "padding": padding}
    if rounding == "single":
        inside = np.full((1, *x.values.shape[1:3], 1), 1)
        counts = sum(taps(inside, kernel, fill=int(count_padding), **window))
        return average_codes(taps(x.centred, kernel, **window), counts,
                             (x.scale, output.scale[0]), output.zero_point[0], offset)
    sums   = sum(taps(x.values.astype(np.int64), kernel, **window))
    counts = sum(taps(np.ones((1, *x.values.shape[1:3], 1), np.int64), kernel, **window))
    low, high = activation_range(activation, output.scale[0], output.zero_point[0])
    # The kernel adds n // 2, not n / 2, which is the same for odd n: there are no halves then.
    return np.clip(divide_away(sums, counts), low, high).astype(np.int8)


@operator("MaxPool2D", "int8 -> int8")
def max_pool_2d(output, x, *, kernel, strides, padding, activation):
    """``y = clamp(max(x))`` over the taps inside of the image.

    TensorFlow Lite's ``reference_integer_ops::MaxPool``.
    """
    views = taps(x.values, kernel, strides=strides, padding=padding, fill=-128)
    low, high = activation_range(activation, output.scale[0], output.zero_point[0])
    return np.clip(np.maximum.reduce(views), low, high)


def mean_multiplier(real, count):
    """Mantissa and exponent of ``real / count``, as the kernel of ``Mean`` makes them.

    The mantissa of ``real`` is divided by ``count`` after it was shifted left by ``k`` bits, the
    most that keeps it in 64 bits and the exponent above -32; what is left over is cut off.

    Parameters
    ----------
    real : float
        ``sx / sy``.
    count : int
        How many values the mean is taken of.
    """
    mantissa, exponent = (int(part) for part in quantize_multiplier(real))
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return (mantissa << shift) // count, exponent - shift


@operator("Mean", "int8 -> int8")
def mean(output, x, *, axes, keep_dims, rounding="fixed", part=None):
    """``y = clamp(rescale(sum(x) - n * zx, sx / sy / n) + zy)``, see :func:`mean_multiplier`.

    TensorFlow Lite's ``reference_ops::QuantizedMeanOrSum``. With a ``rounding`` of ``"single"``
    the multiplier is ``sx / (sy * n)`` in float32: onnxruntime's ``QLinearGlobalAveragePool``.
    """
    count = int(np.prod([x.values.shape[axis] for axis in axes], dtype=np.int64))
    sums  = x.values.astype(np.int64).sum(axis=axes, keepdims=keep_dims)
    if rounding == "single":
        multiplier = single_multiplier(x.scale, divisor=output.scale[0] * np.float32(count))
        zero_point = int(output.zero_point[0])
        codes = scale_codes(sums - count * x.zero_point, multiplier, zero_point)
        return part_codes(codes, zero_point, part)
    mantissa, exponent = mean_multiplier(real_multiplier(x.scale, divisor=output.scale[0]), count)
    codes = rescale(sums - count * x.zero_point, mantissa, exponent)
    return saturate(codes + output.zero_point[0], np.int8)


@operator("ReduceMax")
def reduce_max(output, x, *, axes, keep_dims):
    """Greatest code along ``axes``. TensorFlow Lite's ``reference_ops::ReduceGeneric``."""
    return x.values.max(axis=axes, keepdims=keep_dims)


@operator("ReduceMin")
def reduce_min(output, x, *, axes, keep_dims):
    """Least code along ``axes``. TensorFlow Lite's ``reference_ops::ReduceGeneric``."""
    return x.values.min(axis=axes, keepdims=keep_dims)
