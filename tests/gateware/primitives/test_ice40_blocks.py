# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from popmac_gateware.primitives.single_port_ram import SinglePortRam
from popmac_gateware.primitives.small_multiplier import ByteMultipliers, WordMultiplier
from popmac_sim.testbench import simulate


EXTREMES = {bits: [-2**(bits - 1), -1, 0, 1, 2**(bits - 1) - 1] for bits in (8, 16)}


def test_single_port_ram_matches_array(rng):
    cycles  = 500
    dut     = SinglePortRam(width=32, depth=16)
    memory  = np.zeros((16, 4), int)
    places  = rng.integers(16, size=cycles)
    enables = rng.integers(16, size=cycles) * (rng.random(cycles) < 0.5)
    values  = rng.integers(256, size=(cycles, 4))
    expected, actual = [], []

    async def testbench(ctx):
        for place, enable, value in zip(places, enables, values):
            expected.append(int.from_bytes(bytes(memory[place].tolist()), "little"))
            mask = enable >> np.arange(4) & 1 == 1
            memory[place, mask] = value[mask]
            ctx.set(dut.address, int(place))
            ctx.set(dut.write_enable, int(enable))
            ctx.set(dut.write_data, int.from_bytes(bytes(value.tolist()), "little"))
            _, _, data = await ctx.tick().sample(dut.read_data)
            actual.append(data)

    simulate(dut, testbench)
    reads = np.flatnonzero(enables[:-1] == 0) # after a write, the output is not defined
    assert len(reads) > 100
    np.testing.assert_array_equal(np.array(actual[1:])[reads], np.array(expected[:-1])[reads])


@pytest.mark.parametrize("shape", [{"width": 24, "depth": 16}, {"width": 32, "depth": 48},
                                   {"width": 32, "depth": 2**15}], ids=str)
def test_single_port_ram_must_fit_blocks(shape):
    with pytest.raises(ValueError, match=r"^(width|depth) must be "):
        SinglePortRam(**shape)


def test_bytes_are_multiplied(rng):
    dut      = ByteMultipliers()
    a, b     = (rng.choice([*EXTREMES[8], *rng.integers(-128, 128, 20)], (400, 2)) for _ in "ab")
    products = []

    async def testbench(ctx):
        for left, right in zip(a.tolist(), b.tolist()):
            ctx.set(dut.a, left)
            ctx.set(dut.b, right)
            _, _, product = await ctx.tick().sample(dut.products)
            products.append(list(product))

    simulate(dut, testbench)
    np.testing.assert_array_equal(products[dut.LATENCY:], (a * b)[:-dut.LATENCY])


def test_words_are_multiplied(rng):
    dut      = WordMultiplier()
    a, b     = (rng.choice([*EXTREMES[16], *rng.integers(-2**15, 2**15, 20)], 400) for _ in "ab")
    products = []

    async def testbench(ctx):
        for left, right in zip(a.tolist(), b.tolist()):
            ctx.set(dut.a, left)
            ctx.set(dut.b, right)
            _, _, product = await ctx.tick().sample(dut.product)
            products.append(product)

    simulate(dut, testbench)
    np.testing.assert_array_equal(products[dut.LATENCY:], (a * b)[:-dut.LATENCY])
