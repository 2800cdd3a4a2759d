from fractions import Fraction

import numpy as np
import pytest

from popmac.golden import arithmetic


def c_round(value):
    """Nearest integer to an exact fraction, halves away from zero."""
    magnitude = (2 * abs(value) + 1) // 2
    return int(magnitude if value >= 0 else -magnitude)


@pytest.mark.parametrize("value, expected", [
    (0.5, 1), (-0.5, -1), (1.5, 2), (2.5, 3), (-2.5, -3), (2.4999999999999996, 2),
    (0.49999999999999994, 0), (-0.49999999999999994, 0), (2.0**52 + 1, 2.0**52 + 1), (0.0, 0),
])
def test_halves_are_rounded_away_from_zero(value, expected):
    assert arithmetic.round_away(np.float64(value)) == expected


def test_single_precision_is_rounded_in_single_precision():
    assert arithmetic.round_away(np.float32(0.49999997)) == 0
    assert arithmetic.round_away(np.float32(0.5)).dtype == np.float32


def test_wrap32():
    values = [2**31, -2**31 - 1, 2**32, 2**31 - 1, -2**31, 2**61 + 5]
    np.testing.assert_array_equal(arithmetic.wrap32(values),
                                  [-2**31, 2**31 - 1, 0, 2**31 - 1, -2**31, 5])


def test_divisions_round_halves_away_from_zero(rng):
    values = np.array([*range(-40, 41), *rng.integers(-2**31, 2**31, 200)])
    for divisor in (1, 2, 3, 4, 9, 64, 125, 1024):
        expected = [c_round(Fraction(v, divisor)) for v in values.tolist()]
        np.testing.assert_array_equal(arithmetic.divide_away(values, divisor), expected)
    for exponent in (0, 1, 2, 7, 31):
        expected = [c_round(Fraction(v, 2**exponent)) for v in values.tolist()]
        np.testing.assert_array_equal(arithmetic.divide_by_power(values, exponent), expected)


@pytest.mark.parametrize("bits", [16, 32])
def test_high_product(rng, bits):
    limits = -2**(bits - 1), 2**(bits - 1) - 1
    values = np.array([*limits, -1, 0, 1, *rng.integers(*limits, 200)])
    for multiplier in (*limits, 0, 2**(bits - 2), int(rng.integers(*limits))):
        # Halves upwards: the whole part of what is half more.
        expected = [min(int((Fraction(v * multiplier, 2**(bits - 1)) + Fraction(1, 2)) // 1),
                        limits[1]) for v in values.tolist()]
        np.testing.assert_array_equal(arithmetic.high_product(values, multiplier, bits), expected)


def test_multipliers_are_nearest(rng):
    reals = np.concatenate([2.0**rng.uniform(-30, 29, 500), 2.0**np.arange(-31, 30)])
    mantissa, exponent = arithmetic.quantize_multiplier(reals)
    assert np.all((mantissa >= 2**30) & (mantissa < 2**31))
    for m, e, real in zip(mantissa.tolist(), exponent.tolist(), reals.tolist()):
        assert m == c_round(Fraction(real) * Fraction(2)**(31 - e))


def test_multiplier_that_rounds_up_to_the_next_power():
    assert arithmetic.quantize_multiplier(1 - 2.0**-40) == (2**30, 1)


@pytest.mark.parametrize("real, expected", [(0.0, (0, 0)), (2.0**-33, (0, 0)),
                                            (2.0**-32, (2**30, -31)), (-0.75, (-3 * 2**29, 0))])
def test_special_multipliers(real, expected):
    assert arithmetic.quantize_multiplier(real) == expected


def test_multiplier_that_is_too_large_is_refused():
    with pytest.raises(arithmetic.MultiplierError, match="too large"):
        arithmetic.quantize_multiplier([0.5, 2.0**30])


def test_rescaling_rounds_twice(rng):
    values = np.array([0, 1, -1, 2**31 - 1, -2**31, *rng.integers(-2**31, 2**31, 100),
                       *rng.integers(-1000, 1000, 100)])
    for real in (1.0, 0.5, 0.3, 2.0**-20 * 1.7, 3.7, 2.0**-31, 200.0):
        mantissa, exponent = (int(part) for part in arithmetic.quantize_multiplier(real))
        expected = []
        for value in values.tolist():
            left = (value << max(exponent, 0)) + 2**31 & 2**32 - 1
            p = (left - 2**31) * mantissa + 2**30 >> 31
            expected.append(c_round(Fraction(p, 2**max(-exponent, 0))))
        np.testing.assert_array_equal(arithmetic.rescale(values, mantissa, exponent), expected)


@pytest.mark.parametrize("activation, expected", [
    ("none", (-128, 127)), ("relu", (10, 127)), ("relu6", (10, 70)), ("relu_n1_to_1", (0, 20)),
    ("relu_0_to_1", (10, 20)),
])
def test_activation_range(activation, expected):
    assert arithmetic.activation_range(activation, np.float32(0.1), 10) == expected


def test_activation_range_is_clipped():
    assert arithmetic.activation_range("relu6", np.float32(1e-6), -128) == (-128, 127)
    assert arithmetic.activation_range("relu6", np.float32(100), 127) == (127, 127)
    with pytest.raises(arithmetic.MultiplierError, match="not representable"):
        arithmetic.activation_range("relu6", np.float32(1e-12), 0)
