import numpy as np
import pytest

from popmac.compiler.digits import Digits
from popmac.isa import Doubling


@pytest.mark.parametrize("weights, count", [
    ([-1, 1], 1), ([-1, 0, 1], 2), ([0], 2), ([-3, -1, 1, 3], 2), (range(-2, 2), 3),
    (range(-2, 3), 3), (range(-4, 4), 4), (range(-7, 8), 5), (range(-8, 8), 5), (range(-8, 9), 5),
    ([-15, 15], 4), ([5, 0], 5), (range(-128, 129), 9),
], ids=str)
def test_digits_add_up_to_weights(weights, count):
    digits = Digits.of(np.array(weights))
    signs  = digits.signs(weights)
    assert digits.count == len(signs) == count
    assert np.all(np.abs(signs) == 1)
    sums   = np.zeros(len(weights), int)
    for i, sign in enumerate(signs): # as the engine does it
        doubles = {Doubling.NEVER: False, Doubling.ALWAYS: True,
                   Doubling.BUT_LAST: i < len(signs) - 1}[digits.doubling]
        sums = (2 * sums if doubles else sums) + sign
    np.testing.assert_array_equal(sums, digits.factor * np.array(weights))
    most = np.zeros(1, int) + sum(2**i for i in range(digits.bits)) + digits.plain
    assert digits.total == most
