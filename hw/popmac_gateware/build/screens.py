"""Places that stay empty where wires are scarce."""

import re


__all__ = ["screens"]


_BANK = "core.accelerator.memory.bank_"

#: Binary planes from which on what selects their words is more than the wires there can take.
_PLANES = 4

#: Rows behind the banks of the activation memory; the chips have as many.
_ROWS = 11


def screens(places, arch, device):
    """Lookup tables that do nothing, in half of the places behind the activation memory.

    What selects words from the banks has more inputs than other logic. The placer, which counts
    places and not wires, packs it until the router finds no way in.

    Parameters
    ----------
    places : dict
        As :func:`floorplan` returns it.
    arch : :class:`ArchConfig`
    device : :class:`Device`

    Returns
    -------
    dict
        Cells by name, as Yosys writes them in JSON.
    """
    if arch.planes < _PLANES:
        return {}
    row   = max(int(re.search(r"/Y(\d+)/", site)[1])
                for name, site in places.items() if name.startswith(_BANK))
    sites = [f"X{x}/Y{y}/SLICE{part}.K{i}"
             for x in range(device.groups[0] - 2, device.groups[-1] + 11)
             for y in range(row + 1, row + 1 + _ROWS) for part in "CD" for i in range(2)]
    return {f"screen_{i}": {
        "hide_name": 0, "type": "LUT4", "parameters": {"INIT": "0" * 16},
        "attributes": {"BEL": site},
        "port_directions": dict.fromkeys("ABCD", "input") | {"Z": "output"},
        "connections": {port: [] for port in "ABCDZ"},
    } for i, site in enumerate(sites)}
