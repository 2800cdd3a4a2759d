# amaranth: UnusedElaboratable=no

import pytest

from popmac_gateware.link.uart import UART
from popmac_sim.stimulus import random_bytes


def levels(octets, bit_cycles, gaps):
    """Level of the line in each cycle: start bit, eight data bits, stop bit, and a gap."""
    edges, position = [], 0.0
    for byte, gap in zip(octets, gaps):
        for bit in [0, *(byte >> k & 1 for k in range(8)), 1, *[1] * gap]:
            edges.append((position, bit))
            position += bit_cycles
    line, now = [], 1
    edges.append((position, 1))
    for (start, bit), (end, _) in zip(edges, edges[1:]):
        now = bit
        line += [now] * (round(end) - round(start))
    return line


async def receive(ctx, dut, line):
    """Drive the line, and return the bytes that come."""
    received = []
    ctx.set(dut.o.ready, 1)
    for level in [1] * 20 + line + [1] * 60:
        ctx.set(dut.rx, level)
        _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
        if valid:
            received.append(payload)
    return received


@pytest.mark.parametrize("clock_hz, baud", [(4, 1), (5, 1), (100, 3), (333, 10)])
@pytest.mark.parametrize("error", [-0.03, 0, 0.03])
def test_receives(rng, simulate, clock_hz, baud, error):
    # With few cycles per bit, most of the tolerance is taken by where a cycle begins.
    error *= clock_hz / baud > 20
    dut    = UART(clock_hz=clock_hz, baud=baud)
    octets = random_bytes(rng, 40, special=[0x00, 0xff, 0x55, 0xaa])
    line   = levels(octets, clock_hz / baud * (1 + error), rng.choice([0, 0, 1, 7], 40).tolist())
    received = []

    async def testbench(ctx):
        received.extend(await receive(ctx, dut, line))

    simulate(dut, testbench, max_cycles=100_000)
    assert bytes(received) == octets


@pytest.mark.parametrize("clock_hz, baud", [(4, 1), (100, 3)])
def test_sends_without_a_pause(rng, simulate, clock_hz, baud):
    dut    = UART(clock_hz=clock_hz, baud=baud)
    octets = random_bytes(rng, 30, special=[0x00, 0xff])
    line   = []

    async def feed(ctx):
        for byte in octets:
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        for _ in range(12 * clock_hz // baud):
            await ctx.tick()

    async def watch(ctx):
        async for _, _, tx in ctx.tick().sample(dut.tx):
            line.append(tx)

    simulate(dut, feed, monitors=[watch], max_cycles=100_000)

    start = line.index(0)
    cycles = clock_hz / baud
    bits  = [line[start + int((k + 0.5) * cycles)] for k in range(10 * len(octets))]
    words = [bits[k:k + 10] for k in range(0, len(bits), 10)]
    assert all(word[0] == 0 and word[9] == 1 for word in words)
    assert bytes(sum(bit << k for k, bit in enumerate(word[1:9])) for word in words) == octets
    assert all(line[start + int(10 * len(octets) * cycles):])


def test_damaged_bytes_are_lost_alone(simulate):
    dut    = UART(clock_hz=100, baud=10)
    glitch = [1] * 30 + [0] * 3 + [1] * 30           # shorter than half a bit
    broken = [0] * 120 + [1] * 20                    # no stop bit: a break
    line   = levels(b"a", 10, [2]) + glitch + levels(b"b", 10, [2]) + broken + levels(b"c", 10, [2])
    received = []

    async def testbench(ctx):
        received.extend(await receive(ctx, dut, line))

    simulate(dut, testbench)
    assert bytes(received) == b"abc"


def test_a_byte_that_nobody_takes_stays_and_the_next_is_lost(simulate):
    dut   = UART(clock_hz=40, baud=10)
    taken = []

    async def testbench(ctx):
        for level in [1] * 10 + levels(b"xy", 4, [2, 2]) + [1] * 10:
            ctx.set(dut.rx, level)
            await ctx.tick()
        ctx.set(dut.o.ready, 1)
        for level in [1] * 10 + levels(b"z", 4, [2]) + [1] * 10:
            ctx.set(dut.rx, level)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                taken.append(payload)

    simulate(dut, testbench)
    assert bytes(taken) == b"xz"


@pytest.mark.parametrize("settings, message", [
    ({"clock_hz": 0,   "baud": 1},   "clock_hz must be a positive integer, not 0"),
    ({"clock_hz": 10,  "baud": 1.5}, "baud must be a positive integer, not 1.5"),
    ({"clock_hz": 399, "baud": 100}, "clock_hz must be at least four times baud, not 399"),
])
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        UART(**settings)
