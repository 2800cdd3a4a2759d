"""Carry chains compute the same when their zeros are gone."""

from itertools import product

from popmac_gateware.build.constants import fold_zeros


def outputs(table, values, carry):
    """Sum and carry of a position, as ``CCU2C`` of Yosys' ``cells_sim.v`` defines them."""
    a, b, c, d = values
    function   = table >> (a | b << 1 | c << 2 | d << 3) & 1
    generate   = table >> (a | b << 1) & 1
    return function ^ carry, carry if function else generate


def cell(table, connected):
    return {"type": "CCU2C", "parameters": {"INIT0": f"{table:016b}", "INIT1": f"{table:016b}"},
            "connections": {name + half: [value] for name, value in zip("ABCD", connected)
                            for half in "01"}}


def inputs(cell, half, values):
    """What is connected: constants, or the values of nets."""
    bits = [cell["connections"][name + half][0] for name in "ABCD"]
    return [int(bit) if isinstance(bit, str) else value for bit, value in zip(bits, values)]


def test_zeros_are_folded_into_the_functions(rng):
    for constants in product(["0", "1", 7], repeat=4):
        table  = int(rng.integers(1 << 16))
        before = cell(table, constants)
        after  = cell(table, constants)
        assert fold_zeros({"x": after}) == 2 * constants.count("0")
        for half in "01":
            folded = int(after["parameters"][f"INIT{half}"], 2)
            assert "0" not in [after["connections"][name + half][0] for name in "ABCD"]
            for carry, *values in product([0, 1], repeat=5):
                assert outputs(folded, inputs(after, half, values), carry) \
                    == outputs(table, inputs(before, half, values), carry)


def test_other_cells_stay_as_they_are():
    cells = {"x": {"type": "LUT4", "parameters": {"INIT": "0" * 16}, "connections": {"A": ["0"]}}}
    assert fold_zeros(cells) == 0
    assert cells["x"]["connections"] == {"A": ["0"]}
