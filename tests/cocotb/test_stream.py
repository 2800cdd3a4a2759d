"""The ends of streams, on a component that is right and on two that are not."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from popmac_sim.cocotb_stream import StreamSink, StreamSource
from popmac_sim.rtl import run_bench


class Register(wiring.Component):
    """One payload, which may get lost or change if nobody takes it in its first cycle."""

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def __init__(self, fault):
        self.fault = fault
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        full, kept = Signal(), Signal(8)
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full), self.o.payload.eq(kept)]
        with m.If(self.i.valid & ~full):
            m.d.sync += [full.eq(1), kept.eq(self.i.payload)]
        with m.Elif(full & self.o.ready):
            m.d.sync += full.eq(0)
        with m.Elif(full):
            if self.fault == "withdrawn":
                m.d.sync += full.eq(0)
            if self.fault == "changed":
                m.d.sync += kept.eq(kept + 1)
        return m


def transfer(simulate, octets, fault, rng, stall):
    """Send ``octets`` through; runs inside of the simulator."""
    dut = Register(fault)

    async def testbench(ctx):
        source   = StreamSource(ctx, dut.i, rng=rng, stall=stall)
        sink     = StreamSink(ctx, dut.o, rng=rng, stall=stall)
        received = []
        source.pending += octets
        while len(received) < len(octets):
            source.drive()
            sink.drive()
            ready, *offered = await ctx.cycle([*source.sampled, *sink.sampled])
            source.settle(ready)
            byte = sink.settle(*offered)
            if byte is not None:
                received.append(byte)
        assert bytes(received) == octets
        assert not source.pending

    simulate(dut, testbench)


@pytest.mark.parametrize("stall", [0, 0.5])
@pytest.mark.parametrize("fault, message", [
    (None, None),
    ("withdrawn", "valid was deasserted before the transfer"),
    ("changed",   "became .* before the transfer"),
])
def test_contract(rng, tmp_path, stall, fault, message):
    arguments = {"octets": rng.bytes(100), "fault": fault, "rng": rng, "stall": stall}
    if fault is None or stall == 0:
        run_bench(Register(fault), transfer, arguments, tmp_path)
    else:
        with pytest.raises(AssertionError, match=message):
            run_bench(Register(fault), transfer, arguments, tmp_path)
