from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import target
from popmac_gateware.activation_memory import ActivationMemory
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
            np.where(inside, window, padding), np.zeros((2 * columns, rows))

    def random_taps(address):
        first  = address // rows
        apart  = int(rng.integers(columns, 8 - columns + 1)) + 8 * int(rng.integers(8))
        second = (first + apart) % arch.activation_words
        inside = rng.random(2 * columns) < 0.7
        chosen = words[(np.add.outer([first, second], np.arange(columns)) % len(words)).ravel()]
        window = np.zeros(rows)
        window[:4 * columns:2] = np.where(inside, 0, padding)
        return {"word": first, "second": second, "taps": 1,
                "inside": int(inside @ (1 << np.arange(2 * columns)))}, \
            window, np.where(inside[:, None], chosen, 0)

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
            last, window, taps = (random_taps if rng.random() < 0.5 else random_window)(address)
            ctx.set(dut.request, last)
            expected.append((window.tolist(), taps.tolist()))
            _, _, *result = await ctx.tick().sample(dut.window, dut.taps)
            actual.append(result)
        for _ in range(dut.latency):
            _, _, *result = await ctx.tick().sample(dut.window, dut.taps)
            actual.append(result)

    simulate(dut, testbench)
    assert [(list(window), [list(word) for word in taps])
            for window, taps in actual[dut.latency:]] == expected
