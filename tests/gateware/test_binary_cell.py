from dataclasses import replace

import numpy as np
import pytest

from popmac.arch import target
from popmac_gateware.binary_cell import BITS, STORED_INVERTED, BinaryCell
from popmac_gateware.primitives import ecp5
from popmac_sim.testbench import simulate as simulate_in_amaranth


ARCH = replace(target("tiny"), rows=16, columns=16, lanes=8)


def check(rng, simulate, planes, row_pair):
    arch   = replace(ARCH, planes=planes)
    dut    = BinaryCell(arch, row_pair=row_pair)
    count  = 300
    a      = rng.integers(2**BITS, size=(count, planes))
    w      = rng.integers(2**BITS, size=count)
    # All equal, none equal, one equal.
    a[::5] = w[::5, None]
    a[1::5] = ~w[1::5, None] & 2**BITS - 1
    a[2::5] = (~w[2::5] ^ 1 << rng.integers(BITS, size=len(w[2::5])))[:, None] & 2**BITS - 1
    psums  = rng.choice([n for n in (0, 1, 15, 16, 63, 112) if n <= BITS * row_pair],
                        (count, planes))
    actual = []

    async def testbench(ctx):
        for t in range(count):
            ctx.set(dut.activations, (a[t] ^ STORED_INVERTED).tolist())
            ctx.set(dut.weights, int(w[t]))
            ctx.set(dut.i_psums, psums[t].tolist())
            _, _, sums = await ctx.tick().sample(dut.o_psums)
            actual.append(list(sums))

    simulate(dut, testbench)
    equal    = np.bitwise_count(~(a ^ w[:, None]) & 2**BITS - 1)
    late     = dut.PSUM_DELAY
    expected = equal[:-late] + psums[late:]
    np.testing.assert_array_equal(np.array(actual)[late + 1:], expected[:-1])


@pytest.mark.parametrize("planes", [1, 4, 8])
def test_matches_popcount(rng, simulate, planes):
    check(rng, simulate, planes, row_pair=ARCH.rows // 2 - 1)


@pytest.mark.parametrize("row_pair", range(ARCH.rows // 2))
def test_carry_chain_matches_popcount(rng, monkeypatch, row_pair):
    # What is built for the FPGA, its chain as it behaves.
    monkeypatch.setattr("popmac_gateware.binary_cell.is_ecp5", lambda platform: True)
    assert not ecp5.is_ecp5(None)
    check(rng, simulate_in_amaranth, 2, row_pair)
