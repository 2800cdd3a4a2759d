from dataclasses import fields, replace

import numpy as np
import pytest

from popmac.compiler.requantize import FitError, Requantization, fit, prove
from popmac.compiler.rounding import (
    average_rounding,
    convolution_rounding,
    fit_average,
    fully_connected_rounding,
)


FIELDS = [field.name for field in fields(Requantization) if field.name != "zero_point"]


def results(requantization, acc, rounding):
    return requantization.apply(acc, low=rounding.low, high=rounding.high)


def assert_proved(requantization, rounding, acc_low, acc_high):
    prove(requantization, rounding.reference, acc_low, acc_high, low=rounding.low,
          high=rounding.high)


def random_rounding(rng, channels, low=-6, high=-1):
    make  = [convolution_rounding, fully_connected_rounding][rng.integers(2)]
    scale = np.float32(10.0**rng.uniform(-2, 0))
    return make(np.float32(0.01), 10.0**rng.uniform(low, high, channels).astype(np.float32),
                scale, int(rng.choice([-128, 0, 127, rng.integers(-128, 128)])),
                str(rng.choice(["none", "relu", "relu6"])))


def test_fit_agrees_on_every_value(rng):
    for _ in range(30):
        rounding = random_rounding(rng, 8)
        acc_low  = rng.integers(-20_000, 10, 8)
        acc_high = acc_low + rng.integers(0, 30_000, 8)
        fitted   = rounding.fit(acc_low, acc_high)
        acc      = acc_low + np.arange(30_000)[:, None]
        inside   = acc <= acc_high
        expected = rounding.reference(acc, np.arange(8))
        np.testing.assert_array_equal(results(fitted, acc, rounding)[inside], expected[inside])


def test_origin_is_moved_where_it_helps(rng):
    # All thresholds are at positive sums, and too exact for a multiplier of 25 bits.
    rounding = convolution_rounding(np.float32(0.01), 2.0**rng.uniform(-12, -10, 500) * 100,
                                    np.float32(1), -128, "relu")
    limit    = np.full(500, 2**22)
    fitted   = rounding.fit(-limit, limit)
    moved    = fitted.origin != 0
    assert 5 < moved.sum() < 495
    for channel in np.flatnonzero(moved)[:10]:
        acc = np.arange(-2**22, 2**22 + 1)[:, None]
        one = Requantization(**{field: getattr(fitted, field)[[channel]] for field in FIELDS},
                             zero_point=fitted.zero_point)
        np.testing.assert_array_equal(results(one, acc, rounding),
                                      rounding.reference(acc, np.array([channel])))


def test_origin_makes_room():
    # These sums would not fit in 28 bits.
    rounding = fully_connected_rounding(np.float32(1e-3), np.array([1], np.float32),
                                        np.float32(1), -60)
    acc_low, acc_high = np.array([-2**15]), np.array([2**27 + 5])
    fitted = rounding.fit(acc_low, acc_high)
    assert fitted.origin > 0
    acc = np.arange(-2**15, 2**20)[:, None]
    np.testing.assert_array_equal(results(fitted, acc, rounding),
                                  rounding.reference(acc, np.array([0])))


def test_wide_ranges_fit(rng):
    for _ in range(10):
        rounding = random_rounding(rng, 50, low=-1, high=0)
        acc_low  = rng.integers(-2**27, 0, 50)
        acc_high = rng.integers(0, 2**27, 50)
        fitted   = rounding.fit(acc_low, acc_high)
        acc      = rng.integers(acc_low, acc_high + 1, (20_000, 50))
        np.testing.assert_array_equal(results(fitted, acc, rounding),
                                      rounding.reference(acc, np.arange(50)))


@pytest.mark.parametrize("acc_low, acc_high", [(-300, 300), (0, 500), (-400, -1), (17, 300)])
def test_proof_accepts_what_agrees_and_nothing_else(rng, acc_low, acc_high):
    acc = np.arange(acc_low, acc_high + 1)[:, None]
    accepted = refused = 0
    for _ in range(15):
        rounding = random_rounding(rng, 1, low=-2, high=1)
        fitted   = rounding.fit(acc_low, acc_high)
        expected = rounding.reference(acc, np.array([0]))
        for field in FIELDS:
            value = getattr(fitted, field)
            for change in (-1, 1, *rng.integers(-50, 50, 4), *rng.integers(-2**20, 2**20, 2)):
                changed = replace(fitted, **{field: np.maximum(value + change, 0)
                                             if field in ("multiplier", "shift") else
                                             value + change})
                if changed.shift > 39 or changed.multiplier >= 2**25:
                    continue
                if np.array_equal(results(changed, acc, rounding), expected):
                    assert_proved(changed, rounding, acc_low, acc_high)
                    accepted += 1
                else:
                    with pytest.raises(FitError, match="channel 0: the fit differs"):
                        assert_proved(changed, rounding, acc_low, acc_high)
                    refused += 1
    assert accepted > 20 and refused > 20


@pytest.mark.parametrize("divisor", range(1, 8))
def test_proof_accepts_just_what_agrees_of_all_parameters(divisor):
    # A channel for each combination of small parameters.
    grid = np.meshgrid(range(6), range(4), range(-4, 9), range(-4, 9), (0, 2))
    candidates = Requantization(**{field: axis.ravel() for field, axis in zip(FIELDS, grid)},
                                zero_point=0)
    count    = len(candidates.shift)
    rounding = average_rounding(divisor, low=-3, high=3)
    acc      = np.arange(-9, 10)[:, None]
    agrees   = np.all(results(candidates, acc, rounding) == rounding.reference(acc, 0), axis=0)
    with pytest.raises(FitError) as caught:
        assert_proved(candidates, rounding, np.full(count, -9), np.full(count, 9))
    assert caught.value.channels == tuple(np.flatnonzero(~agrees))
    assert np.any(agrees) or divisor > 4


def test_changed_fits_of_layers_are_refused(rng):
    rounding = random_rounding(rng, 40, low=-2, high=-1)
    acc_low, acc_high = np.full(40, -2**18), np.full(40, 2**18)
    fitted   = rounding.fit(acc_low, acc_high)
    for field in FIELDS:
        for _ in range(10):
            channel = rng.integers(40)
            values  = getattr(fitted, field).copy()
            values[channel] += rng.choice([-1, 1]) * (2**rng.integers(18, 30)
                                                      if "offset" in field else 1)
            changed = replace(fitted, **{field: values})
            acc     = np.arange(-2**18, 2**18 + 1)[:, None]
            column  = [channel]
            one     = Requantization(**{f: getattr(changed, f)[column] for f in FIELDS},
                                     zero_point=fitted.zero_point)
            expected = rounding.reference(acc, np.array(column))
            if min(one.shift, one.multiplier) >= 0 \
                    and np.array_equal(results(one, acc, rounding), expected):
                assert_proved(changed, rounding, acc_low, acc_high)
            else:
                with pytest.raises(FitError) as caught:
                    assert_proved(changed, rounding, acc_low, acc_high)
                assert caught.value.channels == (channel,)


def test_smallest_shift_is_taken():
    fitted = fit_average(64)
    assert (fitted.multiplier, fitted.shift) == (1, 6)
    assert (fitted.offset_positive, fitted.offset_negative) == (32, 31)


def test_one_offset_is_taken_if_it_will_do():
    fitted = fit_average(9)
    assert fitted.offset_positive == fitted.offset_negative


def test_constant_channels_do_without_their_accumulator():
    rounding = convolution_rounding(np.float32(1e-4), np.array([1e-4, 1e-4], np.float32),
                                    np.float32(0.1), 5)
    fitted = rounding.fit([-1000, 2**31 - 5000], [1000, 2**31 - 4000])
    np.testing.assert_array_equal(fitted.is_constant, [True, True])
    np.testing.assert_array_equal(results(fitted, np.array([0, 0]), rounding),
                                  rounding.reference(np.array([0, 2**31 - 4500]),
                                                     np.array([0, 1])))


def test_wide_sums_are_refused_by_channel():
    rounding = convolution_rounding(np.float32(1e-2), np.full(3, 1e-5, np.float32),
                                    np.float32(0.1), 0)
    with pytest.raises(FitError, match="channel 1: sums do not fit in 28 bits") as caught:
        rounding.fit([-100, -2**28, 0], [100, 2**28, 2**27 - 1])
    assert caught.value.channels == (1,)


def test_overflow_in_the_reference_is_refused():
    rounding = convolution_rounding(np.float32(1), np.full(2, 64, np.float32), np.float32(1), 0)
    assert rounding.limit[0] < 2**25
    with pytest.raises(FitError, match="channel 1: sums overflow in the reference"):
        rounding.fit([-1000, -2**25], [1000, 0])


def test_rounding_that_has_no_fit_is_refused_by_channel():
    def steps(acc, channel):
        # Channel 1 has steps of 7 and 9 in turn, which no two lines have.
        uneven = 2 * (acc // 16) + (acc % 16 >= 7)
        return np.where(np.asarray(channel) == 1, uneven, acc // 8) + 0

    with pytest.raises(FitError, match="channel 1: no multiplier and offsets") as caught:
        fit(steps, np.zeros(3, int), np.full(3, 500), np.full(3, 1 / 8), zero_point=0, low=0,
            high=127)
    assert caught.value.channels == (1,)


def test_origin_stays_if_and_only_if_there_is_a_fit_with_it():
    # Compared with all multipliers, and the offsets that they leave.
    rng = np.random.default_rng(1)
    for _ in range(60):
        steps = np.sort(rng.choice(np.arange(1, 40), 4, replace=False))
        if rng.random() < 0.5:
            steps = np.sort(np.cumsum(rng.choice([7, 8], 4)) + rng.integers(3))

        def reference(acc, channel, steps=steps):
            return np.searchsorted(steps, acc, side="right")

        acc = np.arange(41)
        possible = []
        for shift in range(12):
            product = acc[None, :] * np.arange(2**shift + 1)[:, None]
            codes   = reference(acc, 0)
            lower   = np.where(codes > 0, (codes << shift) - product, -2**40).max(axis=1)
            upper   = np.where(codes < 4, (codes + 1 << shift) - 1 - product, 2**40).min(axis=1)
            if np.any(lower <= upper):
                possible.append(shift)
        try:
            fitted = fit(reference, [0], [40], [rng.choice([0.02, 0.1, 0.9])], zero_point=0,
                         low=0, high=4)
            if possible:
                assert (fitted.origin, fitted.shift) == (0, possible[0])
            else:
                assert fitted.origin != 0
        except FitError:
            assert not possible


@pytest.mark.parametrize("acc_low, acc_high", [(-2**27 - 1, 0), (0, 2**27)])
def test_proof_refuses_sums_that_do_not_fit(acc_low, acc_high):
    def saturated(acc, channel):
        return np.clip(acc, -5, 5)

    fitted = fit(saturated, [-10], [10], [1.0], zero_point=0, low=-5, high=5)
    prove(fitted, saturated, [-2**27], [2**27 - 1], low=-5, high=5)
    with pytest.raises(FitError, match="channel 0: sums do not fit in 28 bits"):
        prove(fitted, saturated, [acc_low], [acc_high], low=-5, high=5)


@pytest.mark.parametrize("field, value", [("multiplier", 2**25), ("multiplier", -1),
                                          ("shift", 40), ("shift", -1),
                                          ("offset_positive", 2**41),
                                          ("offset_negative", -2**41 - 1)])
def test_parameters_beyond_their_fields_are_refused(field, value):
    rounding = average_rounding(9)
    changed  = replace(fit_average(9), **{field: np.array([value])})
    with pytest.raises(FitError, match="do not fit in their fields"):
        assert_proved(changed, rounding, -9 * 128, 9 * 127)


def test_many_channels_are_named_in_short():
    error = FitError(range(20), "oh")
    assert str(error) == "channel 0, 1, 2, 3, 4, 5, 6, 7 and 12 more: oh"
    assert error.channels == tuple(range(20))
