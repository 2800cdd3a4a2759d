"""The second half of a requantiser lane is its formula, for all values, shifts and limits."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, signed
from amaranth.lib import wiring

from popmac.arch import ACCUMULATOR_BITS
from popmac_gateware.pipeline import delay
from popmac_gateware.requantize_lane import PARAMETERS
from popmac_gateware.saturating_shift import SaturatingShift
from popmac_sim.proof import prove


#: What the lane has: accumulator times multiplier, and the sum of two such.
WIDTH = ACCUMULATOR_BITS + PARAMETERS["multiplier"].shape.width + 1


class IsItsFormula(wiring.Component):
    """The result is what the definition says of the value of some cycles before."""

    def __init__(self):
        self.dut = SaturatingShift(WIDTH)
        super().__init__(self.dut.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.dut
        wiring.connect(m, wiring.flipped(self), dut)
        clamp  = self.clamp
        before = delay(m, clamp, 1, name="before")
        age    = Signal(range(dut.LATENCY + 2))
        with m.If(age <= dut.LATENCY):
            m.d.sync += age.eq(age + 1)

        value   = delay(m, self.value, 1, name="value")
        shifted = Signal(signed(WIDTH))
        m.d.sync += shifted.eq(value >> self.shift)
        shifted = delay(m, shifted, dut.LATENCY - 2, name="shifted")
        total   = Signal(signed(WIDTH + 1))
        m.d.comb += [
            total.eq(shifted + clamp.zero_point),
            Assume(clamp.low <= clamp.high),
            Assume((age == 0) | (clamp.as_value() == before.as_value())),
            Assert((age <= dut.LATENCY) | (self.result == Mux(
                total < clamp.low, clamp.low, Mux(total > clamp.high, clamp.high, total)))),
        ]
        return m


# Nothing flows back: each result depends on the last cycles only, and these are any.
DEPTH = SaturatingShift.LATENCY + 3


def test_result_is_the_formula(tmp_path):
    prove(IsItsFormula(), tmp_path, depth=DEPTH)


def test_a_lost_bit_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr("popmac_gateware.saturating_shift._STAGES", [(16, 26), (4, 11), (1, 10)])
    with pytest.raises(AssertionError):
        prove(IsItsFormula(), tmp_path, depth=DEPTH)
