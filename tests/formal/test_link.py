"""The link's flow control, for all inputs."""

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from popmac_gateware.link.framing import Deframer, Enframer, Received
from popmac_gateware.link.identity import IdentityRom
from popmac_gateware.link.receive_buffer import ReceiveBuffer
from popmac_gateware.link.replier import Replier
from popmac_gateware.link.uart import UART
from popmac_gateware.stream import StreamRegister
from popmac_sim.proof import StreamContract, prove


@pytest.mark.parametrize("component, arguments", [
    (StreamRegister, {"shape": 8}), (Deframer, {}), (Enframer, {}), (Replier, {}),
    (IdentityRom, {"contents": b"text"}), (ReceiveBuffer, {"depth": 4}),
    (UART, {"clock_hz": 4, "baud": 1}),
], ids=lambda value: getattr(value, "__name__", ""))
def test_streams_keep_their_contract_for_ever(component, arguments, tmp_path):
    prove(StreamContract(component(**arguments)), tmp_path, mode="prove", depth=3)


class Impatient(wiring.Component):
    """Withdraws, or changes, what nobody takes at once."""

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def __init__(self, fault):
        self.fault = fault
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(self.o.ready)
        m.d.sync += self.o.valid.eq(self.i.valid if self.fault == "withdrawn" else 1)
        m.d.sync += self.o.payload.eq(self.i.payload if self.fault == "changed" else 1)
        return m


@pytest.mark.parametrize("fault", ["withdrawn", "changed"])
def test_a_broken_contract_is_found(fault, tmp_path):
    with pytest.raises(AssertionError, match="Assert failed"):
        prove(StreamContract(Impatient(fault)), tmp_path, depth=4)


class Credit(wiring.Component):
    """A receive buffer whose host counts each frame until its end has left the buffer.

    ``held`` are the items that the host counts, in the frame that is coming, and in those in front
    of it. Frames with a wrong check count until their bare end is behind them.

    Parameters
    ----------
    depth : int
        Of the buffer.
    credit : int
        Items that the host may have in the buffer.
    """

    i:     In(stream.Signature(Received))
    ready: In(1)
    place: In(4)

    def __init__(self, *, depth, credit):
        self.depth  = depth
        self.credit = credit
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = ReceiveBuffer(depth=self.depth)
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        m.d.comb += buffer.o.ready.eq(self.ready)

        # Items committed and not read, and items of the frame that is coming.
        stored, coming = Signal(8), Signal(8)
        item   = self.i.payload
        taken  = buffer.o.valid & buffer.o.ready
        m.d.comb += Assert(buffer.i.ready)
        with m.If(self.i.valid & item.end):
            m.d.sync += coming.eq(0)
            m.d.sync += stored.eq(stored + 1 - taken)
            with m.If(item.good):
                m.d.sync += stored.eq(stored + coming + 1 - taken)
        with m.Else():
            m.d.sync += coming.eq(coming + self.i.valid)
            m.d.sync += stored.eq(stored - taken)
        m.d.comb += Assume(~self.i.valid | (stored + coming < self.credit))

        # Nothing is invented, and nothing gets lost.
        m.d.comb += Assert(~buffer.o.valid | (stored != 0))
        m.d.comb += Assert(~buffer.idle | buffer.o.valid | (stored == 0))

        # The item at some place in the sequence of those that are committed is the one that leaves
        # the buffer as the same one in the sequence.
        place  = Signal.like(self.place)
        begun  = Signal()
        m.d.sync += [begun.eq(1), place.eq(self.place)]
        m.d.comb += Assume(~begun | (self.place == place))
        come, gone = Signal(8), Signal(8) # items committed, items read
        kept       = Signal(9)
        with m.If(self.i.valid):
            with m.If(item.end & ~item.good):
                m.d.sync += come.eq(come + 1)
                with m.If(come == self.place):
                    m.d.sync += kept.eq(0x100)
            with m.Else():
                with m.If(come + coming == self.place):
                    m.d.sync += kept.eq(item.end << 8 | item.data)
                with m.If(item.end):
                    m.d.sync += come.eq(come + coming + 1)
        m.d.sync += gone.eq(gone + taken)
        with m.If(taken & (gone == self.place)):
            m.d.comb += Assert(buffer.o.payload.end == kept[8])
            m.d.comb += Assert(kept[8] | (buffer.o.payload.data == kept[:8]))
        m.d.comb += Cover(gone == 2 * self.depth + 1)
        return m


@pytest.mark.parametrize("cycles", [9, pytest.param(14, marks=pytest.mark.slow)])
def test_the_buffer_loses_nothing_within_the_credit(cycles, tmp_path):
    prove(Credit(depth=2, credit=2), tmp_path, depth=cycles)


def test_pointers_wrap(tmp_path):
    prove(Credit(depth=2, credit=2), tmp_path, mode="cover", depth=20)


def test_the_buffer_loses_what_is_beyond_the_credit(tmp_path):
    with pytest.raises(AssertionError, match="Assert failed"):
        prove(Credit(depth=2, credit=3), tmp_path, depth=9)
