"""The sequencer comes back, whatever it was doing and whatever happens around it."""

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring

from popmac.arch import target
from popmac_gateware.sequencer import Sequencer
from popmac_sim.proof import prove


DRAIN    = 3
PATIENCE = DRAIN + 4


class Aborted(wiring.Component):
    """A sequencer that has to be idle after so many cycles of ``abort``.

    Parameters
    ----------
    patience : int
        The cycles.
    """

    def __init__(self, patience):
        self.patience  = patience
        self.sequencer = Sequencer(replace(target("tiny"), program_rows=8), drain=DRAIN)
        super().__init__(self.sequencer.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.sequencer = self.sequencer
        wiring.connect(m, wiring.flipped(self), self.sequencer)
        aborted = Signal(range(self.patience + 1)) # cycles, so far
        with m.If(~self.abort):
            m.d.sync += aborted.eq(0)
        with m.Elif(aborted != self.patience):
            m.d.sync += aborted.eq(aborted + 1)
        # The link starts no run while it aborts one.
        m.d.comb += Assume(~(self.abort & self.run.valid))
        m.d.comb += Assert((aborted != self.patience) | ~self.busy)
        # .. in the middle of a layer, too.
        issued = Signal()
        m.d.sync += issued.eq(issued | self.issue.valid)
        m.d.comb += Cover(issued & (aborted == self.patience))
        return m


@pytest.mark.parametrize("mode", ["bmc", "cover"])
def test_abort_leads_to_idle(mode, tmp_path):
    prove(Aborted(PATIENCE), tmp_path, mode=mode, depth=22)


def test_it_takes_some_time(tmp_path):
    with pytest.raises(AssertionError, match="Assert failed"):
        prove(Aborted(DRAIN), tmp_path, depth=DRAIN + 6)
