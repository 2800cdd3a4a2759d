"""Weights as digits of -1 and +1, which the binary engine multiplies by."""

from dataclasses import dataclass

import numpy as np

from ..isa import Doubling


__all__ = ["Digits"]


@dataclass(frozen=True)
class Digits:
    """How the weights of a layer are sums of digits, from the highest one to the lowest.

    ``factor * weight`` is the sum of ``value * sign``. The values are powers of two; where there
    are even weights, there is one more digit of value 1, as two of these make 0 of each other.

    Parameters
    ----------
    bits : int
        Digits whose values differ.
    plain : bool
        There is one more.
    """

    bits:  int
    plain: bool

    @classmethod
    def of(cls, weights):
        """Those of the fewest digits for ``weights``, an array of int."""
        most = int(np.abs(np.asarray(weights, np.int64)).max(initial=0))
        if np.all(np.asarray(weights) & 1):
            return cls(max(most.bit_length(), 1), False)
        return cls(max(most - 1, 0).bit_length() + 1, True)

    @property
    def count(self):
        """Digits of a weight."""
        return self.bits + self.plain

    @property
    def factor(self):
        """What weights are multiplied by to be sums of digits."""
        return 1 + self.plain

    @property
    def total(self):
        """Sum of the values of all digits."""
        return (1 << self.bits) - 1 + self.plain

    @property
    def doubling(self):
        """How the engine gets from the sums of a digit to those of the next."""
        if self.count == 1:
            return Doubling.NEVER
        return Doubling.BUT_LAST if self.plain else Doubling.ALWAYS

    def signs(self, weights):
        """Signs of the digits, -1 and +1: an array of int8 with an axis more, the first one."""
        weights = np.asarray(weights, np.int64)
        if not self.plain:
            last, rest = [], weights
        else:
            sign = np.where(weights == 1 << self.bits - 1, 1, -1)
            last, rest = [sign], 2 * weights - sign
        index = rest + (1 << self.bits) - 1 >> 1
        signs = [(index >> bit & 1) * 2 - 1 for bit in reversed(range(self.bits))]
        return np.stack([*signs, *last]).astype(np.int8)
