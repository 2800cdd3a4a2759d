"""From sums to results, as the lanes of the requantiser compute them."""

import numpy as np

from ..arch import ACCUMULATOR_BITS
from .array import wrap


__all__ = ["requantize", "requantize_pair"]


def _limit(values, shift, zero_point, low, high):
    return np.clip((values >> shift) + zero_point, low, high).astype(np.int8)


def requantize(sums, parameters, *, zero_point, low, high):
    """Results of sums.

    Parameters
    ----------
    sums : ndarray of int (..., channels)
    parameters : mapping of str to ndarray of int64 (channels,)
        The fields of :class:`popmac.isa.ChannelParameters`.

    Returns
    -------
    ndarray of int8 (..., channels)
    """
    acc    = wrap(np.asarray(sums, np.int64) + parameters["bias"], ACCUMULATOR_BITS)
    offset = np.where(acc < 0, parameters["offset_negative"], parameters["offset_positive"])
    # 28 bits times 25 bits plus 42 bits stay within 64 bits.
    return _limit(acc * parameters["multiplier"] + offset, parameters["shift"],
                  zero_point, low, high)


def requantize_pair(first, second, parameters, *, zero_point, low, high):
    """Results of pairs of operands.

    Parameters
    ----------
    first, second : ndarray of int (..., channels)
    parameters : mapping of str to ndarray of int64 (channels,)
        The fields of :class:`popmac.isa.PairParameters`.

    Returns
    -------
    ndarray of int8 (..., channels)
    """
    values = np.asarray(first, np.int64) * parameters["multiplier"] \
        + np.asarray(second, np.int64) * parameters["second_multiplier"] + parameters["offset"]
    return _limit(values, parameters["shift"], zero_point, low, high)
