"""The fixed-point arithmetic of TensorFlow Lite's reference kernels, on whole arrays.

Integers are int64 unless stated otherwise; every function is exact for the values that 32-bit
kernels can meet, and wraps where they wrap.
"""

import numpy as np

from ..errors import PopmacError


__all__ = ["ACTIVATIONS", "MultiplierError", "activation_range", "divide_away", "divide_by_power",
           "high_product", "quantize_multiplier", "real_multiplier", "rescale", "round_away",
           "saturate", "single_multiplier", "wrap32"]


#: Fused activations: the real values to which they clamp.
ACTIVATIONS = {
    "none":         (None, None),
    "relu":         (0.0, None),
    "relu6":        (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
    "relu_0_to_1":  (0.0, 1.0),
}


class MultiplierError(PopmacError, ValueError):
    """Scales so far apart that the reference kernels' 32-bit arithmetic is undefined."""


def wrap32(values):
    """Lowest 32 bits of ``values``, as a signed number."""
    return (np.asarray(values, np.int64) + 2**31) % 2**32 - 2**31


def saturate(values, dtype):
    """Nearest values that ``dtype`` can hold."""
    limits = np.iinfo(dtype)
    return np.clip(values, limits.min, limits.max).astype(dtype)


def round_away(values):
    """Nearest whole numbers; halves are rounded away from zero.

    C's ``round``, which :func:`numpy.round` is not. Exact in the type of ``values``: nothing is
    added to them before they are cut off.
    """
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.sign(values), 0).astype(whole.dtype)


def divide_away(dividend, divisor):
    """Nearest integers to the quotients; halves are rounded away from zero. ``divisor > 0``."""
    magnitude = (2 * np.abs(dividend) + divisor) // (2 * divisor)
    return np.where(dividend < 0, -magnitude, magnitude)


def divide_by_power(values, exponent):
    """``values / 2**exponent`` to the nearest integer, halves away from zero.

    gemmlowp's ``RoundingDivideByPOT``.
    """
    exponent = np.asarray(exponent, np.int64)
    half     = np.where(exponent > 0, 1 << np.maximum(exponent - 1, 0), 0)
    return (values + half - ((values < 0) & (exponent > 0))) >> exponent


def high_product(values, multiplier, bits=32):
    """``values * multiplier / 2**(bits-1)`` to the nearest integer, halves upwards.

    gemmlowp's ``SaturatingRoundingDoublingHighMul``, which saturates in one case: the most
    negative number times itself.
    """
    product = (values * multiplier + (1 << bits - 2)) >> bits - 1
    return np.minimum(product, 2**(bits - 1) - 1)


def real_multiplier(*factors, divisor):
    """Product of float32 scales over another, in double precision."""
    product = np.float64(1)
    for factor in factors:
        product = product * np.asarray(factor, np.float64)
    return product / np.float64(divisor)


def single_multiplier(*factors, divisor):
    """Product of float32 scales over another, each step in single precision."""
    with np.errstate(over="ignore"):
        product = np.float32(1)
        for factor in factors:
            product = product * np.float32(factor)
        return product / np.float32(divisor)


def quantize_multiplier(real):
    """Mantissas and exponents with ``real = mantissa * 2**(exponent - 31)``, nearly.

    TensorFlow Lite's ``QuantizeMultiplier``.

    Parameters
    ----------
    real : array_like of float

    Returns
    -------
    mantissa : ndarray of int64
        0, or of magnitude ``2**30`` to ``2**31 - 1``.
    exponent : ndarray of int64
        From -31 to 30.

    Raises
    ------
    MultiplierError
        If a multiplier is ``2**30`` or more.
    """
    real = np.asarray(real, np.float64)
    if not np.all(np.abs(real) < 2.0**31):
        raise _too_large(real)
    fraction, exponent = np.frexp(real)
    mantissa = round_away(fraction * 2.0**31).astype(np.int64)
    exponent = exponent.astype(np.int64)
    full     = np.abs(mantissa) == 2**31
    mantissa = np.where(full, mantissa // 2, mantissa)
    exponent = exponent + full
    flushed  = exponent < -31
    mantissa = np.where(flushed, 0, mantissa)
    exponent = np.where(flushed, 0, exponent)
    if np.any(exponent > 30):
        raise _too_large(real)
    return mantissa, exponent


def _too_large(real):
    return MultiplierError(f"the scales make a factor of {np.max(np.abs(real)):.3g}, "
                           f"which is too large for 32-bit arithmetic")


def rescale(values, mantissa, exponent):
    """``values * mantissa * 2**(exponent - 31)``, rounded twice.

    TensorFlow Lite's ``MultiplyByQuantizedMultiplier`` on int32: ``a = values << exponent`` if
    the exponent is positive, wrapped; then ``p = (a * mantissa + 2**30) >> 31``; then, if the
    exponent is negative, ``p / 2**-exponent`` to the nearest integer, halves away from zero.
    """
    values  = np.asarray(values, np.int64)
    shifted = wrap32(values << np.maximum(exponent, 0))
    return divide_by_power(high_product(shifted, mantissa), np.maximum(-exponent, 0))


def activation_range(activation, scale, zero_point, dtype="int8"):
    """Lowest and highest code after a fused activation.

    TensorFlow Lite's ``CalculateActivationRangeQuantized``.

    Parameters
    ----------
    activation : str
        A key of :data:`ACTIVATIONS`.
    scale : float32
        Scale of the result.
    zero_point : int
        Zero point of the result.

    Raises
    ------
    MultiplierError
        If the scale is so small that the range does not fit in 32 bits.
    """
    limits = np.iinfo(dtype)
    bounds = []
    for real, limit, choose in zip(ACTIVATIONS[activation], (limits.min, limits.max), (max, min)):
        if real is None:
            bounds.append(limit)
            continue
        code = float(real) / float(scale)
        if abs(code) >= 2**31:
            raise MultiplierError(f"{real} is not representable at a scale of {scale:.3g}")
        code = round_away(np.float32(real) / np.float32(scale))
        bounds.append(choose(limit, int(zero_point) + int(code)))
    return tuple(bounds)
