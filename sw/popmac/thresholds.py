"""Thresholds that may be replaced in a compiled program: they are data, not structure."""

from dataclasses import dataclass

import numpy as np

from . import isa
from .arch import ACCUMULATOR_BITS
from .errors import InputError


__all__ = ["Thresholds"]


_SIZE = isa.ROW_BYTES // 2 # bytes of the parameters of a channel


@dataclass(frozen=True, kw_only=True, eq=False)
class Thresholds:
    """Thresholds of a layer whose results have two levels.

    A result is the upper level if its sum, in the model's units, is at least the threshold of its
    channel.

    Parameters
    ----------
    values : ndarray of int32 (channels,)
    low, high : ndarray of int32 (channels,)
        Least and greatest sum.
    step : int
        Sums differ by multiples of this; the layer counts them.
    block : int
        Channels of an output block, of which each has parameters for all columns of the array.
    scale : int
        What the layer counts for each.
    """

    values: np.ndarray
    low:    np.ndarray
    high:   np.ndarray
    step:   int
    block:  int
    scale:  int = 1

    def checked(self, values, name):
        """Other thresholds as an array of int32 (channels,).

        Raises
        ------
        InputError
            If they are not whole numbers, or not as many as there are channels.
        """
        values = np.asarray(values)
        if values.dtype.kind not in "iu" or values.shape not in (self.values.shape,
                                                                 (len(self.values), 1)):
            raise InputError(f"thresholds of {name!r} must be {len(self.values)} integers, one per "
                             f"channel, not {values.dtype} {values.shape}")
        limits = np.iinfo(np.int32)
        return np.clip(values.reshape(-1), limits.min, limits.max).astype(np.int32)

    def units(self, values):
        """What the layer's count is at least where sums reach ``values``, less a constant."""
        low, high = self.low.astype(np.int64), self.high.astype(np.int64)
        return np.clip(-((low - values) // self.step), 0, (high - low) // self.step + 1) \
            * self.scale

    def replaced(self, rows, values, columns):
        """Parameters of the channels with other thresholds.

        Parameters
        ----------
        columns : int
            Of the array.
        rows : ndarray of uint8 (n, isa.ROW_BYTES)
            Rows of the program with the parameters of all channels, in order.
        values : ndarray of int32 (channels,)

        Returns
        -------
        ndarray of uint8 (n, isa.ROW_BYTES)
        """
        result = rows.copy().reshape(-1, _SIZE)
        change = self.units(self.values) - self.units(values)
        for channel in np.flatnonzero(change):
            place = channel // self.block * columns + channel % self.block
            old   = isa.ChannelParameters.decode(int.from_bytes(result[place].tobytes(), "little"))
            bias  = (old.bias + int(change[channel]) + 2**(ACCUMULATOR_BITS - 1)) \
                % 2**ACCUMULATOR_BITS - 2**(ACCUMULATOR_BITS - 1)
            new   = isa.ChannelParameters(**{**vars(old), "bias": bias})
            result[place] = np.frombuffer(new.encode().to_bytes(_SIZE, "little"), np.uint8)
        return result.reshape(rows.shape)
