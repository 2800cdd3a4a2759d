import numpy as np
import pytest

from popmac import isa
from popmac.arch import target
from popmac_gateware.pair_unit import PairUnit
from popmac_sim.testbench import simulate


UNITS = [isa.Unit.PAIR, isa.Unit.MAXIMUM, isa.Unit.DIFFERENCE, isa.Unit.PRODUCT]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.parametrize("arch", [target("tiny"), target("ulx3s-85f")], ids=lambda arch: arch.name)
@pytest.mark.parametrize("zeros", [(0, 0), (-128, 127), (127, -128), (-7, 30)], ids=str)
def test_matches_words(rng, arch, unit, zeros):
    pixels  = 50
    words   = [rng.choice([-128, -1, 0, 127, *rng.integers(-128, 128, 9)], (n, arch.rows))
               for n in rng.choice([1, 2, 2, 3, 9], pixels)]
    phases  = arch.rows // arch.lanes
    dut     = PairUnit(arch)
    actual, dones, lasts = [], [], []

    async def testbench(ctx):
        ctx.set(dut.operation, {"unit": unit, "padding": zeros[0], "second_zero_point": zeros[1]})
        await ctx.tick()
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
                if last:
                    lasts.append(len(actual))
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

    assert dones == [(t + dut.LATENCY, pixel % 8) for pixel, t in enumerate(lasts)]
    for (t, _), taps in zip(dones, words):
        first, second = taps[0], taps[-1]
        match unit:
            case isa.Unit.MAXIMUM:
                first, second = taps.max(axis=0), np.zeros_like(first)
            case isa.Unit.DIFFERENCE:
                second = ~second
        if unit == isa.Unit.PRODUCT:
            expected = (first - zeros[0]) * (second - zeros[1])
        else:
            packed   = (first & 2**17 - 1) | (second & 2**11 - 1) << 17
            expected = np.where(packed >= 2**27, packed - 2**28, packed)
        for channel in range(arch.rows):
            phase, lane = divmod(channel, arch.lanes)
            assert actual[t + 1 + phase + lane // 2][lane] == expected[channel]
