"""Places of multipliers and memories, such that what belongs together is neighbouring.

Left alone, the placer piles the logic up around some of the blocks, and the router never finishes.
"""

import re


__all__ = ["floorplan"]


_ARRAY  = "core.accelerator.array"
_MEMORY = "core.accelerator.memory"
_LANES  = "core.accelerator.requantizer"
_ROWS   = "core.accelerator.program"


def floorplan(cells, arch, device):
    """Sites for the multipliers and memories of a core.

    ::

        row of multipliers    tile 6,0  tile 7,0            |  ... and the multipliers of the lanes,
        row of memories       the weights of each beside its multipliers; program between
           ...
        row of multipliers    tile 0,0  tile 1,0  tile 2,0  |  tile 0,1  tile 1,1  tile 2,1  | ...
        row of memories       weights
        row of memories       activations, far from each other: many wires leave them

    Activations reach the row pairs one cycle after the other, the nearest first.

    Cells that this does not know are left to the placer.

    Parameters
    ----------
    cells : dict
        Type of each cell of the netlist, by hierarchical name.
    arch : :class:`ArchConfig`
    device : :class:`Device`

    Returns
    -------
    dict
        Site of each cell, by name.

    Raises
    ------
    ValueError
        If the device has fewer blocks than the netlist.
    """
    blocks      = {kind: sorted((name for name in cells if cells[name] == kind), key=_natural)
                   for kind in ("MULT18X18D", "DP16KD")}
    multipliers = _Sites("multipliers", device.multiplier_rows, device.multipliers)
    memories    = _Sites("memories", device.memory_rows, device.memories)
    for kind, sites in (("MULT18X18D", multipliers), ("DP16KD", memories)):
        if len(blocks[kind]) > len(sites.free):
            raise ValueError(f"The design has {len(blocks[kind])} {sites.name}, the device only "
                             f"{len(sites.free)}")
    places = {}

    def place(kind, prefix, sites, x, y):
        for name in blocks[kind]:
            if name.startswith(prefix):
                places[name] = sites.take(x, y)

    # The array: as many row pairs in a row of multipliers as fit side by side.
    row_pairs    = arch.rows // 2
    column_pairs = arch.columns // 2
    row          = [x for x, _ in device.multipliers(device.multiplier_rows[0])]
    beside       = min(len(row) // (arch.columns + 1), row_pairs) # one more for the squares
    stride       = (len(row) - beside) // column_pairs
    west         = len(row) - stride * column_pairs
    rows         = device.multiplier_rows[:-(-row_pairs // beside)][::-1]
    used         = [rows[j // beside] for j in range(row_pairs)]
    weight_rows  = {y: min((r for r in device.memory_rows if r > y), default=None) for y in used}
    for j in range(row_pairs):
        for k in range(column_pairs):
            for i in range(2):
                x    = row[west + k * stride + 2 * (j % beside) + i]
                tile = f"{_ARRAY}.tile_{j}_{k}"
                place("MULT18X18D", f"{tile}.pe_{i}.", multipliers, x, used[j])
                place("DP16KD", f"{tile}.bank_{i}.", memories, x, weight_rows[used[j]])
    for j in range(row_pairs):
        place("MULT18X18D", f"{_ARRAY}.square_{j}.", multipliers, row[0], used[j])

    # Lanes: from west to east, as the sums arrive.
    for lane in range(arch.lanes):
        x = row[west + lane * stride * column_pairs // arch.lanes]
        place("MULT18X18D", f"{_LANES}.lane_{lane}.", multipliers, x, used[-1])

    # Bytes of the same position in all banks side by side, those of even banks and those of odd
    # ones: rotators select from these.
    beyond  = [y for y in device.memory_rows if y not in weight_rows.values()]
    columns = [x for x, _ in device.memories(beyond[0])]
    banks   = sorted((name for name in blocks["DP16KD"] if name.startswith(f"{_MEMORY}.bank_")),
                     key=_even_then_odd)
    program = [name for name in blocks["DP16KD"] if name.startswith(f"{_ROWS}.")]
    program.sort(key=lambda name: _natural(name)[::-1])
    spread  = len(columns) - len(columns) // 6 # what is at the east end has wires on one side only
    for i, name in enumerate(banks):
        places[name] = memories.take(columns[i * spread // len(banks)], beyond[0])
    for i, name in enumerate(reversed(program)): # what is left over is in the west
        places[name] = memories.take(columns[-1 - i * len(columns) // len(program)],
                                     weight_rows[used[-1]])
    return places


class _Sites:
    """Sites of one kind that are still free."""

    def __init__(self, name, rows, sites_of_row):
        self.name = name
        self.free = [(x, y, site) for y in rows for x, site in sites_of_row(y)]

    def take(self, x, y):
        """Name of the free site nearest to a place, which is not free any more."""
        nearest = min(self.free, key=lambda site: abs(site[0] - x) + 2*abs(site[1] - y))
        self.free.remove(nearest)
        return nearest[2]


def _even_then_odd(name):
    """Key that sorts blocks of banks by what they hold of a word, those of even banks first."""
    bank, *part = _natural(name)
    return part[::-1], bank % 2, bank


def _natural(name):
    """Key that sorts names by the numbers in them."""
    return [int(number) for number in re.findall(r"\d+", name)]
