"""Products of matrices on devices, against numpy's."""

import numpy as np
import pytest

import popmac
from popmac.program import SumSegment


KINDS = {"int8": np.arange(-128, 128), "4 bits": np.arange(-8, 8), "2 bits": np.arange(-2, 2),
         "ternary": np.array([-1, 0, 1]), "bits": np.array([0, 1]), "binary": np.array([-1, 1])}


def matrices(rng, kind, rows, inner, columns):
    """Random ones, whose first row and outer columns are extreme."""
    values = KINDS[kind]
    a, w   = (rng.choice(values, shape).astype(np.int8) for shape in
              ((rows, inner), (inner, columns)))
    a[0]    = values[0]
    w[:, 0], w[:, -1] = values[0], values[-1]
    return a, w


def product(a, w):
    return a.astype(np.int64) @ w.astype(np.int64)


def last_session(device):
    return list(device._matrices._kept.values())[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("url, sizes", [
    ("golden:tiny", [(1, 1, 1), (2, 17, 5), (18, 40, 9)]),
    ("golden:ulx3s-85f", [(1, 5, 3), (3, 130, 70), (17, 64, 16)]),
    ("sim:tiny?link=fast", [(2, 17, 5)]),
])
def test_products_are_exact(rng, url, sizes, kind):
    with popmac.open(url) as device:
        for size in sizes:
            a, w = matrices(rng, kind, *size)
            y    = device.matmul(a, w)
            assert y.dtype == np.int32
            np.testing.assert_array_equal(y, product(a, w), err_msg=str(size))


def test_parts_of_large_matrices_add_up(rng, monkeypatch):
    monkeypatch.setattr("popmac.driver.matmul._MAX_PART", 24)
    with popmac.open("golden:tiny") as device:
        a, w = matrices(rng, "int8", 2, 51, 29)
        np.testing.assert_array_equal(device.matmul(a, w), product(a, w))
        assert len(device._matrices._kept) == 6


def test_weights_that_do_not_fit_come_in_pages(rng):
    with popmac.open("golden:tiny") as device:
        words = device.arch.all_weight_words
        inner = 4 * device.arch.rows
        a, w  = matrices(rng, "int8", 3, inner, (words // 4 + 2) * device.arch.columns)
        np.testing.assert_array_equal(device.matmul(a, w), product(a, w))
        assert len(last_session(device).program.pages) > 1


def test_more_axes_and_one(rng):
    with popmac.open("golden:tiny") as device:
        a, w = matrices(rng, "int8", 6, 7, 5)
        np.testing.assert_array_equal(device.matmul(a.reshape(2, 3, 7), w),
                                      product(a, w).reshape(2, 3, 5))
        np.testing.assert_array_equal(device.matmul(a[1].tolist(), w.tolist()), product(a, w)[1])


def test_weights_are_compiled_once_and_make_room(rng):
    with popmac.open("golden:tiny") as device:
        a, w = matrices(rng, "int8", 1, 16, 8)
        device.matmul(a, w)
        first = last_session(device)
        device.matmul(a + 1, w.copy())
        assert last_session(device) is first
        half = device.arch.all_weight_words // 2 // (16 // device.arch.rows)
        for _ in range(3): # the oldest ones make room, and come back when they are needed
            device.matmul(*matrices(rng, "int8", 1, 16, half * device.arch.columns))
        assert not first.loaded
        np.testing.assert_array_equal(device.matmul(a, w), product(a, w))


def test_few_bits_are_done_bit_by_bit(rng):
    with popmac.open("golden:ulx3s-85f") as device:
        for kind, one in [("binary", True), ("2 bits", True), ("int8", False)]:
            device.matmul(*matrices(rng, kind, 1, 256, 64))
            program = last_session(device).program
            assert ("device, bits" in program.report()) == one, kind
            assert any(isinstance(s, SumSegment) for s in program.segments) != one


def test_cycles_are_the_devices(rng):
    with popmac.open("sim:tiny?link=fast") as device:
        device.matmul(*matrices(rng, "int8", 2, 17, 5))
        session  = last_session(device)
        counters = session.counters
        layer,   = counters["layers"]
        runs     = len(session.program.segments[0].shifts)
        assert runs == 3 and counters["cycles"] == layer["cycles"] > 0
        assert session.program.layers[0].cycles == pytest.approx(layer["cycles"], rel=0.1)


@pytest.mark.parametrize("a, w, message", [
    (np.zeros((2, 3)), np.zeros((3, 2), int), "a must be integers"),
    (np.zeros((2, 3), int), np.full((3, 2), 128), "w must be integers from -128 to 127"),
    (np.zeros((2, 3), int), np.zeros((2, 3), int), r"a must be \(\.\.\., inner\)"),
    (np.zeros((2, 0), int), np.zeros((0, 3), int), r"a must be \(\.\.\., inner\)"),
    (np.zeros(3, int), np.zeros(3, int), r"a must be \(\.\.\., inner\)"),
    (np.zeros((1, 1 << 17), int), np.zeros((1 << 17, 1), int), "may not fit in 32 bits"),
])
def test_other_operands_are_refused(a, w, message):
    with popmac.open("golden:tiny") as device:
        with pytest.raises(popmac.PopmacError, match=message):
            device.matmul(a, w)
