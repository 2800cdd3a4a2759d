"""Arithmetic that could be wrong in one case of a billion, for all operands."""

import z3


def test_fast_inner_product_is_two_products():
    a0, a1, w0, w1 = z3.Ints("a0 a1 w0 w1")
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add((a0 + w1) * (a1 + w0) - a0 * a1 - w0 * w1 != a0 * w0 + a1 * w1)
    assert solver.check() == z3.unsat
