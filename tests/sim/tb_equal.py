"""Two modules with the same inputs have the same outputs. Imported by cocotb."""

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.triggers import Timer


CASE = json.loads(Path(os.environ["POPMAC_CASE"]).read_text())


def value(rng, limit, few):
    """Any number below ``limit``, or one of a few; often an extreme."""
    choices = [0, limit - 1, 1, limit // 2]
    if few: # addresses that meet
        return rng.choice([*choices, 2, 3]) % limit
    return rng.choice([*choices, *(rng.randrange(limit) for _ in range(8))])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def equal(dut):
    rng     = random.Random(CASE["seed"])
    outputs = {0: 0, 1: 0}
    for cycle in range(3000):
        few = cycle % 200 < 100
        for name, limit in CASE["limits"].items():
            getattr(dut, name).value = value(rng, limit, few and "addr" in name)
        dut.clk.value = 0
        await Timer(5, "ns")
        dut.clk.value = 1
        await Timer(5, "ns")
        if cycle >= CASE["settle"]:
            assert str(dut.plain.value) == str(dut.mapped.value), f"cycle {cycle}"
            outputs[1 if "1" in str(dut.plain.value) else 0] += 1
    assert all(outputs.values()), "the outputs never change"
