"""Arithmetic that could be wrong in one case of a billion, for all operands."""

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from popmac.arch import ACCUMULATOR_BITS
from popmac_gateware.pe import PAIR, ProcessingElement
from popmac_gateware.requantize_lane import CLAMP, PARAMETERS, RequantizeLane
from popmac_sim.proof import prove


class FastInnerProduct(wiring.Component):
    """What a cell adds, less what the column's foot and the bias take away, is two products."""

    activations:  In(PAIR)
    weights:      In(PAIR)
    tail_weights: In(PAIR)
    use_tail:     In(1)
    i_psum:       In(signed(20))

    def elaborate(self, platform):
        m = Module()
        m.submodules.cell = cell = ProcessingElement(psum_width=20)
        for name in self.signature.members:
            m.d.comb += getattr(cell, name).eq(getattr(self, name))
        a      = self.activations
        w      = [Mux(self.use_tail, self.tail_weights[i], self.weights[i]) for i in range(2)]
        value  = Signal(signed(20))
        m.d.comb += value.eq(a[0] * w[0] + a[1] * w[1] + a[0] * a[1] + w[0] * w[1])
        for cycle in range(cell.PSUM_DELAY):
            later = Signal(signed(20), name=f"value_{cycle}")
            m.d.sync += later.eq(value)
            value = later
        expected = Signal(signed(20))
        m.d.sync += expected.eq(self.i_psum + value)
        count = Signal(range(cell.PSUM_DELAY + 2))
        with m.If(count != cell.PSUM_DELAY + 1):
            m.d.sync += count.eq(count + 1)
        with m.Else():
            m.d.comb += Assert(cell.o_psum == expected)
        return m


@pytest.mark.slow
def test_fast_inner_product(tmp_path):
    prove(FastInnerProduct(), tmp_path, depth=ProcessingElement.PSUM_DELAY + 3)


class Requantize(wiring.Component):
    """A lane with one set of parameters, of which the multiplier is given.

    Its products are those of other components; what is left is bias, offset, shift, saturation.
    """

    sum:        In(signed(ACCUMULATOR_BITS))
    clamp:      In(CLAMP)
    parameters: In(PARAMETERS)

    def __init__(self, multiplier, error=0):
        self.multiplier = multiplier
        self.error = error
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane = lane = RequantizeLane()
        # Nothing changes while a value goes through.
        inputs = Cat(self.sum, self.clamp, self.parameters)
        before = Signal(len(inputs))
        begun  = Signal()
        m.d.sync += [begun.eq(1), before.eq(inputs)]
        m.d.comb += [
            Assume(~begun | (before == inputs)),
            Assume(self.parameters.multiplier == self.multiplier),
            Assume(self.parameters.shift < 40),
            Assume(self.clamp.low <= self.clamp.high),
            lane.sum.eq(self.sum),
            lane.clamp.eq(self.clamp),
            lane.write_enable.eq(1),
            lane.write_data.eq(self.parameters),
        ]
        p      = self.parameters
        acc    = Signal(signed(ACCUMULATOR_BITS))
        value  = Signal(signed(ACCUMULATOR_BITS + 27))
        result = Signal(signed(ACCUMULATOR_BITS + 29))
        m.d.comb += [
            acc.eq(self.sum + p.bias),
            value.eq(acc * self.multiplier + Mux(acc < 0, p.offset_negative, p.offset_positive)),
            result.eq((value >> p.shift) + self.clamp.zero_point + self.error),
        ]
        count = Signal(range(lane.LATENCY + 3))
        with m.If(count != lane.LATENCY + 2):
            m.d.sync += count.eq(count + 1)
        with m.Elif(result < self.clamp.low):
            m.d.comb += Assert(lane.result == self.clamp.low)
        with m.Elif(result > self.clamp.high):
            m.d.comb += Assert(lane.result == self.clamp.high)
        with m.Else():
            m.d.comb += Assert(lane.result == result)
        return m


@pytest.mark.parametrize("multiplier", [1, pytest.param(2**24, marks=pytest.mark.slow)])
def test_requantise(multiplier, tmp_path):
    prove(Requantize(multiplier), tmp_path, depth=RequantizeLane.LATENCY + 4)


def test_a_wrong_formula_is_found(tmp_path):
    with pytest.raises(AssertionError, match="Assert failed"):
        prove(Requantize(1, error=1), tmp_path, depth=RequantizeLane.LATENCY + 4)
