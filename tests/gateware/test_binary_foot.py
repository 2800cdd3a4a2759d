from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import target
from popmac.golden.array import combined_planes
from popmac_gateware.binary_foot import BINARY_SUM_BITS, BinaryFoot, plane_bits_log2


TINY = target("tiny")


@pytest.mark.parametrize("planes, phases, bits_log2", [
    (1, 2, 0), (2, 1, 0), (2, 1, 1), (4, 2, 0), (4, 2, 1), (4, 1, 2), (8, 2, 1), (8, 2, 2),
])
def test_sums_of_digits_and_planes(rng, simulate, planes, phases, bits_log2):
    arch    = replace(TINY, planes=planes, lanes=TINY.columns // phases)
    dut     = BinaryFoot(arch)
    bits    = 1 << bits_log2
    most    = 8 * arch.rows
    pixels  = 40
    assert arch.phases == phases and bits_log2 <= plane_bits_log2(arch)

    # Steps of each pixel: counts, and whether what was there is doubled before.
    steps, expected = [], []
    for _ in range(pixels):
        count   = int(rng.integers(1, 8))
        counts  = rng.choice([0, 1, most, int(rng.integers(most + 1))], (count, planes))
        double  = rng.random(count) < 0.5
        if rng.random() < 0.2: # as many as there can be
            double, counts = np.arange(12) > 2, np.full((12, planes), most)
        sums    = np.zeros(planes, int)
        for step, twice in zip(counts, double):
            sums = sums * (1 + twice) + step
        assert sums.max() < 1 << BINARY_SUM_BITS
        expected.append(sums)
        steps.append((counts, double))
    expected = np.array(expected)
    combined = combined_planes(expected[:, :, None], bits)[..., 0]

    # Last steps do not come too close together.
    control, lasts = [], []
    for counts, double in steps:
        if rng.random() < 0.3: # something that does not come to an end
            control += [{"clear": 0, "valid": int(rng.integers(2)), "double": int(rng.integers(2)),
                         "last": 0, "counts": rng.integers(most + 1, size=planes).tolist()}
                        for _ in range(4)]
            control.append(control[-1] | {"clear": 1})
        for i in range(len(counts)):
            last = i == len(counts) - 1
            while rng.random() < 0.3 or (last and lasts
                                         and len(control) - lasts[-1] < planes * phases):
                control.append({"clear": 0, "valid": 0, "double": int(rng.integers(2)), "last": 0,
                                "counts": rng.integers(most + 1, size=planes).tolist()})
            if last:
                lasts.append(len(control))
            control.append({"clear": 0, "valid": 1, "double": int(double[i]),
                            "last": int(last), "counts": counts[i].tolist()})
    late = planes * phases + 4
    seen = []

    async def testbench(ctx):
        ctx.set(dut.plane_bits_log2, bits_log2)
        idle = {"clear": 0, "valid": 0, "double": 0, "last": 0}
        for now in control + [idle] * late:
            for name, value in now.items():
                ctx.set(getattr(dut, name), value)
            _, _, value = await ctx.tick().sample(dut.sum)
            seen.append(value)

    simulate(dut, testbench)
    for i, last in enumerate(lasts):
        for pixel in range(planes // bits):
            begin = last + 1 + (pixel * bits + bits - 1) * phases
            assert seen[begin:begin + phases] == [combined[i, pixel]] * phases
