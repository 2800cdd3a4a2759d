from dataclasses import replace

import pytest

from popmac.arch import target
from popmac_gateware.parameter_loader import ParameterLoader
from popmac_gateware.tags import parameter_slots
from popmac_sim.testbench import simulate


ARCH = replace(target("ulx3s-85f"), program_rows=512)


@pytest.mark.parametrize("eager", [0.9, 0.1])
def test_blocks_arrive_in_order_and_only_in_free_slots(rng, eager):
    dut    = ParameterLoader(ARCH)
    pairs  = ARCH.columns // 2
    slots  = parameter_slots(ARCH)
    layers = [(int(rng.integers(300)), int(rng.integers(12))) for _ in range(5)]
    blocks = [row + block * pairs for row, last in layers for block in range(last + 1)]
    writes, loaded, released = [], [0], [0]
    waiting = []

    async def announce(ctx):
        for row, last in layers:
            ctx.set(dut.layer.payload, {"row": row, "last": last})
            ctx.set(dut.layer.valid, 1)
            await ctx.tick().until(dut.layer.ready)
            ctx.set(dut.layer.valid, 0)
        while released[0] < len(blocks):
            await ctx.tick()

    async def memory(ctx):
        while True:
            ctx.set(dut.request.ready, int(rng.random() < eager))
            ctx.set(dut.reply_valid, 0)
            if waiting and waiting[0][0] == 0:
                ctx.set(dut.reply_valid, 1)
                ctx.set(dut.reply_data, waiting.pop(0)[1])
            release = loaded[0] > released[0] and rng.random() < 0.05
            ctx.set(dut.release, int(release))
            released[0] += release
            _, _, valid, ready, row, write, done = await ctx.tick().sample(
                dut.request.valid, dut.request.ready, dut.request.payload, dut.parameters,
                dut.loaded)
            for entry in waiting:
                entry[0] -= 1
            if valid and ready:
                waiting.append([3, row])
            if write.valid:
                block, pair = divmod(len(writes), pairs)
                assert (write.slot, write.pair) == (block % slots, pair)
                assert block - released[0] < slots, "a slot is overwritten"
                writes.append(write.records.as_bits() if hasattr(write.records, "as_bits")
                              else write.records)
            if done:
                loaded[0] += 1
                assert len(writes) == loaded[0] * pairs

    simulate(dut, announce, monitors=[memory], max_cycles=100_000)
    assert writes == [row + pair for row in blocks for pair in range(pairs)]
