"""Arithmetic that could be wrong in one case of a billion, for all operands."""

import z3

from popmac.arch import ACCUMULATOR_BITS
from popmac_gateware.requantize_lane import LOW, PARAMETERS


def test_fast_inner_product_is_two_products():
    a0, a1, w0, w1 = z3.Ints("a0 a1 w0 w1")
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add((a0 + w1) * (a1 + w0) - a0 * a1 - w0 * w1 != a0 * w0 + a1 * w1)
    assert solver.check() == z3.unsat


def test_four_products_are_accumulator_times_multiplier():
    """The first half of a requantiser lane; test_saturating_shift has the second."""
    low, high, lower, upper = z3.Ints("low high lower upper")
    half   = 1 << LOW
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add((low * lower + low * upper * half) + (high * lower + high * upper * half) * half
               != (low + high * half) * (lower + upper * half))
    assert solver.check() == z3.unsat


def test_no_sum_of_a_lane_wraps():
    """Widths of its registers hold all values, and blocks and logic take all operands."""
    multiplier, offset = (PARAMETERS[name].shape for name in ("multiplier", "offset_positive"))
    accumulator = ACCUMULATOR_BITS - 1 # without its sign
    greatest    = (1 << multiplier.width) - 1
    assert not multiplier.signed and multiplier.width - LOW == 8 and LOW < 18
    # Of a sum, the lower part has no sign; of a pair, it has.
    assert ((1 << LOW) - 1) * greatest < 1 << (LOW + 1 + multiplier.width - 1)
    assert (1 << accumulator - LOW) * greatest < 1 << (ACCUMULATOR_BITS - LOW
                                                       + multiplier.width - 1)
    total = (1 << accumulator) * greatest + (1 << offset.width - 1)
    pair  = ((1 << LOW - 1) + (1 << accumulator - LOW)) * greatest + (1 << offset.width - 1)
    assert max(total, pair) < 1 << (ACCUMULATOR_BITS + multiplier.width)
