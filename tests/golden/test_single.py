"""Arithmetic in single precision; :mod:`tests.compiler.test_quantized_onnx` has the runtime's."""

from fractions import Fraction

import numpy as np
import pytest

from popmac.golden.single import multiply_add, part_codes, round_even, scale_codes


def nearest_single(exact):
    """float32 number nearest to a fraction, halves to even; normal numbers only."""
    if not exact:
        return np.float32(0)
    exponent = 0
    while abs(exact) * Fraction(2)**-exponent >= 2**24:
        exponent += 1
    while abs(exact) * Fraction(2)**-exponent < 2**23:
        exponent -= 1
    return np.float32(round(exact * Fraction(2)**-exponent)) * np.float32(2)**np.float32(exponent)


def test_multiply_add_rounds_once(rng):
    a = rng.integers(-255, 256, 2000).astype(np.float32)
    b = (2.0**rng.uniform(-12, 3, 2000)).astype(np.float32)
    c = (rng.normal(size=2000) * 2.0**rng.uniform(-30, 10, 2000)).astype(np.float32)
    # Sums just beside the middle of two numbers, which rounding twice gets wrong.
    b[:500], c[:500] = np.float32(1 + 2**-23), (2.0**-rng.integers(1, 60, 500)).astype(np.float32)
    expected = [nearest_single(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
                for x, y, z in zip(a, b, c)]
    np.testing.assert_array_equal(multiply_add(a, b, c), expected)


def test_halves_are_rounded_to_even():
    values = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, 1e9, -1e9], np.float32)
    np.testing.assert_array_equal(round_even(values), [-2, -2, 0, 0, 2, 2, 126, 127, -128])
    np.testing.assert_array_equal(round_even(values, 100),
                                  [98, 98, 100, 100, 102, 102, 127, 127, -128])


def test_products_are_rounded_before_they_are_made_whole():
    # 2.5 + 2**-23 is no float32 number: the sum counts as 2.5, which becomes 2.
    multiplier = np.float32(2.5 / (2**23 + 1))
    exact = float(multiplier) * (2**23 + 1)
    assert scale_codes(np.array([2**23 + 1]), multiplier, 0)[0] == \
        np.rint(np.float32(exact)) == 2


@pytest.mark.parametrize("count", [1, 2, 4, 128])
@pytest.mark.parametrize("zero_point", [-128, -127, -1, 0, 3, 126, 127])
def test_parts_of_codes(zero_point, count):
    codes = np.arange(-128, 128).astype(np.int8)
    parts = [part_codes(codes, zero_point, (i, count)).astype(int) for i in range(count)]
    np.testing.assert_array_equal(sum(parts), codes)
    for index, values in enumerate(parts):
        assert values[0] == -128 // count
        rises = np.flatnonzero(np.diff(values)) + 1 - 128 # codes that count
        assert np.all((rises - zero_point) % count == index)
        assert np.all(np.diff(values) >= 0)
    assert part_codes(codes, zero_point, None) is codes
