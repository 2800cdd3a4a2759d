from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import target
from popmac.golden.array import column_sums
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
