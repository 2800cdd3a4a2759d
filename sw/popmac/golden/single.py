"""The float32 arithmetic of onnxruntime's kernels on quantised tensors, on whole arrays.

Each step is rounded to single precision where the kernels round, and nowhere else. Codes are int8
here; where a file has uint8, ``offset`` is 128: the kernels see ``code + offset``, which decides
roundings as soon as a zero point enters in floating point.
"""

import numpy as np


__all__ = ["add_codes", "average_codes", "multiply_add", "multiply_codes", "part_codes",
           "round_even", "scale_codes", "softmax_codes"]


def round_even(values, zero_point=0):
    """int8 codes nearest to float32 ``values``, halves to even, plus ``zero_point``."""
    whole = np.clip(np.rint(values), -2.0**30, 2.0**30).astype(np.int64)
    return np.clip(whole + zero_point, -128, 127).astype(np.int8)


def scale_codes(sums, multiplier, zero_point):
    """``clamp(rint(float32(sum) * multiplier) + zero_point)``.

    Convolutions, matrix products and global averages; MLAS ``MlasRequantizeOutput``.

    Parameters
    ----------
    sums : ndarray of int64
    multiplier : ndarray of float32
    zero_point : int
    """
    with np.errstate(over="ignore"):
        return round_even(np.asarray(sums).astype(np.float32) * multiplier, zero_point)


def part_codes(codes, zero_point, part):
    """How many codes of a residue class are reached, less a constant.

    The sum of all parts is the code again.

    Parameters
    ----------
    codes : ndarray of int8
    zero_point : int
        Residues are those of the codes less this.
    part : (int, int) or None
        ``index`` and ``count``: count codes from -127 on that are ``index`` modulo ``count``, less
        ``128 // count``. ``count`` divides 128. ``None``: all ``codes``.
    """
    if part is None:
        return codes
    index, count = part
    steps = (np.arange(-128, 128) - zero_point) % count == index
    steps[0] = False # the lowest code is always reached
    return (np.cumsum(steps) - 128 // count)[codes.astype(np.int64) + 128].astype(np.int8)


def multiply_add(a, b, c):
    """``a * b + c`` of float32 numbers, rounded once, as processors with FMA do.

    In double precision the product is exact; the sum is rounded to odd, so that rounding it to
    single precision is as good as rounding the exact one.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend  = np.asarray(c, np.float64)
    total   = product + addend
    part    = total - product
    error   = (product - (total - part)) + (addend - part)
    even    = (total.view(np.int64) & 1) == 0
    odd     = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where((error != 0) & even, odd, total).astype(np.float32)


def add_codes(first, second, scales, zero_points, offset):
    """Codes of ``first + second``; MLAS ``MlasQLinearAdd`` with FMA.

    Parameters
    ----------
    first, second : ndarray of int8
    scales : (float32, float32, float32)
        Of both operands and of the result.
    zero_points : (int, int, int)
        Likewise.
    offset : int
    """
    a, b  = (np.float32(scale) / np.float32(scales[2]) for scale in scales[:2])
    zeros = [np.float32(zero + offset) for zero in zero_points]
    constant = zeros[2] - multiply_add(zeros[0], a, b * zeros[1])
    inner = multiply_add(second.astype(np.float32) + np.float32(offset), b, constant)
    return round_even(multiply_add(first.astype(np.float32) + np.float32(offset), a, inner),
                      -offset)


def multiply_codes(products, scales, zero_point, offset):
    """Codes of products of centred codes; MLAS ``MlasQLinearMul``.

    Parameters
    ----------
    products : ndarray of int64
        ``(x1 - z1) * (x2 - z2)``.
    scales : (float32, float32, float32)
        Of both operands and of the result.
    zero_point, offset : int
    """
    ratio = np.float32(scales[0]) * np.float32(scales[1]) / np.float32(scales[2])
    zero  = np.float32(zero_point + offset)
    return round_even(products.astype(np.float32) * ratio + zero, -offset)


def average_codes(views, counts, scales, zero_points, offset):
    """Codes of averages of real values, summed up in the order of ``views``.

    onnxruntime's ``QLinearAveragePool``.

    Parameters
    ----------
    views : sequence of ndarray of int64
        Codes less their zero point, one array per tap; 0 outside of the image.
    counts : ndarray of int
        What the sums are divided by.
    scales : (float32, float32)
        Of the input and of the output.
    zero_points : int
        Of the output.
    offset : int
    """
    total = np.float32(0)
    for view in views:
        total = total + view.astype(np.float32) * np.float32(scales[0])
    real = total / counts.astype(np.float32) / np.float32(scales[1])
    return round_even(real + np.float32(zero_points + offset), -offset)


def softmax_codes(codes, scale, output_scale, output_zero):
    """Codes of the softmax along the last axis; onnxruntime's ``QLinearSoftmax``.

    Exponentials come from a table in which the greatest one is as large as their sum allows.

    Parameters
    ----------
    codes : ndarray of int8
    scale, output_scale : float32
    output_zero : int
    """
    length  = codes.shape[-1]
    largest = np.finfo(np.float32).max / np.float32(length)
    shift   = max(0.0, float(np.log(np.float64(largest))) - 5) / float(scale)
    table   = np.exp((np.arange(256) - 255 + shift) * float(scale)).astype(np.float32)
    terms   = table[codes.astype(np.int64) - codes.max(axis=-1, keepdims=True) + 255]
    total   = np.float32(0)
    for index in range(length): # one after the other: this is where it is rounded
        total = total + terms[..., index]
    factor = np.floor(np.float32(1) / np.float32(output_scale))
    return round_even(terms * factor / total[..., None], output_zero)
