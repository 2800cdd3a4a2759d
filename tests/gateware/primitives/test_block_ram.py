# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from popmac_gateware.primitives.block_ram import BlockRam
from popmac_sim.testbench import simulate


@pytest.mark.parametrize("width, depth, granularity", [
    (16, 64, None), (32, 32, 8), (18, 48, 9), (288, 16, None), (1, 8, None),
])
def test_matches_array(rng, width, depth, granularity):
    cycles   = 600
    lane     = granularity or width
    lanes    = width // lane
    memory   = np.zeros((depth, lanes), object)
    dut      = BlockRam(width=width, depth=depth, granularity=granularity)
    reads    = rng.integers(depth, size=cycles)
    writes   = rng.integers(depth, size=cycles)
    writes   = np.where(writes == reads, (writes + 1) % depth, writes) # never the same word
    enables  = rng.integers(2, size=(cycles, lanes))
    values   = [[int.from_bytes(rng.bytes(36), "little") & (1 << lane) - 1 for _ in range(lanes)]
                for _ in range(cycles)]
    expected, actual = [], []

    async def testbench(ctx):
        for t in range(cycles):
            expected.append(sum(v << i * lane for i, v in enumerate(memory[reads[t]])))
            for i in np.flatnonzero(enables[t]):
                memory[writes[t], i] = values[t][i]
            ctx.set(dut.read_address, int(reads[t]))
            ctx.set(dut.write_address, int(writes[t]))
            ctx.set(dut.write_enable, sum(int(e) << i for i, e in enumerate(enables[t])))
            ctx.set(dut.write_data, sum(v << i * lane for i, v in enumerate(values[t])))
            _, _, data = await ctx.tick().sample(dut.read_data)
            actual.append(data)

    simulate(dut, testbench)
    assert actual[dut.LATENCY:] == expected[:-dut.LATENCY]


def test_granularity_must_divide_width():
    with pytest.raises(ValueError, match=r"^Granularity must divide the width 16, not 5$"):
        BlockRam(width=16, depth=8, granularity=5)
