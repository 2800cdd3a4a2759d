import numpy as np
import pytest

from popmac import isa
from popmac.arch import LANE_ENTRIES
from popmac.golden.requantize import requantize, requantize_pair
from popmac_gateware.requantize_lane import RequantizeLane


CLAMPS = [(0, -128, 127), (-128, -128, 127), (127, -128, 127), (-5, -5, 60), (3, 10, 10)]


def signed_of_any_size(rng, bits, count):
    """Numbers of all magnitudes, and the extremes."""
    numbers = rng.integers(-2**(bits - 1), 2**(bits - 1), count) >> rng.integers(0, bits, count)
    extreme = rng.choice([-2**(bits - 1), -1, 0, 1, 2**(bits - 1) - 1], count)
    return np.where(rng.random(count) < 0.2, extreme, numbers)


def run(simulate, dut, records, sums, entries, pair, clamp):
    results = []

    async def testbench(ctx):
        ctx.set(dut.clamp, dict(zip(("zero_point", "low", "high"), clamp)))
        ctx.set(dut.pair, pair)
        for entry, record in enumerate(records):
            ctx.set(dut.write_enable, 1)
            ctx.set(dut.write_entry, entry)
            ctx.set(dut.write_data, dut.write_data.shape().from_bits(record.encode()))
            await ctx.tick()
        ctx.set(dut.write_enable, 0)
        for i in range(len(sums) + dut.LATENCY):
            ctx.set(dut.sum, int(sums[i % len(sums)]))
            ctx.set(dut.entry, int(entries[i % len(sums)]))
            _, _, result = await ctx.tick().sample(dut.result)
            results.append(result)

    simulate(dut, testbench)
    return np.array(results[dut.LATENCY:])


def table(records, entries):
    return {name: np.array([getattr(record, name) for record in records], np.int64)[entries]
            for name in vars(records[0])}


@pytest.mark.parametrize("clamp", CLAMPS, ids=str)
def test_sums(rng, simulate, clamp):
    count   = 1000
    shifts  = rng.permuted([0, 1, 15, 16, 17, 31, 32, 39, 47, 48, 63, *rng.integers(12, 40, 5)])
    records = [isa.ChannelParameters(
        multiplier=int(abs(m)), shift=int(shift), bias=int(bias),
        offset_positive=int(positive), offset_negative=int(negative))
        for m, shift, bias, positive, negative in zip(
            np.append(signed_of_any_size(rng, 25, LANE_ENTRIES - 1), 2**25 - 1), shifts,
            signed_of_any_size(rng, 28, LANE_ENTRIES), signed_of_any_size(rng, 42, LANE_ENTRIES),
            signed_of_any_size(rng, 42, LANE_ENTRIES))]
    sums    = signed_of_any_size(rng, 28, count)
    entries = rng.integers(LANE_ENTRIES, size=count)
    zero_point, low, high = clamp
    expected = requantize(sums, table(records, entries), zero_point=zero_point, low=low, high=high)
    if low != high:
        assert len(np.unique(expected)) > 4
    actual = run(simulate, RequantizeLane(), records, sums, entries, 0, clamp)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("clamp", CLAMPS, ids=str)
def test_pairs(rng, simulate, clamp):
    count   = 1000
    records = [isa.PairParameters(
        multiplier=int(rng.choice([0, 1, 2**25 - 1, rng.integers(2**25)])),
        second_multiplier=int(rng.choice([0, 1, 2**25 - 1, rng.integers(2**25)])),
        shift=int(rng.integers(16, 28)), offset=int(signed_of_any_size(rng, 42, 1)[0]))
        for _ in range(LANE_ENTRIES)]
    first   = rng.choice([-128, 127, *rng.integers(-128, 128, 30)], count)
    second  = rng.choice([-128, 128, *rng.integers(-128, 129, 30)], count)
    entries = rng.integers(LANE_ENTRIES, size=count)
    zero_point, low, high = clamp
    expected = requantize_pair(first, second, table(records, entries),
                               zero_point=zero_point, low=low, high=high)
    packed  = (first & (2**17 - 1)) | ((second & (2**11 - 1)) << 17)
    actual  = run(simulate, RequantizeLane(), records, packed, entries, 1, clamp)
    np.testing.assert_array_equal(actual, expected)
