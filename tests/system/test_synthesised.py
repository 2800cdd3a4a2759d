"""The netlist is the design: what Yosys makes of the core for an ECP5 computes the same."""

import re

import pytest

from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.verify import verify
from popmac_sim.board import SimulatedBoard
from popmac_sim.synthesised import build_synthesised


TINY = target("tiny")


def verified(digits, images, folder, **options):
    library = build_synthesised(TINY, folder, **options)
    with Device(Link(SimulatedBoard(library, TINY, fast=True))) as device:
        return verify(digits, device, {"image": images[:3]})


@pytest.mark.slow
def test_synthesised_core_is_bit_exact(digits, images, tmp_path):
    result = verified(digits, images, tmp_path)
    assert result.bit_exact, result
    assert "device" in result.stages


def first_carry_broken(verilog):
    """The netlist with another function in one position of a carry chain of the array."""
    return re.sub(r"(\.INIT0\(16'h)665a", r"\g<1>665b", verilog, count=1, flags=re.IGNORECASE)


@pytest.mark.slow
def test_a_broken_netlist_is_noticed(digits, images, tmp_path):
    result = verified(digits, images, tmp_path, edit=first_carry_broken)
    assert not result.bit_exact
    assert "device" in str(result.first_difference)
