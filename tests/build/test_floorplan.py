"""Places of blocks: all known ones have one, none twice, on sites that exist."""

import re

import pytest

from popmac.arch import TARGETS
from popmac_gateware.boards.platforms import BOARDS
from popmac_gateware.build.devices import DEVICES
from popmac_gateware.build.floorplan import floorplan
from popmac_gateware.build.screens import screens


#: Targets with an array, whose blocks need places.
SYSTOLIC = sorted(name for name in BOARDS if TARGETS[name].engine == "systolic")


def cells_of(arch, *, weight_blocks=1):
    """Names of the blocks of a core, as Yosys names them."""
    core, cells = "core.accelerator", {}
    for j in range(arch.rows // 2):
        cells[f"{core}.array.square_{j}.mult"] = "MULT18X18D"
        for k in range(arch.columns // 2):
            for i in range(2):
                tile = f"{core}.array.tile_{j}_{k}"
                cells[f"{tile}.pe_{i}.multiplier.mult"] = "MULT18X18D"
                for block in range(weight_blocks):
                    cells[f"{tile}.bank_{i}.block.block_0_{9 * block}"] = "DP16KD"
    for lane in range(arch.lanes):
        for half in ("low", "high"):
            cells[f"{core}.requantizer.lane_{lane}.{half}_block.mult"] = "MULT18X18D"
    for bank in range(8):
        cells[f"{core}.memory.bank_{bank}.block_0_0"] = "DP16KD"
    for column in range(0, 288, 36):
        cells[f"{core}.program.ram.block_0_{column}"] = "DP16KD"
    cells["core.endpoint.buffer.memory"] = "DP16KD"
    cells["core.endpoint.logic"]         = "LUT4"
    return cells


def device_of(arch):
    return DEVICES[BOARDS[arch.name].platform.device]


@pytest.mark.parametrize("name", SYSTOLIC)
def test_every_block_has_a_place_of_its_own(name):
    arch   = TARGETS[name]
    device = device_of(arch)
    cells  = cells_of(arch)
    places = floorplan(cells, arch, device)
    assert set(cells) - set(places) == {"core.endpoint.buffer.memory", "core.endpoint.logic"}
    assert len(set(places.values())) == len(places)
    exist = {"MULT18X18D": {site for y in device.multiplier_rows
                            for _, site in device.multipliers(y)},
             "DP16KD":     {site for y in device.memory_rows for _, site in device.memories(y)}}
    assert all(site in exist[cells[cell]] for cell, site in places.items())


@pytest.mark.parametrize("name", SYSTOLIC)
def test_weights_are_beside_their_multipliers(name):
    arch   = TARGETS[name]
    places = floorplan(cells_of(arch), arch, device_of(arch))

    def place(cell):
        return [int(number) for number in re.match(r"X(\d+)/Y(\d+)/", places[cell]).groups()]

    for j in range(arch.rows // 2):
        for k in range(arch.columns // 2):
            for i in range(2):
                tile   = f"core.accelerator.array.tile_{j}_{k}"
                mx, my = place(f"{tile}.pe_{i}.multiplier.mult")
                wx, wy = place(f"{tile}.bank_{i}.block.block_0_0")
                assert wy - my == 12 and abs(wx - mx) <= 3


def test_column_pairs_go_from_west_to_east():
    arch   = TARGETS["ulx3s-85f"]
    places = floorplan(cells_of(arch), arch, device_of(arch))
    sites  = [places[f"core.accelerator.array.tile_0_{k}.pe_0.multiplier.mult"] for k in range(8)]
    order  = [int(site[1:].split("/")[0]) for site in sites]
    assert order == sorted(order) and order[-1] - order[0] > 90


def test_what_does_not_fit_is_refused():
    arch = TARGETS["ulx3s-85f"]
    with pytest.raises(ValueError, match=r"^The design has \d+ memories, the device only 208$"):
        floorplan(cells_of(arch, weight_blocks=2), arch, device_of(arch))
    with pytest.raises(ValueError, match=r"^The design has 152 multipliers, the device only 72$"):
        floorplan(cells_of(arch), arch, DEVICES["LFE5U-45F"])


@pytest.mark.parametrize("name, ebr, dsp", [
    ("LFE5U-12F", 56, 28), ("LFE5U-25F", 56, 28), ("LFE5U-45F", 108, 72), ("LFE5U-85F", 208, 156)])
def test_devices_have_as_many_sites_as_the_data_sheet_says(name, ebr, dsp):
    device = DEVICES[name]
    assert sum(len(device.memories(y)) for y in device.memory_rows) == ebr
    assert sum(len(device.multipliers(y)) for y in device.multiplier_rows) == dsp


def test_screens_are_where_no_block_is():
    arch   = TARGETS["ulx3s-85f"]
    device = device_of(arch)
    places = floorplan(cells_of(arch), arch, device)
    cells  = screens(places, arch, device)
    sites  = [cell["attributes"]["BEL"] for cell in cells.values()]
    assert len(set(sites)) == len(sites) > 1000
    rows   = {int(re.search(r"/Y(\d+)/", site)[1]) for site in sites}
    assert not rows & {*device.multiplier_rows, *device.memory_rows} and max(rows) < 94
    assert not any(connection for cell in cells.values()
                   for connection in cell["connections"].values())


def test_chips_with_room_have_no_screens():
    arch = TARGETS["ulx3s-45f"]
    assert screens(floorplan(cells_of(arch), arch, device_of(arch)), arch, device_of(arch)) == {}
