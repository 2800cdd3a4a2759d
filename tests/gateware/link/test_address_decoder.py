from dataclasses import replace

import pytest
from link_core import ARCH, CountingCore

from popmac import isa
from popmac.arch import target
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.protocol import ALIGNMENT, DATA_BYTES, Command, Space, Status, space_bytes
from popmac_gateware.link.address_decoder import ROW_PITCH, AddressDecoder


def random_transfers(rng, arch, count):
    """Transfers, many of them at or beside a limit."""
    sizes = space_bytes(arch)
    for _ in range(count):
        space  = int(rng.choice([*Space, *Space, *Space, 4, 7, 255]))
        size   = sizes.get(space, 1000)
        unit   = int(rng.choice([1, ALIGNMENT.get(space, 1)]))
        length = int(rng.choice([0, 1, unit, unit * rng.integers(30), rng.integers(2 * DATA_BYTES),
                                 DATA_BYTES, DATA_BYTES + 1, 1008, 0xffff]))
        near   = int(rng.choice([0, 0, 0, -1, 1, 2, unit, -unit]))
        place  = int(rng.choice([unit * rng.integers(size // unit), size - length, size,
                                 rng.integers(2**32), 2**32 - length - 1]))
        yield {"space": space, "address": max(0, place + near) % 2**32, "length": length}


@pytest.mark.parametrize("arch", [
    ARCH, target("ulx3s-85f"), replace(target("tiny"), program_rows=100),
], ids=lambda arch: f"{arch.name}-{arch.program_rows}")
def test_matches_golden(rng, simulate, arch):
    dut       = AddressDecoder(arch)
    golden    = SoftwareEndpoint(arch, CountingCore())
    transfers = list(random_transfers(rng, arch, 1500))
    writes    = rng.integers(2, size=len(transfers)).tolist()
    decided   = []

    async def testbench(ctx):
        for transfer, write in zip(transfers, writes):
            ctx.set(dut.transfer, transfer)
            ctx.set(dut.write, write)
            await ctx.tick().repeat(dut.LATENCY)
            _, _, status, start = await ctx.tick().sample(dut.status, dut.start)
            decided.append((status, start.space, start.address))

    simulate(dut, testbench)

    statuses = []
    for transfer, write, (status, space, address) in zip(transfers, writes, decided):
        expected = golden.check(Command.WRITE if write else Command.READ, **transfer)
        assert status == expected, transfer
        statuses.append(expected)
        if expected != Status.OK:
            continue
        begin = transfer["address"]
        if transfer["space"] == Space.PROGRAM:
            begin = begin // isa.ROW_BYTES * ROW_PITCH
        assert (space, address) == (transfer["space"], begin)
    assert all(statuses.count(status) > 40 for status in
               (Status.OK, Status.ACCESS, Status.RANGE, Status.ALIGNMENT))
