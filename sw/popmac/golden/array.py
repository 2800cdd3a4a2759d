"""The systolic array, step by step."""

import numpy as np

from ..arch import ACCUMULATOR_BITS


__all__ = ["wrap", "column_sums", "inner_product_excess", "tap_sums"]


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
