from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import target
from popmac.golden.array import column_sums, combined_planes, equal_bits
from popmac_gateware.binary_cell import STORED_INVERTED
from popmac_gateware.systolic import SystolicArray


TINY     = target("tiny")
EXTREMES = [-128, -127, -1, 0, 1, 127]


def write_words(ctx, dut, arch, words):
    """Writes to make, one per cycle, for ``words`` of shape (words, rows, columns)."""
    for word, weights in enumerate(words):
        for row in range(arch.rows):
            for pair in range(arch.columns // 2):
                low, high = weights[row, 2*pair:2*pair + 2].astype(np.uint8).tolist()
                yield {"valid": 1, "row": row, "column_pair": pair, "data": low | high << 8,
                       "address": {"word": word % arch.weight_words,
                                   "tail": word >= arch.weight_words}}


@pytest.mark.parametrize("operands", [range(-128, 128), EXTREMES, [-128]],
                         ids=["all", "extreme", "least"])
@pytest.mark.parametrize("arch", [
    replace(TINY, weight_words=16),
    replace(TINY, weight_words=16, tail_words=0),
    replace(TINY, weight_words=16, rows=8, columns=16),
], ids=lambda arch: f"{arch.rows}x{arch.columns}+{arch.tail_words}")
def test_matches_golden(rng, simulate, arch, operands):
    steps   = 200
    weights = rng.choice(operands, (arch.all_weight_words, arch.rows, arch.columns)).astype(np.int8)
    windows = rng.choice(operands, (steps, arch.rows)).astype(np.int8)
    words   = rng.integers(arch.all_weight_words, size=steps)
    taps    = rng.choice(operands, (steps, 2 * arch.tap_columns, arch.rows)).astype(np.int8)
    # In a depthwise step, either the even lane or the tap is 0, and the odd lane and weights are.
    depthwise = rng.random(steps) < 0.3
    words[depthwise] %= 5
    weights[:5, 1::2] = 0
    windows[depthwise, 1::2] = 0
    windows[:, :][depthwise[:, None] & (rng.random(windows.shape) < 0.7)] = 0
    taps[~depthwise] = 0
    taps[windows[:, :4 * arch.tap_columns:2] != 0] = 0
    first   = rng.random(steps) < 0.2
    valid   = rng.random(steps) < 0.8
    first[0] = valid[0] = True
    dut     = SystolicArray(arch)
    sums    = []

    async def testbench(ctx):
        for write in write_words(ctx, dut, arch, weights):
            ctx.set(dut.write, write)
            await ctx.tick()
        ctx.set(dut.write, {"valid": 0})
        await ctx.tick().repeat(arch.rows // 2 + arch.columns // 2 + 1)

        drain = dut.latency + arch.columns // 2
        for t in range(steps + dut.ADDRESS_LEAD + drain):
            if t < steps:
                ctx.set(dut.address, {"word": int(words[t]) % arch.weight_words,
                                      "tail": int(words[t] >= arch.weight_words)})
            step = t - dut.ADDRESS_LEAD
            if 0 <= step < steps:
                ctx.set(dut.step, {"window": windows[step].tolist(), "valid": int(valid[step]),
                                   "first": int(first[step]), "taps": taps[step].tolist()})
            else:
                ctx.set(dut.step, {"valid": 0})
            _, _, now = await ctx.tick().sample(dut.sums)
            sums.append(list(now))

    simulate(dut, testbench)

    expected = column_sums(windows, weights[words], first, valid, taps)
    actual   = np.array(sums)[dut.ADDRESS_LEAD:]
    for column in range(arch.columns):
        start = dut.latency + column // 2
        np.testing.assert_array_equal(actual[start:start + steps, column], expected[:, column])


@pytest.mark.parametrize("bits_log2", [0, 1, 2])
def test_binary_engine_matches_golden(rng, simulate, bits_log2):
    arch    = replace(TINY, weight_words=16, tail_words=0, rows=8, columns=8, lanes=4, planes=4)
    dut     = SystolicArray(arch)
    pixels  = [int(n) for n in rng.integers(1, 6, 30)]
    weights = rng.integers(-128, 128, (arch.weight_words, arch.rows, arch.columns), np.int8)
    steps   = []
    for count in pixels: # as far apart as the sums of planes need
        idle = max(arch.planes * arch.phases - count, 0)
        steps += [{"valid": 0}] * idle
        steps += [{"valid": 1, "first": int(i == 0), "double": int(rng.random() < 0.5),
                   "last": int(i == count - 1)} for i in range(count)]
    words   = rng.integers(arch.weight_words, size=len(steps))
    planes  = rng.integers(-128, 128, (len(steps), arch.planes, arch.rows), np.int8)
    planes[rng.random(len(steps)) < 0.2] = 0
    inverted = int.from_bytes(STORED_INVERTED.to_bytes(2, "little") * (arch.rows // 2), "little")
    seen    = []

    async def testbench(ctx):
        ctx.set(dut.binary, 1)
        ctx.set(dut.plane_bits_log2, bits_log2)
        for write in write_words(ctx, dut, arch, weights):
            ctx.set(dut.write, write)
            await ctx.tick()
        ctx.set(dut.write, {"valid": 0})
        ctx.set(dut.clear, 1) # what there may be of an aborted layer
        await ctx.tick()
        ctx.set(dut.clear, 0)
        await ctx.tick().repeat(arch.rows // 2 + arch.columns // 2 + 1)
        drain = dut.binary_latency + arch.columns // 2 + arch.planes * arch.phases + 2
        for t in range(len(steps) + dut.ADDRESS_LEAD + drain):
            if t < len(steps):
                ctx.set(dut.address, {"word": int(words[t])})
            step = t - dut.ADDRESS_LEAD
            ctx.set(dut.step, {"valid": 0})
            if 0 <= step < len(steps):
                ctx.set(dut.step, steps[step] | {
                    "planes": [int.from_bytes(plane.tobytes(), "little") ^ inverted
                               for plane in planes[step]]})
            _, _, now = await ctx.tick().sample(dut.sums)
            seen.append(list(now))

    simulate(dut, testbench)

    actual = np.array(seen)[dut.ADDRESS_LEAD:]
    sums   = np.zeros((1, arch.planes, arch.columns), int)
    for t, step in enumerate(steps):
        if not step["valid"]:
            continue
        sums = 0 if step["first"] else sums * (1 + step["double"])
        sums = sums + equal_bits(planes[None, [t]], weights[words[None, [t]]])
        if not step["last"]:
            continue
        combined = combined_planes(sums, 1 << bits_log2)[0]
        for pixel, expected in enumerate(combined):
            plane = ((pixel + 1) << bits_log2) - 1
            for column in range(arch.columns):
                begin = t + dut.binary_latency + column // 2 + plane * arch.phases
                np.testing.assert_array_equal(actual[begin:begin + arch.phases, column],
                                              expected[column])
