import numpy as np
import pytest

from popmac import isa
from popmac.golden.requantize import requantize
from popmac_gateware.serial.lane import SLICE_BITS, SLICES, SliceRequantizer


CHANNELS = 4


def signed_of_any_size(rng, bits, count):
    """Numbers of all magnitudes, and the extremes."""
    numbers = rng.integers(-2**(bits - 1), 2**(bits - 1), count) >> rng.integers(0, bits, count)
    extreme = rng.choice([-2**(bits - 1), -1, 0, 1, 2**(bits - 1) - 1], count)
    return np.where(rng.random(count) < 0.2, extreme, numbers)


@pytest.mark.parametrize("clamp, shifts", [
    ((0, -128, 127), (17, 31, 32, 39)), ((-128, -128, 127), (12, 24, 28, 63)),
    ((127, -5, 60), (0, 1, 15, 16)),
], ids=str)
def test_matches_golden(rng, simulate, clamp, shifts):
    count    = 400
    dut      = SliceRequantizer()
    records  = [isa.ChannelParameters(
        multiplier=int(abs(m)), shift=shift, bias=int(bias), offset_positive=int(positive),
        offset_negative=int(negative)) for m, shift, bias, positive, negative in zip(
            [*signed_of_any_size(rng, 25, CHANNELS - 1), 2**25 - 1], shifts,
            *(signed_of_any_size(rng, bits, CHANNELS) for bits in (28, 42, 42)))]
    sums     = signed_of_any_size(rng, 28, count)
    channels = rng.integers(CHANNELS, size=count)
    results  = []

    async def testbench(ctx):
        ctx.set(dut.clamp, dict(zip(("zero_point", "low", "high"), clamp)))
        for channel, record in enumerate(records):
            for i in range(SLICES):
                ctx.set(dut.write_slices, 1 << i)
                ctx.set(dut.write_channel, channel)
                ctx.set(dut.write_data, record.encode() >> SLICE_BITS * i & 2**SLICE_BITS - 1)
                await ctx.tick()
        ctx.set(dut.write_slices, 0)
        for t in range(-1, count + dut.LATENCY):
            ctx.set(dut.channel, int(channels[(t + 1) % count]))
            ctx.set(dut.sum, int(sums[t % count]))
            _, _, result = await ctx.tick().sample(dut.result)
            results.append(result)

    simulate(dut, testbench)
    zero_point, low, high = clamp
    table    = {name: np.array([getattr(record, name) for record in records], np.int64)[channels]
                for name in vars(records[0])}
    expected = requantize(sums, table, zero_point=zero_point, low=low, high=high)
    np.testing.assert_array_equal(results[dut.LATENCY + 1:], expected)
