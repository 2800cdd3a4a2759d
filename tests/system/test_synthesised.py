"""The netlist is the design: what Yosys makes of the core for a chip computes the same."""

import re

import pytest

from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.verify import verify
from popmac_sim.board import SimulatedBoard
from popmac_sim.synthesised import build_synthesised


def verified(name, digits, images, folder, **options):
    arch    = target(name)
    library = build_synthesised(arch, folder, **options)
    with Device(Link(SimulatedBoard(library, arch, fast=True))) as device:
        return verify(digits, device, {"image": images[:3]})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "icebreaker"])
def test_synthesised_core_is_bit_exact(name, digits, images, tmp_path):
    result = verified(name, digits, images, tmp_path)
    assert result.bit_exact, result
    assert "device" in result.stages


def first_carry_broken(verilog):
    """The netlist with another function in one position of a carry chain of the array."""
    return re.sub(r"(\.INIT0\(16'h)665a", r"\g<1>665b", verilog, count=1, flags=re.IGNORECASE)


def first_multiplier_unsigned(verilog):
    """The netlist with weights of one column that have no sign."""
    return re.sub(r"(\.B_SIGNED\(1'h)1", r"\g<1>0", verilog, count=1)


@pytest.mark.slow
@pytest.mark.parametrize("name, edit", [("tiny", first_carry_broken),
                                        ("icebreaker", first_multiplier_unsigned)])
def test_a_broken_netlist_is_noticed(name, edit, digits, images, tmp_path):
    result = verified(name, digits, images, tmp_path, edit=edit)
    assert not result.bit_exact
    assert "device" in str(result.first_difference)
