import numpy as np
import pytest

from popmac.arch import target
from popmac_gateware.pair_unit import PairUnit
from popmac_sim.testbench import simulate


@pytest.mark.parametrize("maximum", [0, 1])
@pytest.mark.parametrize("arch", [target("tiny"), target("ulx3s-85f")], ids=lambda arch: arch.name)
def test_matches_words(rng, arch, maximum):
    pixels  = 50
    words   = [rng.choice([-128, -1, 0, 127, *rng.integers(-128, 128, 9)], (n, arch.rows))
               for n in rng.choice([1, 2, 2, 3, 9], pixels)]
    phases  = arch.rows // arch.lanes
    dut     = PairUnit(arch)
    actual, dones = [], []

    async def testbench(ctx):
        ctx.set(dut.maximum, maximum)
        since = phases # cycles since the last step of the pixel before
        for pixel, taps in enumerate(words):
            for i, word in enumerate(taps.tolist()):
                last = i == len(taps) - 1
                while rng.random() < 0.2 or (last and since < phases):
                    ctx.set(dut.step.valid, 0)
                    await tick(ctx)
                    since += 1
                ctx.set(dut.step, {"window": word, "valid": 1, "first": int(i == 0),
                                   "last": int(last), "tag": {"slot": pixel % 8}})
                await tick(ctx)
                since = 1 if last else since + 1
        ctx.set(dut.step.valid, 0)
        for _ in range(20):
            await tick(ctx)

    async def tick(ctx):
        _, _, done, operands = await ctx.tick().sample(dut.done, dut.operands)
        actual.append(list(operands))
        if done.valid:
            dones.append((len(actual) - 1, done.tag.slot))

    simulate(dut, testbench)

    assert [slot for _, slot in dones] == [pixel % 8 for pixel in range(pixels)]
    actual = np.array(actual) & 2**28 - 1
    for (t, _), taps in zip(dones, words):
        first  = taps.max(axis=0) if maximum else taps[0]
        second = np.zeros_like(first) if maximum else taps[-1]
        packed = (first & 2**17 - 1) | (second & 2**11 - 1) << 17
        for channel in range(arch.rows):
            phase, lane = divmod(channel, arch.lanes)
            assert actual[t + 1 + phase + lane // 2, lane] == packed[channel]
