"""Integers of QONNX files: weights, codes of quantisers, sums, and thresholds between them."""

import numpy as np

from .qonnx_values import Refused


__all__ = ["check_exact", "input_thresholds", "quantiser_levels", "reach", "sum_thresholds",
           "weight_codes"]


MAX_REACHABLE = 1 << 25 # sums times channels that are evaluated at once

# Sums of float32 numbers are exact while they stay below.
_EXACT = 2**24


def weight_codes(kernel, scale):
    """Weights as integers, and their scale per output channel.

    Parameters
    ----------
    kernel : ndarray (output channels, ...)
    scale : ndarray or None
        Of the quantiser that they come from.

    Raises
    ------
    Refused
        If they are no multiples, of 8 bits, of a scale.
    """
    count = len(kernel)
    if scale is None or scale.size != 1:
        flat   = np.abs(kernel.reshape(count, -1))
        least  = np.where(flat > 0, flat, np.inf).min(axis=1)
        scale  = np.where(np.isfinite(least), least, 1)
        if np.all(kernel == np.rint(kernel)) and np.all(np.abs(kernel) <= 128):
            scale = np.ones(count)
    scale = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1), (count,))
    if not np.all(scale > 0):
        raise Refused("the scale of the weights is not positive", "quantise them again")
    codes = np.rint(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1)))
    back  = (codes * scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.float32)
    if not np.array_equal(back, kernel.astype(np.float32)) or np.any(np.abs(codes) > 127):
        raise Refused("the weights are not quantised to 8 bits or fewer",
                      "put a quantiser behind them")
    return codes.astype(np.int64), scale


def reach(x, kernel, *, padded):
    """Least and greatest sum of each output channel of codes, and the step between sums."""
    zero  = int(x.tensor.zero_point[0])
    low, high = min(x.levels) - zero, max(x.levels) - zero
    flat  = kernel.reshape(len(kernel), -1)
    ends  = np.stack([flat * low, flat * high])
    if padded:
        ends = np.concatenate([ends, np.zeros_like(ends[:1])])
    least, most = ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)
    bipolar = x.levels == (-1, 1) and zero == 0 and not padded and np.all(np.abs(flat) == 1)
    return least, most, 2 if bipolar else 1


def check_exact(x, kernel, scale, bias):
    """Refuse sums of codes that float32 may round, in an order that only the runtime knows.

    Parameters
    ----------
    x : Codes
    kernel : ndarray of int (output channels, ...)
    scale, bias : ndarray (output channels,)
        Of the sums.
    """
    zero  = int(x.tensor.zero_point[0])
    most  = np.abs(kernel.reshape(len(kernel), -1)).sum(axis=1) \
        * max(abs(level - zero) for level in x.levels)
    # Everything is a multiple of the least significant bit of either.
    unit  = np.minimum(_last_bit(scale), np.where(bias, _last_bit(bias), np.inf))
    if np.any((most * scale + np.abs(bias)) / unit >= _EXACT):
        raise Refused("the runtime's sums of these scales are rounded, in an order that only it "
                      "knows", "use scales that are powers of two, and quantise the bias")


def _last_bit(values):
    """Value of the least significant bit of float64 numbers that is 1."""
    mantissa, exponent = np.frexp(values)
    whole = np.abs(mantissa * 2**53).astype(np.int64)
    return np.ldexp((whole & -whole).astype(float), exponent - 53)


def quantiser_levels(op, attrs, numbers):
    """Scale, zero point, and codes of all values of a quantiser.

    Parameters
    ----------
    op : str
    attrs : dict
    numbers : list of ndarray
        Its inputs behind the first.
    """
    if op == "Sign":
        raise Refused("Sign gives 0 for 0", "use BipolarQuant")
    if op in ("BipolarQuant", "Quant") and any(n.size != 1 for n in numbers):
        raise Refused("activations have a scale per channel", "use one scale")
    if op == "BipolarQuant":
        return float(numbers[0].item()), 0, (-1, 1)
    if op == "Quant":
        scale, zero, bits = (float(n.item()) for n in numbers)
        signed, narrow = attrs.get("signed", 1), attrs.get("narrow", 0)
        low  = -2**(bits - 1) + narrow if signed else 0
        high = 2**(bits - 1) - 1 if signed else 2**bits - 1 - narrow
        if bits != int(bits) or zero != int(zero) or high - low > 255:
            raise Refused(f"a quantiser of {bits} bits", "use 8 bits or fewer")
        offset = 128 if high > 127 else 0
        return scale, int(zero) - offset, tuple(range(int(low) - offset, int(high) - offset + 1))
    scale = attrs.get("out_scale", 1.0)
    first = attrs.get("out_bias", 0.0) / scale
    count = numbers[0].shape[-1] + 1
    if first == int(first):
        codes, factor = range(int(first), int(first) + count), 1
    elif 2 * first == int(2 * first):
        codes, factor = range(int(2 * first), int(2 * first) + 2 * count, 2), 2
    else:
        raise Refused(f"out_bias {attrs['out_bias']} is no multiple of out_scale",
                      "use a multiple of half of it")
    codes  = tuple(codes)
    offset = 128 if codes[-1] > 127 else 0
    codes  = tuple(c - offset for c in codes)
    if codes[0] < -128 or codes[-1] > 127:
        raise Refused(f"a quantiser of {count} levels", "use 8 bits or fewer")
    return scale / factor, -offset, codes


def sum_thresholds(x, counts, number):
    """Kernel, with the signs of falling channels changed, and thresholds of its sums.

    Parameters
    ----------
    x : Sums
    counts : callable
        Index of the code of each real value of an ndarray of float32 (samples, channels).
    number : int
        Thresholds per channel.
    """
    channels = len(x.kernel)
    first, last = int(x.low.min()), int(x.high.max())
    sums     = np.arange(first, last + 1, x.step)
    if len(sums) * channels > MAX_REACHABLE:
        raise Refused(f"its sums take {len(sums)} values", "use fewer inputs or bits")
    reached  = counts((sums[:, None] * x.scale).astype(np.float32))
    # What a channel cannot reach does not count.
    inside   = (sums[:, None] >= x.low) & (sums[:, None] <= x.high)
    change   = np.diff(reached, axis=0) * (inside[1:] & inside[:-1])
    falling  = np.any(change < 0, axis=0)
    if np.any(falling & np.any(change > 0, axis=0)):
        raise Refused("its codes rise and fall again as the sums rise",
                      "use a monotonic activation")
    limits   = np.empty((channels, number), np.int64)
    for k in range(number):
        above = reached > k
        rising_at  = np.where(np.any(above & inside, axis=0), sums[np.argmax(
            above & inside, axis=0)], last + 1)
        # Falling: the greatest sum above, whose negative is the threshold.
        backwards  = (above & inside)[::-1]
        falling_at = np.where(np.any(backwards, axis=0),
                              -sums[::-1][np.argmax(backwards, axis=0)], -first + 1)
        limits[:, k] = np.where(falling, falling_at, rising_at)
    sign = np.where(falling, -1, 1).reshape(-1, *[1] * (x.kernel.ndim - 1))
    return x.kernel * sign, limits


def input_thresholds(reached, number):
    """Least float32 numbers of each code but the first.

    Parameters
    ----------
    reached : callable
        Index of the code of each value of an ndarray of float32 (samples,); it never falls.
    number : int
        Thresholds.
    """
    # Floating-point numbers in their order, as integers; bisection over all of them.
    limits = np.empty(number, np.float32)
    for k in range(number):
        low, high = -0x7f800000, 0x7f800000 # of -inf, inf
        while low < high:
            middle = (low + high) // 2
            if reached(_float(np.array([middle])))[0] > k:
                high = middle
            else:
                low = middle + 1
        limits[k] = _float(np.array([low]))[0]
    return limits


def _float(order):
    """Floating-point numbers from their places in the order of all of them."""
    order = np.asarray(order, np.int64)
    bits  = np.where(order < 0, 0x80000000 - order, order).astype(np.uint32)
    return bits.view(np.float32)
