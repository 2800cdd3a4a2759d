from dataclasses import replace

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


@pytest.mark.parametrize("lanes", [2, 8])
@pytest.mark.parametrize("bits_log2, results_log2", [
    (0, None), (1, None), (2, None), (0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)])
def test_results_of_planes(rng, lanes, bits_log2, results_log2):
    # Results in bytes, or of 2**results_log2 bits, from groups of planes; others are noise.
    arch    = replace(ARCH, planes=8, lanes=lanes)
    is_bits = results_log2 is not None
    word    = arch.word_bytes
    at_once = 8 >> bits_log2
    groups  = 20
    pixel   = 8 * word
    results = rng.integers(-128, 128, (groups, 8, arch.phases, lanes))
    first   = 3 * word + (6 if is_bits else 0)
    memory, expected = np.zeros(arch.activation_bytes, int), np.zeros(arch.activation_bytes, int)
    dut     = Writeback(arch)
    written = []

    async def testbench(ctx):
        ctx.set(dut.output, {
            "first_output": first, "after_column": at_once * pixel, "bits": int(is_bits),
            "channels_log2": 0 if is_bits else 4, "plane_log2": pixel.bit_length() - 1,
            "plane_bits_log2": bits_log2, "result_bits_log2": results_log2 or 0})
        ctx.set(dut.begin, 1)
        await tick(ctx)
        ctx.set(dut.begin, 0)
        for group in range(groups):
            while rng.random() < 0.3: # between groups only
                ctx.set(dut.results.valid, 0)
                await tick(ctx)
            for phase in range(8 * arch.phases):
                ctx.set(dut.results, {
                    "valid": 1, "phase": phase, "last": int(phase == 8 * arch.phases - 1),
                    "data": results[group].reshape(-1, lanes)[phase].tolist(),
                    "tag": {"column": 1}})
                await tick(ctx)
        ctx.set(dut.results.valid, 0)
        for _ in range(dut.LATENCY + 1):
            await tick(ctx)

    async def tick(ctx):
        _, _, write = await ctx.tick().sample(dut.write)
        for i in range(word):
            if write.valid and write.mask >> i & 1:
                written.append(write.word * word + i)
                memory[write.word * word + i] = write.data[i] & 0xff

    simulate(dut, testbench)
    places = 0
    for group in range(groups):
        for i in range(at_once):
            values  = results[group, i << bits_log2].reshape(-1)
            address = first + (group * at_once + i) * pixel
            if not is_bits:
                expected[address:address + word] = values & 0xff
                places += word
                continue
            for bit in range(1 << results_log2):
                ones = values >> (1 << results_log2) - 1 - bit & 1
                expected[address + bit * word:][:2] = np.packbits(
                    ones.astype(np.uint8), bitorder="little")
                places += 2
    np.testing.assert_array_equal(memory, expected)
    assert len(written) == len(set(written)) == places
