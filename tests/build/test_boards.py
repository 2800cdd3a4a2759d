"""Boards: constraints, clocks."""

from functools import cache
from pathlib import Path

import pytest

from popmac.arch import TARGETS
from popmac_gateware.boards.board import Board
from popmac_gateware.boards.clock import check_clock
from popmac_gateware.boards.platforms import BOARDS
from popmac_gateware.build.devices import DEVICES
from popmac_gateware.primitives.pad_pll import pad_pll_dividers
from popmac_gateware.primitives.pll import pll_dividers


CONSTRAINTS = Path(__file__).parents[2] / "constraints"


def statements(text):
    return {line for line in text.splitlines() if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def plan():
    """What a target's platform makes of it."""
    @cache
    def plan(target):
        return BOARDS[target].platform().prepare(Board(TARGETS[target]), "top")
    return plan


@pytest.mark.parametrize("file, target", [("ulx3s.lpf", "ulx3s-12f"),
                                          ("icepi-zero.lpf", "icepi-zero"),
                                          ("icebreaker.pcf", "icebreaker")])
def test_constraints_are_those_of_the_platform(file, target, plan):
    assert statements((CONSTRAINTS / file).read_text()) == \
        statements(plan(target).files[f"top{Path(file).suffix}"])


def test_every_target_has_a_board():
    assert set(BOARDS) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_the_clock_of_every_target_can_be_made(target):
    check_clock(BOARDS[target].platform(), TARGETS[target].clock_hz)


@pytest.mark.parametrize("target", ["ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f",
                                    "icepi-zero"])
def test_every_target_fits_its_chip(target, plan):
    netlist   = plan(target).files["top.il"]
    available = DEVICES[BOARDS[target].platform.device].available
    buffer    = -(-TARGETS[target].receive_bytes // 2048) + 1 # inferred, its marks included
    assert netlist.count("cell \\DP16KD ") + buffer <= available["ebr"]
    assert netlist.count("cell \\MULT18X18D ") <= available["dsp"]


def test_icebreaker_fits_its_chip(plan):
    netlist   = plan("icebreaker").files["top.il"]
    available = DEVICES["iCE40UP5K"].available
    assert netlist.count("cell \\SB_MAC16 ") <= available["dsp"]
    assert netlist.count("cell \\SB_SPRAM256KA ") <= available["spram"]


@pytest.mark.parametrize("to_hz", [16_500_000, 18_000_000, 24_000_000, 30_000_000, 48_000_000])
def test_pad_pll_makes_the_clock_within_its_limits(to_hz):
    divr, divf, divq, filter_range = pad_pll_dividers(12_000_000, to_hz)
    assert 12_000_000 * (divf + 1) == to_hz * (divr + 1) << divq
    assert 533e6 <= to_hz << divq <= 1066e6 and divf < 128 and filter_range == 1


@pytest.mark.parametrize("to_hz", [24_000_001, 12_000_000, 300_000_000])
def test_pad_pll_refuses_what_it_cannot_make(to_hz):
    with pytest.raises(ValueError, match=rf"^A clock of {to_hz} Hz cannot be made of one of "):
        pad_pll_dividers(12_000_000, to_hz)


@pytest.mark.parametrize("to_hz", [25_000_000, 50_000_000, 87_500_000, 100_000_000, 112_500_000,
                                   125_000_000, 150_000_000])
def test_pll_makes_the_clock_within_its_limits(to_hz):
    reference, feedback, output = pll_dividers(25_000_000, to_hz)
    assert 25_000_000 * feedback == to_hz * reference
    assert 10e6 <= 25e6 / reference
    assert 400e6 <= to_hz * output <= 800e6


@pytest.mark.parametrize("to_hz", [100_000_001, 90_000_000, 1_000_000, 900_000_000])
def test_pll_refuses_what_it_cannot_make(to_hz):
    with pytest.raises(ValueError, match=rf"^A clock of {to_hz} Hz cannot be made of one of "):
        pll_dividers(25_000_000, to_hz)
