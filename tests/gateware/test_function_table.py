import pytest

from popmac.arch import TABLE_BYTES, TABLES, target
from popmac_gateware.function_table import FunctionTable


@pytest.mark.parametrize("arch", [target("tiny"), target("ulx3s-85f")], ids=lambda arch: arch.name)
def test_matches_array(rng, simulate, arch):
    cycles   = 60
    tables   = rng.integers(-128, 128, (TABLES, TABLE_BYTES))
    dut      = FunctionTable(arch)
    expected = []
    actual   = []

    async def testbench(ctx):
        for address, (low, high) in enumerate(tables.reshape(-1, 2).tolist()):
            ctx.set(dut.write, {"valid": 1, "address": address,
                                "data": low & 0xff | (high & 0xff) << 8})
            await ctx.tick()
        ctx.set(dut.write, {"valid": 0})
        for _ in range(6): # layers
            table, use = int(rng.integers(TABLES)), int(rng.random() < 0.7)
            ctx.set(dut.choice, {"table": table, "use_table": use})
            await ctx.tick()
            begin = len(actual)
            for t in range(cycles + dut.LATENCY):
                codes = rng.choice([-128, -1, 0, 127, *rng.integers(-128, 128, 9)], arch.lanes)
                phase = int(rng.integers(arch.phases))
                valid = int(t < cycles and rng.random() < 0.8)
                ctx.set(dut.i_results, {"valid": valid, "phase": phase, "data": codes.tolist()})
                if t < cycles:
                    results = tables[table][codes + 128] if use else codes
                    expected.append((valid, phase, results.tolist()))
                _, _, results = await ctx.tick().sample(dut.o_results)
                actual.append((results.valid, results.phase, list(results.data)))
            del actual[begin:begin + dut.LATENCY]

    simulate(dut, testbench)
    assert actual == expected
