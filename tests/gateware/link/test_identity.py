import pytest

from popmac.arch import target
from popmac.protocol import Space, identity
from popmac_gateware.link.identity import IdentityRom
from popmac_sim.stimulus import stalls, stream_drain, stream_feed
from popmac_sim.testbench import stream_monitor


@pytest.mark.parametrize("stall", [0, 0.5])
def test_reads_any_byte(rng, simulate, stall):
    contents  = identity(target("ulx3s-85f"))
    dut       = IdentityRom(contents)
    addresses = [*range(len(contents)), *rng.integers(len(contents), size=200).tolist()]
    pauses    = [stalls(rng, stall), stalls(rng, stall)]
    octets    = []

    async def feed(ctx):
        await stream_feed(ctx, dut.read, [{"space": Space.IDENTITY, "address": address}
                                          for address in addresses], pauses[0])

    async def drain(ctx):
        octets.extend(await stream_drain(ctx, dut.data, len(addresses), pauses[1]))

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.data, "data")])
    assert octets == [contents[address] for address in addresses]
