import itertools

import numpy as np
import pytest

from popmac import isa
from popmac.arch import target
from popmac_gateware.sequencer import Sequencer
from popmac_gateware.tags import parameter_slots


TINY = target("tiny")


def random_layer(rng):
    """A layer of random loops, of which some are long."""
    counts = rng.choice([1, 1, 2, 3, 5], len(isa.LEVELS)).tolist()
    return isa.Layer(
        **{name: isa.Level(last=count - 1) for name, count in zip(isa.LEVELS, counts)},
        last_phase=int(rng.integers(TINY.phases)), shared=int(rng.integers(2)),
        parameters=int(rng.integers(TINY.program_rows)), doubling=int(rng.integers(3)))


def expected_issues(layer, slot):
    """What is issued for each step: goes_on, first, last, and the tag."""
    counts = [level.last + 1 for level in layer.levels]
    issues = []
    before = None
    for step in itertools.product(*(range(count) for count in reversed(counts))):
        ended   = [n == count - 1 for n, count in zip(reversed(step), counts)]
        level   = ended.index(False) if not all(ended) else None
        first   = not any(step[3:])
        last    = all(ended[:3])
        release = last and (level is None or (level == 5 and not layer.shared))
        double  = before == 2 and (
            layer.doubling == isa.Doubling.ALWAYS
            or (layer.doubling == isa.Doubling.BUT_LAST and step[3] != counts[2] - 1))
        before  = level
        issues.append({
            "goes_on": 0 if level is None else 1 << level, "first": int(first), "last": int(last),
            "double": int(double),
            "slot": slot, "column": int(level == 3), "row": int(level == 4),
            "block": int(level == 5), "final": int(level is None), "release": int(release)})
        slot = (slot + release) % parameter_slots(TINY)
    return issues, slot


@pytest.mark.parametrize("share", [0, 0.4])
def test_runs_layers(rng, simulate, share):
    layers  = [random_layer(rng) for _ in range(6)]
    first, last = 1, 4
    slots   = parameter_slots(TINY)
    dut     = Sequencer(TINY, drain=8)
    memory  = {index * isa.LAYER_ROWS + i: layer.encode() >> i * isa.ROW_BITS
               & (1 << isa.ROW_BITS) - 1
               for index, layer in enumerate(layers) for i in range(isa.COUNTER_ROW)}
    issued, announced, written, begun = [], [], [], []

    async def testbench(ctx):
        await ctx.tick()
        ctx.set(dut.run.payload, {"first": first, "last": last})
        ctx.set(dut.run.valid, 1)
        replies, finishing, loaded, released, took = {}, None, 0, 0, None
        for t in itertools.count():
            hold, ready, block_ready = (rng.random(3) < share).tolist()
            reply = replies.pop(t, None)
            blocks = sum(1 if layer["shared"] else layer["last"] + 1 for layer in announced)
            load = loaded < min(blocks, released + slots) and (not share or rng.random() < 0.1)
            ctx.set(dut.hold, hold)
            ctx.set(dut.request.ready, not ready)
            ctx.set(dut.blocks.ready, not block_ready)
            ctx.set(dut.reply_valid, reply is not None)
            ctx.set(dut.reply_data, reply or 0)
            ctx.set(dut.loaded, load)
            ctx.set(dut.finished, finishing == t)
            _, _, issue, request, asked, block, announce, count, counted, begin, busy, running = \
                await ctx.tick().sample(
                    dut.issue, dut.request.payload, dut.request.valid, dut.blocks.payload,
                    dut.blocks.valid, dut.counters.payload, dut.counters.valid, dut.begin,
                    dut.busy, dut.run.ready)
            if running and took is None:
                took = t
                ctx.set(dut.run.valid, 0)
            if asked and not ready:
                # In order, as from a memory of fixed latency.
                replies[t + 4] = memory[request]
            if announce and not block_ready:
                layer = layers[first + len(announced)]
                announced.append({"row": block.row, "last": block.last, "shared": layer.shared})
            if begin:
                assert finishing is None or finishing < t, "results are still on their way"
                begun.append(t)
            if issue.valid:
                assert not hold
                tag = {name: getattr(issue.tag, name)
                       for name in ("slot", "column", "row", "block", "final", "release")}
                issued.append((t, {"goes_on": issue.goes_on, "first": issue.first,
                                   "last": issue.last, "double": issue.double, **tag}))
                if issue.last:
                    assert loaded > released, "its parameters are not there"
                released += issue.tag.release
                if issue.tag.final:
                    finishing = t + int(rng.integers(2, 30))
            if counted:
                written.append((count.row, isa.LayerCounters.decode(count.data)))
            loaded += load
            if took is not None and t > took and not busy:
                break
        _, _, cycles = await ctx.tick().sample(dut.cycles)
        assert cycles == t - took - 1

    simulate(dut, testbench, max_cycles=50_000)

    slot, expected = 0, []
    for layer in layers[first:last + 1]:
        issues, slot = expected_issues(layer, slot)
        expected.append(issues)
    assert [issue for _, issue in issued] == sum(expected, [])
    assert [(block["row"], block["last"]) for block in announced] == [
        (layer.parameters, 0 if layer.shared else layer.output_block.last)
        for layer in layers[first:last + 1]]

    # The lanes take a pixel in so many cycles.
    index = np.repeat(np.arange(len(expected)), [len(issues) for issues in expected])
    lasts = [(t, i) for (t, issue), i in zip(issued, index) if issue["last"]]
    for (t, i), (following, j) in itertools.pairwise(lasts):
        assert i != j or following - t > layers[first + i].last_phase

    assert [row for row, _ in written] == [
        index * isa.LAYER_ROWS + isa.COUNTER_ROW for index in range(first, last + 1)]
    for (_, counters), issues in zip(written, expected):
        assert counters.steps == len(issues)
        assert counters.cycles == sum(vars(counters).values()) - counters.cycles


def test_abort(rng, simulate):
    dut    = Sequencer(TINY, drain=8)
    layer  = isa.Layer(**{name: isa.Level(last=4) for name in isa.LEVELS})
    rows   = [layer.encode() >> i * isa.ROW_BITS & (1 << isa.ROW_BITS) - 1 for i in range(3)]
    points = [1, 2, 3, *rng.integers(4, 60, 12).tolist()]

    async def run(ctx, stop):
        """Start a layer, and abort it after ``stop`` cycles, or never."""
        replies, steps, busy, t = [], 0, 1, 0
        ctx.set(dut.run.valid, 1)
        await ctx.tick().until(dut.run.ready)
        ctx.set(dut.run.valid, 0)
        ctx.set(dut.request.ready, 1)
        ctx.set(dut.blocks.ready, 1)
        while busy:
            ctx.set(dut.abort, t == stop)
            ctx.set(dut.reply_valid, len(replies) > 0)
            ctx.set(dut.reply_data, replies.pop(0) if replies else 0)
            _, _, valid, asked, request, busy, flush, begin = await ctx.tick().sample(
                dut.issue.valid, dut.request.valid, dut.request.payload, dut.busy, dut.flush,
                dut.begin)
            if asked:
                replies.append(rows[request % isa.LAYER_ROWS])
            ctx.set(dut.loaded, begin)
            steps += valid
            t     += 1
            assert t < 20_000 and (t <= stop + 12 or not busy)
        assert flush
        return steps

    async def testbench(ctx):
        for stop in points:
            assert await run(ctx, stop) <= stop

    simulate(dut, testbench, max_cycles=20_000)
