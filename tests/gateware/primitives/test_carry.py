from popmac_gateware.primitives.carry import (
    ACCUMULATE,
    ADD,
    ADD_PRODUCTS,
    ADD_SELECTED,
    KILL,
    CarryChain,
)
from popmac_sim.testbench import simulate


WIDTH = 7
MASK  = 2**WIDTH - 1


def run(functions, cases):
    """Sums of a chain for operands (a, b, c, d)."""
    dut, sums = CarryChain(functions), []

    async def testbench(ctx):
        for case in cases:
            for name, value in zip("abcd", case):
                ctx.set(getattr(dut, name), value)
            await ctx.delay(1e-6)
            sums.append(ctx.get(dut.s))

    simulate(dut, testbench)
    return sums


def operands(rng, count=300):
    return rng.integers(MASK + 1, size=(count, 4)).tolist()


def test_add(rng):
    cases = [(a, b, MASK, MASK) for a, b, _, _ in operands(rng)]
    assert run([ADD] * WIDTH, cases) == [(a + b) & MASK for a, b, _, _ in cases]


def test_add_selected(rng):
    cases = [(a, b, c, MASK * (d & 1)) for a, b, c, d in operands(rng)]
    assert run([ADD_SELECTED] * WIDTH, cases) == \
        [(a + (b if d else c)) & MASK for a, b, c, d in cases]


def test_accumulate(rng):
    cases = [(a, b, MASK * (c & 1), MASK) for a, b, c, _ in operands(rng)]
    assert run([ACCUMULATE] * WIDTH, cases) == \
        [(a + (0 if c else b)) & MASK for a, b, c, _ in cases]


def test_add_products(rng):
    cases = [(a, MASK * (b & 1), c, MASK * (d & 1)) for a, b, c, d in operands(rng)]
    assert run([ADD_PRODUCTS] * WIDTH, cases) == \
        [((a & b) + (c & d)) & MASK for a, b, c, d in cases]


def test_kill_ends_a_chain_and_begins_another(rng):
    functions = [ADD] * WIDTH + [KILL] + [ADD] * WIDTH
    ones, cases, expected = 2**(2*WIDTH + 1) - 1, [], []
    for a, b, c, d in operands(rng):
        cases.append((a | 1 << WIDTH | c << WIDTH + 1, b | 1 << WIDTH | d << WIDTH + 1, ones, ones))
        expected.append((a + b) | ((c + d) & MASK) << WIDTH + 1)
    assert run(functions, cases) == expected
