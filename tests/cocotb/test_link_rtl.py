"""The endpoint as Verilog behind the real driver, with streams that stall at random."""

import pytest
from cocotb.task import bridge
from link_commands import random_commands
from link_core import ARCH, CountingCore, LinkBoard

from popmac.driver.link import Link
from popmac_sim.cocotb_transport import CocotbTransport
from popmac_sim.rtl import run_bench


def talk(simulate, rng, stall, count):
    """Random commands; runs inside of the simulator."""
    board = LinkBoard()

    def drive(transport):
        link = Link(transport, frame_bytes=100)
        assert link.hello().arch == ARCH
        random_commands(rng, link, CountingCore(), count)
        assert link.status()[2:] == (0, 0) # nothing garbled, nothing repeated
        link.close()

    async def testbench(ctx):
        transport = CocotbTransport(ctx, board.i, board.o, rng=rng, stall=stall,
                                    clock_hz=ARCH.clock_hz)
        await bridge(drive)(transport)

    simulate(board, testbench, max_cycles=1_000_000)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_driver_and_endpoint(rng, tmp_path, stall):
    run_bench(LinkBoard(), talk, {"rng": rng, "stall": stall, "count": 40}, tmp_path)
