"""The systolic array, step by step."""

import numpy as np

from ..arch import ACCUMULATOR_BITS


__all__ = ["wrap", "column_sums", "combined_planes", "engine_excess", "equal_bits",
           "inner_product_excess", "tap_sums"]


def wrap(values, bits):
    """Two's complement integers of ``bits`` bits that are equal to ``values`` modulo 2**bits."""
    half = 1 << bits - 1
    return (np.asarray(values, np.int64) + half & (1 << bits) - 1) - half


def inner_product_excess(weights):
    """What the array adds for given weights whatever the activations: the sum of ``w0*w1``.

    Parameters
    ----------
    weights : ndarray of int8 (..., rows, columns)

    Returns
    -------
    ndarray of int64 (..., columns)
    """
    weights = np.asarray(weights, np.int64)
    return (weights[..., 0::2, :] * weights[..., 1::2, :]).sum(axis=-2)


def engine_excess(weights, arch):
    """What the engine of ``arch`` adds for given weights: :func:`inner_product_excess`, or 0.

    Parameters and results are those of :func:`inner_product_excess`.
    """
    excess = inner_product_excess(weights)
    return excess if arch.engine == "systolic" else np.zeros_like(excess)


def tap_sums(taps, weights):
    """Sums of words times the weights of the upper row of each row pair, column by column.

    Parameters
    ----------
    taps : ndarray of int8 (..., words, rows)
        Columns that there are no bytes for have none.
    weights : ndarray of int8 (..., rows, columns)

    Returns
    -------
    ndarray of int64 (..., columns)
    """
    words, count = taps.shape[-2:]
    sums = np.zeros((*taps.shape[:-2], weights.shape[-1]), np.int64)
    sums[..., :count] = (taps.astype(np.int64)
                         * np.asarray(weights, np.int64)[..., :2*words:2, :count]).sum(axis=-2)
    return sums


def column_sums(windows, weights, first, valid, taps=None):
    """What the accumulators hold after each step.

    Parameters
    ----------
    windows : ndarray of int8 (steps, rows)
    weights : ndarray of int8 (steps, rows, columns)
    first, valid : ndarray of bool (steps,)
    taps : ndarray of int8 (steps, words, rows), optional
        Activations of each column, one word per row pair: see :class:`popmac.isa.Unit`.

    Returns
    -------
    ndarray of int64 (steps, columns)
    """
    windows = np.asarray(windows, np.int64)
    sums    = np.einsum("sr,src->sc", windows, np.asarray(weights, np.int64))
    sums   += inner_product_excess(weights)
    if taps is not None:
        sums += tap_sums(taps, weights)
    held    = np.zeros(sums.shape[1], np.int64)
    out     = np.zeros_like(sums)
    for step, (row, is_first, is_valid) in enumerate(zip(sums, first, valid)):
        if is_valid:
            held = row if is_first else wrap(held + row, ACCUMULATOR_BITS)
        out[step] = held
    return out


def equal_bits(words, weights, factors=None):
    """What the binary engine counts.

    Parameters
    ----------
    words : ndarray of int8 (pixels, steps, planes, rows)
    weights : ndarray of int8 (pixels, steps, rows, columns)
    factors : sequence of int (steps,), optional
        How often each step counts, if not once.

    Returns
    -------
    ndarray of int64 (pixels, planes, columns)
        Bits that a word and a column of weights have in common, over the steps of a pixel.
    """
    if factors is not None:
        factors = np.asarray(factors)
        return sum(factor * equal_bits(words[:, factors == factor], weights[:, factors == factor])
                   for factor in np.unique(factors))
    pixels, _, planes, _ = words.shape
    bits    = _bits(words.transpose(0, 2, 1, 3).reshape(pixels, planes, -1))
    columns = _bits(weights.transpose(0, 3, 1, 2).reshape(pixels, weights.shape[-1], -1))
    # Of +1 and -1, the sum of products is the number of equal ones less that of others.
    if (columns == columns[0]).all():
        products = (bits.reshape(pixels * planes, -1) @ columns[0].T).reshape(pixels, planes, -1)
    else:
        products = bits @ columns.transpose(0, 2, 1)
    return ((products + bits.shape[-1]) // 2).astype(np.int64)


def combined_planes(sums, count):
    """Sums of activations from those of their bits.

    Parameters
    ----------
    sums : ndarray of int64 (pixels, planes, columns)
    count : int
        Planes that are the bits of one activation, the highest one first.

    Returns
    -------
    ndarray of int64 (pixels, planes / count, columns)
    """
    pixels, planes, columns = sums.shape
    factors = 1 << np.arange(count)[::-1]
    return np.einsum("pgbc,b->pgc", sums.reshape(pixels, planes // count, count, columns), factors)


def _bits(octets):
    """Bits of the last axis, as +1 and -1."""
    return np.unpackbits(np.ascontiguousarray(octets).view(np.uint8), axis=-1).astype(np.float32) \
        * 2 - 1
