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
    dut      = ActivationMemory(arch)
    cycles   = 400
    padding  = -77
    lanes    = np.arange(rows)
    expected, actual = [], []

    async def testbench(ctx):
        for word, octets in enumerate(memory.reshape(-1, rows).tolist()):
            ctx.set(dut.write, {"valid": 1, "word": word, "mask": 2**rows - 1, "data": octets})
            await ctx.tick()
        ctx.set(dut.write, {"valid": 0})
        await ctx.tick()
        ctx.set(dut.padding, padding)
        for _ in range(cycles):
            address    = int(rng.choice([0, size - rows, rng.integers(size)]))
            begin, end = (int(rng.choice([0, rows, rng.integers(rows + 1)])) for _ in range(2))
            window     = memory[(address + lanes) % size]
            expected.append(np.where((lanes >= begin) & (lanes < end), window, padding).tolist())
            ctx.set(dut.request, {"word": address // rows, "offset": address % rows,
                                  "begin": begin, "end": end})

            # A write now is seen by the next request.
            word, mask = int(rng.integers(arch.activation_words)), int(rng.integers(2**rows))
            near = {(address // rows + k) % arch.activation_words for k in range(3)}
            octets = rng.integers(-128, 128, rows).astype(np.int8)
            write  = rng.random() < 0.7 and word not in near
            ctx.set(dut.write, {"valid": int(write), "word": word, "mask": mask,
                                "data": octets.tolist()})
            if write:
                chosen = [i for i in range(rows) if mask >> i & 1]
                memory.reshape(-1, rows)[word, chosen] = octets[chosen]
            _, _, window = await ctx.tick().sample(dut.window)
            actual.append(list(window))
        for _ in range(dut.latency):
            _, _, window = await ctx.tick().sample(dut.window)
            actual.append(list(window))

    simulate(dut, testbench)
    assert actual[dut.latency:] == expected
