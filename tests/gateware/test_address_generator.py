from dataclasses import replace

import numpy as np
import pytest

from popmac import isa
from popmac.arch import target
from popmac.compiler.nest import Loop, loop_fields
from popmac.golden.loops import steps
from popmac_gateware.address_generator import AddressGenerator
from popmac_sim.testbench import simulate


ARCHS = [replace(target("tiny"), activation_words=256),
         replace(target("tiny"), activation_words=256, rows=16, columns=16)]


def random_layer(rng, arch):
    def stride(limit):
        return int(rng.integers(-limit, limit))

    # Steps of depthwise layers begin on words.
    unit  = (isa.Unit.ARRAY, isa.Unit.DEPTHWISE)[rng.integers(2)]
    unit_bytes = arch.rows if unit == isa.Unit.DEPTHWISE else 1
    loops = {name: Loop(int(rng.integers(1, 4)), row=stride(4), column=stride(8) * unit_bytes,
                        word=stride(300), weight=stride(100)) for name in isa.LEVELS}
    return isa.Layer(**loop_fields(loops), first_row=stride(5),
                     first_column=stride(20) * unit_bytes,
                     first_word=int(rng.integers(2**16)), first_weight=int(rng.integers(2**16)),
                     height=int(rng.integers(1, 6)),
                     row_bytes=int(rng.integers(1, 24 if unit_bytes == 1 else 7)) * unit_bytes,
                     unit=unit,
                     tap_rows=int(rng.integers(16)), tap_words=int(rng.integers(2**16)))


def goes_on_of(layer):
    """Which loop goes on after each step."""
    counts = [level.last + 1 for level in layer.levels]
    values = []
    for index in range(int(np.prod(counts))):
        level = 0
        while level < len(counts) and index % counts[level] == counts[level] - 1:
            index //= counts[level]
            level += 1
        values.append(1 << level if level < len(counts) else 0)
    return values


@pytest.mark.parametrize("arch", ARCHS, ids=lambda arch: f"{arch.rows} rows")
@pytest.mark.parametrize("seed", range(8))
def test_matches_golden(rng, seed, arch):
    layer   = random_layer(rng, arch)
    nest    = steps(layer)
    dut     = AddressGenerator(arch)
    actual  = []
    goes_on = goes_on_of(layer)

    async def testbench(ctx):
        encoded = {name: getattr(layer, name) for name, _ in dut.input.shape()}
        for name in isa.LEVELS:
            ctx.set(dut.input[name], vars(encoded.pop(name)))
        for name, value in encoded.items():
            ctx.set(dut.input[name], value)
        ctx.set(dut.begin, 1)
        await ctx.tick()
        ctx.set(dut.begin, 0)
        due = []
        for value in [*goes_on, *[None] * 8 * dut.LATENCY]:
            while value is not None and rng.random() < 0.3: # a pause
                ctx.set(dut.valid, 0)
                due.append(False)
                _, _, request, weight = await ctx.tick().sample(dut.request, dut.weight)
                collect(due, request, weight)
            ctx.set(dut.valid, int(value is not None))
            ctx.set(dut.goes_on, value or 0)
            due.append(value is not None)
            _, _, request, weight = await ctx.tick().sample(dut.request, dut.weight)
            collect(due, request, weight)

    def collect(due, request, weight):
        if len(due) > dut.LATENCY and due[-1 - dut.LATENCY]:
            actual.append((request.word, request.offset, request.begin, request.end, weight,
                           request.taps, request.second, request.inside))

    simulate(dut, testbench)

    rows   = arch.rows
    column = nest.column.reshape(-1)
    row    = nest.row.reshape(-1)
    begin  = np.clip(-column, 0, rows)
    end    = np.where((row >= 0) & (row < layer.height), np.clip(layer.row_bytes - column, 0, rows),
                      0)
    word   = (nest.word.reshape(-1) + (column // arch.rows)) % arch.activation_words
    weight = nest.weight.reshape(-1) % 2**16
    second = (word + layer.tap_words) % arch.activation_words
    taps   = np.arange(arch.tap_columns)
    tap_row, tap_column = (row[:, None] + [0, layer.tap_rows])[..., None], \
        (column // rows)[:, None, None] + taps
    inside = (tap_row >= 0) & (tap_row < layer.height) & (tap_column >= 0) \
        & (tap_column < layer.row_bytes // rows)
    inside = inside.reshape(len(row), -1) @ (1 << np.arange(2 * len(taps)))
    is_tap = np.full(len(row), int(layer.unit == isa.Unit.DEPTHWISE))
    if layer.unit == isa.Unit.ARRAY:
        inside = np.array([request[-1] for request in actual]) # of no meaning
    assert actual == list(zip(word.tolist(), (column % rows).tolist(), begin.tolist(),
                              end.tolist(), weight.tolist(), is_tap.tolist(), second.tolist(),
                              inside.tolist()))
