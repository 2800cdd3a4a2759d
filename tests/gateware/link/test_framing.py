import pytest

from popmac.driver.framing import Decoder, encode
from popmac.protocol import ESCAPE, FCS_BYTES, FLAG
from popmac_gateware.link.framing import Deframer, Enframer
from popmac_sim.stimulus import random_bytes, stalls, stream_drain, stream_feed
from popmac_sim.testbench import stream_monitor


SPECIAL = [FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20, 0x00, 0xff]


def contents(rng, count):
    """Contents of frames, short ones and those full of special bytes among them."""
    return [random_bytes(rng, int(rng.choice([1, 2, 3, 9, 40])), special=SPECIAL)
            for _ in range(count)]


def line(rng, frames):
    """Frames as bytes on the link, some of them damaged, with noise and flags between them."""
    octets = bytearray()
    for content in frames:
        frame = bytearray(encode(content))
        match int(rng.integers(8)):
            case 0: # a bit
                frame[int(rng.integers(1, len(frame) - 1))] ^= 1 << int(rng.integers(8))
            case 1: # a byte is missing
                del frame[int(rng.integers(1, len(frame) - 1))]
            case 2: # given up
                frame[-1:] = [ESCAPE, FLAG]
            case 3: # noise in front of it
                octets += random_bytes(rng, 5, special=SPECIAL)
            case 4: # more flags than needed
                octets += bytes([FLAG] * 3)
            case 5: # one flag fewer
                frame = frame[1:] if octets[-1:] == bytes([FLAG]) else frame
        octets += frame
    return bytes(octets)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_deframer_finds_what_the_decoder_finds(rng, simulate, stall):
    dut    = Deframer()
    octets = line(rng, contents(rng, 60))
    pauses = [stalls(rng, stall), stalls(rng, stall)]
    items  = []
    done   = []

    async def feed(ctx):
        await stream_feed(ctx, dut.i, octets, pauses[0])
        done.append(True)

    async def drain(ctx):
        while not done:
            for _ in range(next(pauses[1])):
                ctx.set(dut.o.ready, 0)
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                items.append((payload.data, payload.end, payload.good))
        ctx.set(dut.o.ready, 1)

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.o, "o")], max_cycles=100_000)

    found, frame = [], bytearray()
    for data, end, good in items:
        if not end:
            frame.append(data)
            continue
        found.append(bytes(frame[:-FCS_BYTES]) if good else None)
        frame.clear()
    expected = Decoder().feed(octets)
    assert found == expected
    assert 10 < sum(content is not None for content in expected) < len(expected)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_enframer_sends_what_encode_does(rng, simulate, stall):
    dut      = Enframer()
    frames   = contents(rng, 40)
    expected = b"".join(map(encode, frames))
    items    = [item for content in frames for item in
                [*({"data": byte, "end": 0} for byte in content), {"data": 0, "end": 1}]]
    pauses   = [stalls(rng, stall), stalls(rng, stall)]
    sent     = []

    async def feed(ctx):
        await stream_feed(ctx, dut.i, items, pauses[0])

    async def drain(ctx):
        sent.extend(await stream_drain(ctx, dut.o, len(expected), pauses[1]))

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.o, "o")], max_cycles=100_000)
    assert bytes(sent) == expected


def test_enframer_is_idle_only_when_nothing_happens(rng, simulate):
    dut   = Enframer()
    items = [*({"data": byte, "end": 0} for byte in random_bytes(rng, 30, special=SPECIAL)),
             {"data": 0, "end": 1}]
    seen  = []

    async def feed(ctx):
        for item in items:
            await ctx.tick().repeat(int(rng.integers(1, 6)))
            ctx.set(dut.i.payload, item)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(30)

    async def watch(ctx):
        pause = 0
        while True:
            pause = pause - 1 if pause else int(rng.integers(6))
            ctx.set(dut.o.ready, not pause)
            _, _, *state = await ctx.tick().sample(
                dut.idle, dut.i.valid, dut.i.ready, dut.o.valid, dut.o.ready, dut.o.payload)
            seen.append(state)

    simulate(dut, feed, monitors=[watch])
    idle = 0
    for before, after in zip(seen, seen[1:]):
        is_idle, i_valid, i_ready, o_valid, o_ready, payload = before
        if is_idle and not (i_valid and i_ready) and not (o_valid and o_ready):
            assert (after[3], after[5]) == (o_valid, payload)
            idle += 1
    assert idle > 20
