import numpy as np
import pytest

from popmac.arch import target
from popmac_gateware.writeback import Writeback
from popmac_sim.testbench import simulate


ARCH = target("ulx3s-85f")


@pytest.mark.parametrize("channels_log2", range(5))
def test_matches_array(rng, channels_log2):
    group   = 1 << channels_log2
    phases  = max(group // ARCH.lanes, 1)
    pixels  = 60
    steps   = {"column": group, "row": 3 * ARCH.word_bytes, "block": 1000 * ARCH.word_bytes}
    first   = 5 * ARCH.word_bytes + group * (ARCH.word_bytes // group - 1)
    after   = rng.choice(list(steps), pixels)
    results = rng.integers(-128, 128, (pixels, phases, ARCH.lanes))
    memory, expected = np.zeros(ARCH.activation_bytes, int), np.zeros(ARCH.activation_bytes, int)
    times, issued = [], []
    dut     = Writeback(ARCH)

    async def testbench(ctx):
        ctx.set(dut.output, {"first_output": first, "after_column": steps["column"],
                             "after_row": steps["row"], "after_block": steps["block"],
                             "channels_log2": channels_log2})
        ctx.set(dut.begin, 1)
        await tick(ctx)
        ctx.set(dut.begin, 0)
        for pixel in range(pixels):
            for phase in range(phases):
                while rng.random() < 0.3:
                    ctx.set(dut.results.valid, 0)
                    await tick(ctx)
                ctx.set(dut.results, {
                    "valid": 1, "phase": phase, "last": int(phase == phases - 1),
                    "data": results[pixel, phase].tolist(), "tag": {after[pixel]: 1}})
                issued.append(len(times))
                await tick(ctx)
        ctx.set(dut.results.valid, 0)
        for _ in range(dut.LATENCY + 1):
            await tick(ctx)

    async def tick(ctx):
        _, _, write = await ctx.tick().sample(dut.write)
        times.append(write.valid)
        for i in range(ARCH.word_bytes):
            if write.valid and write.mask >> i & 1:
                memory[write.word * ARCH.word_bytes + i] = write.data[i]

    simulate(dut, testbench)

    address = first
    for pixel in range(pixels):
        values = results[pixel].reshape(-1)[:group]
        expected[(address + np.arange(group)) % len(expected)] = values
        address = (address + steps[after[pixel]]) % len(expected)
    np.testing.assert_array_equal(memory, expected)
    assert np.flatnonzero(times).tolist() == [t + dut.LATENCY for t in issued]
