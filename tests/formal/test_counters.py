"""The counters of the binary engine count, for all activations, weights and partial sums."""

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring

from popmac.arch import target
from popmac_gateware.binary_cell import BITS, STORED_INVERTED, BinaryCell
from popmac_gateware.pipeline import delay
from popmac_sim.proof import prove


ARCH = replace(target("ulx3s-85f"), planes=1)


class CountsEqualBits(wiring.Component):
    """A cell whose partial sum is the one from above plus the number of equal bits."""

    def __init__(self, row_pair):
        self.row_pair = row_pair
        self.cell     = BinaryCell(ARCH, row_pair=row_pair)
        super().__init__(self.cell.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.cell = cell = self.cell
        wiring.connect(m, wiring.flipped(self), cell)
        equal    = ~(cell.activations[0] ^ cell.weights ^ STORED_INVERTED)
        count    = delay(m, sum(equal[i] for i in range(BITS)), cell.PSUM_DELAY, name="count")
        i_psum   = cell.i_psums[0]
        expected = Signal(cell.width)
        m.d.sync += expected.eq(i_psum + count)
        age = Signal(range(cell.PSUM_DELAY + 2)) # registers hold what was put in since the start
        with m.If(age <= cell.PSUM_DELAY):
            m.d.sync += age.eq(age + 1)
        m.d.comb += [
            Assume(i_psum <= BITS * self.row_pair),
            Assert((age <= cell.PSUM_DELAY) | (cell.o_psums[0] == expected)),
        ]
        return m


# Nothing flows back: each sum depends on the last cycles only, and these are any.
DEPTH = BinaryCell.PSUM_DELAY + 4


@pytest.mark.parametrize("row_pair", [0, 1, 7])
def test_carry_chains_count(monkeypatch, tmp_path, row_pair):
    monkeypatch.setattr("popmac_gateware.binary_cell.is_ecp5", lambda platform: True)
    prove(CountsEqualBits(row_pair), tmp_path, depth=DEPTH)


def test_a_wrong_count_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr("popmac_gateware.binary_cell.is_ecp5", lambda platform: True)
    monkeypatch.setattr("popmac_gateware.binary_cell.ADD_EQUAL", 0x9668)
    with pytest.raises(AssertionError):
        prove(CountsEqualBits(0), tmp_path, depth=DEPTH)
