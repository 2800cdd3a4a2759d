import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from link_core import ARCH, CountingCore, LinkCore
from link_traffic import Traffic, damaged, with_check

from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.framing import Decoder, encode
from popmac_gateware.link.executor import URGENT, Executor
from popmac_gateware.link.framing import Item
from popmac_sim.stimulus import stalls, stream_feed
from popmac_sim.testbench import stream_monitor


class ExecutorBoard(wiring.Component):
    """Executor and core."""

    i:      In(stream.Signature(Item))
    urgent: In(1)
    o:      Out(stream.Signature(Item))
    idle:   Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.executor = executor = Executor(ARCH, patience=2**12)
        m.submodules.core     = core     = LinkCore()
        wiring.connect(m, wiring.flipped(self.i), executor.i)
        wiring.connect(m, wiring.flipped(self.o), executor.o)
        wiring.connect(m, executor.bus, core.bus)
        m.d.comb += executor.urgent.eq(self.urgent)
        m.d.comb += self.idle.eq(executor.idle & core.idle)
        return m


def items(content, good):
    """What the receive buffer makes of a frame."""
    octets = with_check(content) if good else b""
    return [*({"data": byte, "end": 0} for byte in octets), {"data": 0, "end": 1}]


async def rest(ctx, dut):
    """Wait until all is answered."""
    await ctx.tick()
    busy = True
    while busy:
        _, _, idle, valid = await ctx.tick().sample(dut.idle, dut.o.valid)
        busy = valid or not idle


@pytest.mark.parametrize("stall", [0, 0.5])
def test_answers_as_the_software_does(rng, simulate, stall):
    dut     = ExecutorBoard()
    golden  = SoftwareEndpoint(ARCH, CountingCore())
    pauses  = [stalls(rng, stall), stalls(rng, stall)]
    batches = list(Traffic(rng).batches(60))
    replies, frame = [], bytearray()
    done    = []

    async def feed(ctx):
        for batch in batches:
            for content, good in batch:
                if good and content[0] in URGENT:
                    ctx.set(dut.urgent, 1)
                    await ctx.tick()
                    ctx.set(dut.urgent, 0)
                await stream_feed(ctx, dut.i, items(content, good), pauses[0])
            await rest(ctx, dut)
        done.append(True)

    async def drain(ctx):
        while not done:
            ctx.set(dut.o.ready, 0)
            for _ in range(next(pauses[1])):
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            _, _, valid, item = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid and item.end:
                replies.append(bytes(frame))
                frame.clear()
            elif valid:
                frame.append(item.data)

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.o, "o")], max_cycles=300_000)

    expected = []
    for content, good in (frame for batch in batches for frame in batch):
        golden.write(encode(content) if good else damaged(content))
        expected += Decoder().feed(golden.read(10_000, timeout=0))
    assert replies == expected
    assert len({(content[0], content[2]) for content in replies}) > 15
