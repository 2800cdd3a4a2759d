import numpy as np
import pytest

from popmac import isa
from popmac.arch import target
from popmac.golden.requantize import requantize, requantize_pair
from popmac_gateware.requantizer import Requantizer
from popmac_gateware.tags import parameter_slots


CLAMP = {"zero_point": 3, "low": -100, "high": 120}


def random_records(rng, arch, pair):
    """Parameters of every slot, and the same as arrays (slots, channels)."""
    records = []
    for _ in range(parameter_slots(arch) * arch.columns):
        shift = int(rng.integers(20, 28))
        if pair:
            records.append(isa.PairParameters(
                multiplier=int(rng.integers(2**(shift - 2))), shift=shift,
                second_multiplier=int(rng.integers(2**(shift - 2))),
                offset=int(rng.integers(2**shift))))
        else:
            records.append(isa.ChannelParameters(
                multiplier=int(rng.integers(2**(shift - 8))), shift=shift,
                bias=int(rng.integers(-1000, 1000)), offset_positive=int(rng.integers(2**shift)),
                offset_negative=int(rng.integers(2**shift))))
    arrays = {name: np.array([getattr(r, name) for r in records], np.int64)
              .reshape(-1, arch.columns) for name in vars(records[0])}
    return records, arrays


@pytest.mark.parametrize("pair", [0, 1])
@pytest.mark.parametrize("arch", [target("tiny"), target("ulx3s-85f")], ids=lambda arch: arch.name)
@pytest.mark.parametrize("last_phase", [0, 1])
def test_matches_golden(rng, simulate, arch, last_phase, pair):
    dut     = Requantizer(arch)
    pixels  = 60
    records, arrays = random_records(rng, arch, pair)
    slots   = rng.integers(parameter_slots(arch), size=pixels)
    sums    = rng.integers(-30000, 30000, (pixels, arch.columns))
    first, second = rng.integers(-128, 128, (2, pixels, arch.columns))
    gaps    = last_phase + 1 + rng.choice([0, 0, 1, 2, 5], pixels)
    starts  = np.cumsum(gaps) + dut.lead + 2
    actual, tags = [], []

    def lane_phase(column):
        return column % arch.lanes, column // arch.lanes

    async def testbench(ctx):
        ctx.set(dut.clamp, CLAMP)
        ctx.set(dut.pair, pair)
        ctx.set(dut.elementwise, pair)
        ctx.set(dut.last_phase, last_phase)
        for i in range(0, len(records), 2):
            slot, channel = divmod(i, arch.columns)
            layout = dut.parameters.shape()["records"].shape.elem_shape
            ctx.set(dut.parameters, {"valid": 1, "slot": slot, "pair": channel // 2, "records": [
                layout.from_bits(records[i].encode()), layout.from_bits(records[i + 1].encode())]})
            await ctx.tick()
        ctx.set(dut.parameters, {"valid": 0})
        await ctx.tick()

        # Each value is there in one cycle only, and noise before and after it.
        for t in range(int(starts[-1]) + dut.latency + 8):
            for column in range(arch.columns):
                lane, phase = lane_phase(column)
                lead = dut.lead - (arch.phases - 1 - phase) * (arch.lanes // 2 - 1)
                kept = (arch.phases - 1 - phase) * (arch.lanes // 2 - 1)
                due  = starts + phase + lane // 2 - kept
                assert lead >= 0
                here = np.flatnonzero(due == t)
                ctx.set(dut.sums[column],
                        int(sums[here[0], column] if here.size else rng.integers(-2**27, 2**27)))
            for lane in range(arch.lanes):
                value = int(rng.integers(-2**27, 2**27))
                for phase in range(last_phase + 1):
                    here = np.flatnonzero(starts + phase + lane // 2 == t)
                    if here.size:
                        column = phase * arch.lanes + lane
                        value  = int(first[here[0], column]) & 2**17 - 1 \
                            | (int(second[here[0], column]) & 2**11 - 1) << 17
                ctx.set(dut.operands[lane], value - 2**28 if value >= 2**27 else value)
            here = np.flatnonzero(starts == t)
            ctx.set(dut.start, {"valid": int(here.size > 0), "tag": {
                "slot": int(slots[here[0]]) if here.size else 0,
                "final": int(here.size > 0 and here[0] == pixels - 1)}})
            _, _, results = await ctx.tick().sample(dut.results)
            if results.valid:
                actual.append((t, results.phase, results.last, list(results.data)))
                tags.append((results.tag.slot, results.tag.final))

    simulate(dut, testbench)

    parameters = {name: array[slots] for name, array in arrays.items()}
    expected   = requantize_pair(first, second, parameters, **CLAMP) if pair else \
        requantize(sums, parameters, **CLAMP)
    assert [a[:3] for a in actual] == [
        (start + dut.latency + phase, phase, int(phase == last_phase))
        for start in starts for phase in range(last_phase + 1)]
    np.testing.assert_array_equal(
        np.array([a[3] for a in actual]).reshape(pixels, -1),
        expected[:, :(last_phase + 1) * arch.lanes])
    assert tags == [(slot, int(i == pixels - 1)) for i, slot in enumerate(slots)
                    for _ in range(last_phase + 1)]
