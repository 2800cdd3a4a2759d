from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import PLANE_WORDS, target
from popmac_gateware.activation_memory import ActivationMemory
from popmac_gateware.binary_cell import STORED_INVERTED
from popmac_sim.testbench import simulate


@pytest.mark.parametrize("rows", [4, 8, 16])
def test_windows_match_array(rng, rows):
    arch     = replace(target("tiny"), rows=rows, columns=rows, activation_words=64)
    size     = arch.activation_bytes
    memory   = rng.integers(-128, 128, size).astype(np.int8)
    words    = memory.reshape(-1, rows)
    dut      = ActivationMemory(arch)
    cycles   = 400
    padding  = -77
    lanes    = np.arange(rows)
    columns  = arch.tap_columns
    expected, actual = [], []

    def random_window(address):
        begin, end = (int(rng.choice([0, rows, rng.integers(rows + 1)])) for _ in range(2))
        window     = memory[(address + lanes) % size]
        inside     = (lanes >= begin) & (lanes < end)
        return {"word": address // rows, "offset": address % rows, "begin": begin, "end": end,
                "inside": int(rng.integers(2**(2 * columns)))}, \
            np.where(inside, window, padding), np.zeros((2 * columns, rows)), None

    def random_taps(address):
        first  = address // rows
        apart  = int(rng.integers(columns, 8 - columns + 1)) + 8 * int(rng.integers(8))
        second = (first + apart) % arch.activation_words
        inside = rng.random(2 * columns) < 0.7
        chosen = words[(np.add.outer([first, second], np.arange(columns)) % len(words)).ravel()]
        return {"word": first, "second": second, "taps": 1,
                "inside": int(inside @ (1 << np.arange(2 * columns)))}, \
            None, np.where(inside[:, None], chosen, 0), ~inside

    async def sampled(ctx):
        _, _, window, taps, outside = await ctx.tick().sample(dut.window, dut.taps, dut.outside)
        return list(window), [list(word) for word in taps], outside

    async def testbench(ctx):
        for word, octets in enumerate(words.tolist()):
            ctx.set(dut.write, {"valid": 1, "word": word, "mask": 2**rows - 1, "data": octets})
            await ctx.tick()
        ctx.set(dut.padding, padding)
        last = {}
        for _ in range(cycles):
            # A write is seen by a request of the same cycle.
            word, mask = int(rng.integers(arch.activation_words)), int(rng.integers(2**rows))
            near = {(last.get(name, 0) + k) % arch.activation_words
                    for name in ("word", "second") for k in range(8)}
            octets = rng.integers(-128, 128, rows).astype(np.int8)
            write  = rng.random() < 0.7 and word not in near
            ctx.set(dut.write, {"valid": int(write), "word": word, "mask": mask,
                                "data": octets.tolist()})
            if write:
                chosen = [i for i in range(rows) if mask >> i & 1]
                words[word, chosen] = octets[chosen]
            address = int(rng.choice([0, size - rows, rng.integers(size), word * rows]))
            last, *due = (random_taps if rng.random() < 0.5 else random_window)(address)
            ctx.set(dut.request, last)
            expected.append(due)
            actual.append(await sampled(ctx))
        for _ in range(dut.latency):
            actual.append(await sampled(ctx))

    simulate(dut, testbench)
    for cycle, (window, taps, outside) in enumerate(expected):
        if window is not None:
            assert actual[cycle + dut.latency][0] == window.tolist()
        assert actual[cycle + dut.words_latency][1] == taps.tolist()
        if outside is not None:
            assert actual[cycle + dut.words_latency][2] == outside @ (1 << np.arange(2 * columns))


@pytest.mark.parametrize("rows, planes", [(4, 2), (8, 1), (16, 4), (16, 8)])
@pytest.mark.parametrize("plane_words", [*PLANE_WORDS, 0, 3])
def test_planes_match_array(rng, rows, planes, plane_words):
    arch   = replace(target("tiny"), rows=rows, columns=rows, planes=planes, activation_words=64)
    words  = rng.integers(256, size=(arch.activation_words, rows)).astype(np.uint8)
    dut    = ActivationMemory(arch)
    # Planes whose words are in different banks; of other distances, the first plane.
    used   = np.arange(min(planes, 7 // plane_words + 1) if plane_words in PLANE_WORDS else 1)
    expected, actual = [], []
    inverted = np.resize(np.array([STORED_INVERTED], "<u2").view(np.uint8), rows)

    async def testbench(ctx):
        for word, octets in enumerate(words.view(np.int8).tolist()):
            ctx.set(dut.write, {"valid": 1, "word": word, "mask": 2**rows - 1, "data": octets})
            await ctx.tick()
        ctx.set(dut.write.valid, 0)
        ctx.set(dut.plane_words, plane_words)
        masks = [0] * (dut.words_latency - 1) # of the requests that are under way
        for _ in range(100 + dut.words_latency):
            first = int(rng.integers(arch.activation_words))
            mask  = int(rng.choice([2**rows - 1, 0, rng.integers(2**rows)]))
            taken = np.array([mask >> i & 1 for i in range(rows)], np.uint8)
            expected.append(words[(first + used * plane_words) % len(words)] * taken ^ inverted)
            masks.append(mask)
            ctx.set(dut.request, {"word": first})
            ctx.set(dut.plane_bytes, masks.pop(0))
            _, _, *result = await ctx.tick().sample(*dut.planes)
            actual.append([list(result[p].to_bytes(rows, "little")) for p in used])

    simulate(dut, testbench)
    assert actual[dut.words_latency:] == np.array(expected[:100]).tolist()
