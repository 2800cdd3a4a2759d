import itertools

import pytest

from popmac_gateware.loop_nest import LoopNest
from popmac_sim.testbench import simulate


@pytest.mark.parametrize("counts", [
    (1, 1, 1, 1, 1, 1), (2, 1, 3, 1, 2, 1), (1, 4, 1, 5, 1, 2), (3, 2, 2, 2, 2, 2),
    (1, 1, 1, 7, 1, 1), (1, 1, 1, 1, 1, 6),
], ids=str)
def test_matches_nested_loops(rng, counts):
    dut, actual = LoopNest(), []
    steps = list(itertools.product(*(range(count) for count in reversed(counts))))
    pause = rng.random(3 * len(steps) + 20) < 0.3

    async def testbench(ctx):
        for _ in range(2): # it can be begun again
            for level, count in enumerate(counts):
                ctx.set(dut.lasts[level], count - 1)
            ctx.set(dut.begin, 1)
            await ctx.tick()
            ctx.set(dut.begin, 0)
            actual.clear()
            for t in itertools.count():
                ctx.set(dut.advance, int(not pause[t % len(pause)]))
                _, _, goes_on, first, last, last_row, advance = await ctx.tick().sample(
                    dut.goes_on, dut.first, dut.last, dut.last_row, dut.advance)
                if advance:
                    actual.append((goes_on, first, last, last_row))
                    if goes_on == 0:
                        break
            ctx.set(dut.advance, 0)

    simulate(dut, testbench)

    expected = []
    for i, step in enumerate(steps):
        goes_on = 0
        if i + 1 < len(steps):
            differing = [n for n, (a, b) in enumerate(zip(step, steps[i + 1])) if a != b]
            goes_on   = 1 << len(counts) - 1 - differing[0]
        inner = step[3:]
        expected.append((goes_on, int(not any(inner)),
                         int(all(n == count - 1 for n, count in zip(inner, counts[2::-1]))),
                         int(step[3] == counts[2] - 1)))
    assert actual == expected
