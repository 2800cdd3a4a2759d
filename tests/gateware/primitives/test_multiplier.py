# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from popmac_gateware.primitives.lut_multiplier import LutMultiplier
from popmac_gateware.primitives.multiplier import Multiplier
from popmac_sim.testbench import simulate


def operands(rng, low, high, count):
    return rng.choice([low, low + 1, -1, 0, 1, high - 1, high, *rng.integers(low, high + 1, 20)],
                      count).clip(low, high)


@pytest.mark.parametrize("component, widths, b_range", [
    (Multiplier, (9, 9), (-2**8, 2**8 - 1)),
    (Multiplier, (18, 18), (-2**17, 2**17 - 1)),
    (Multiplier, (8, 3), (-4, 3)),
    (LutMultiplier, (18,), (0, 255)),
    (LutMultiplier, (11,), (0, 255)),
], ids=str)
def test_matches_product(rng, component, widths, b_range):
    dut    = component(*widths)
    cycles = 500
    a = operands(rng, -2**(dut.a_width - 1), 2**(dut.a_width - 1) - 1, cycles)
    b = operands(rng, *b_range, cycles)
    products = []

    async def testbench(ctx):
        for t in range(cycles):
            ctx.set(dut.a, int(a[t]))
            ctx.set(dut.b, int(b[t]))
            _, _, product = await ctx.tick().sample(dut.product)
            products.append(product)

    simulate(dut, testbench)
    np.testing.assert_array_equal(products[dut.LATENCY:], (a * b)[:-dut.LATENCY])


@pytest.mark.parametrize("widths", [(0, 8), (8, 19)])
def test_operands_must_fit(widths):
    with pytest.raises(ValueError, match=r"^Operands must have between 1 and 18 bits, not "):
        Multiplier(*widths)
