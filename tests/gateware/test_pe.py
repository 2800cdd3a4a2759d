import numpy as np
import pytest

from popmac.golden.array import wrap
from popmac_gateware.pe import ProcessingElement


EXTREMES = [-128, -127, -1, 0, 1, 127]


@pytest.mark.parametrize("operands", [range(-128, 128), EXTREMES], ids=["all", "extreme"])
def test_matches_golden(rng, simulate, operands):
    width   = 20
    count   = 500
    dut     = ProcessingElement(psum_width=width)
    a, w, v = rng.choice(operands, (3, count, 2))
    tail    = rng.integers(2, size=count)
    psums   = rng.choice([-2**(width - 1), 2**(width - 1) - 1, *rng.integers(-999, 999, 9)], count)
    sums    = []

    async def testbench(ctx):
        for t in range(count):
            ctx.set(dut.activations, a[t].tolist())
            ctx.set(dut.weights, w[t].tolist())
            ctx.set(dut.tail_weights, v[t].tolist())
            ctx.set(dut.use_tail, int(tail[t]))
            ctx.set(dut.i_psum, int(psums[t]))
            _, _, psum = await ctx.tick().sample(dut.o_psum)
            sums.append(psum)

    simulate(dut, testbench)

    weight   = np.where(tail[:, None], v, w)
    products = (a[:, 0] + weight[:, 1]) * (a[:, 1] + weight[:, 0])
    delay    = dut.PSUM_DELAY
    expected = wrap(products[:-delay] + psums[delay:], width)
    np.testing.assert_array_equal(sums[delay + 1:], expected[:-1])
    # What the columns' feet take away leaves the two products.
    np.testing.assert_array_equal(
        products - a.prod(axis=1) - weight.prod(axis=1), (a * weight).sum(axis=1))
