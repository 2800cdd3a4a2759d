"""Constants that would be routed."""

__all__ = ["fold_zeros"]


_INPUTS = "ABCD" # by the bit of the index into the truth table


def fold_zeros(cells):
    """Make inputs of carry chains that are 0 inputs that are 1, which need no wire.

    An unconnected input reads 1; a 0 has to come from somewhere, and a single net brings it to all
    adders of the chip. So the truth table gets what it has for 0 in the places for 1. What a
    position generates as its carry is the part of the table for C = D = 0, at its A and B: that is
    right as well [1]_.

    Parameters
    ----------
    cells : dict
        Cells of a netlist by name, as Yosys writes them in JSON; changed in place.

    Returns
    -------
    int
        Number of inputs.

    References
    ----------
    .. [1] ``cells_sim.v`` of Yosys, module ``CCU2C``.
    """
    folded = 0
    for cell in cells.values():
        if cell["type"] != "CCU2C":
            continue
        for half in "01":
            table = int(cell["parameters"][f"INIT{half}"], 2)
            for bit, name in enumerate(_INPUTS):
                if cell["connections"].get(name + half) != ["0"]:
                    continue
                for index in range(16):
                    if index >> bit & 1:
                        value = table >> (index ^ 1 << bit) & 1
                        table = table & ~(1 << index) | value << index
                cell["connections"][name + half] = ["1"]
                folded += 1
            cell["parameters"][f"INIT{half}"] = f"{table:016b}"
    return folded
