# amaranth: UnusedElaboratable=no

from itertools import cycle, repeat

import pytest

from popmac_gateware.link.receive_buffer import ReceiveBuffer
from popmac_sim.stimulus import random_bytes, stalls
from popmac_sim.testbench import stream_monitor


URGENT = (0x00, 0x01)


def random_frames(rng, count, longest):
    """Frames and whether their check sequence is right; some of them urgent."""
    return [(random_bytes(rng, int(rng.integers(1, longest, endpoint=True)), special=[*URGENT, 2]),
             bool(rng.random() < 0.7)) for _ in range(count)]


def run(simulate, dut, frames, *, input_pauses, output_pauses, admits):
    """Send frames as soon as ``admits`` lets them; return frames received, and when urgent was."""
    received, announced, frame = [], [], bytearray()
    sent, taken = [], []
    done = []

    async def feed(ctx):
        for content, good in frames:
            while not admits(sent, taken, content):
                await ctx.tick()
            sent.append(content)
            for item in [*({"data": byte, "end": 0, "good": 0} for byte in content),
                         {"data": 0, "end": 1, "good": good}]:
                for _ in range(next(input_pauses)):
                    await ctx.tick()
                ctx.set(dut.i.payload, item)
                ctx.set(dut.i.valid, 1)
                _, _, ready = await ctx.tick().sample(dut.i.ready)
                assert ready, "not ready"
                ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(8)
        done.append(True)

    async def drain(ctx):
        quiet = 0
        while not done or quiet < 20:
            ctx.set(dut.o.ready, 0)
            for _ in range(next(output_pauses)):
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            quiet = 0 if valid else quiet + 1
            if not valid:
                continue
            if payload.end:
                received.append(bytes(frame))
                taken.append(True)
                frame.clear()
            else:
                frame.append(payload.data)

    async def watch(ctx):
        async for _, _, urgent in ctx.tick().sample(dut.urgent):
            announced.append(urgent)

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.o, "o"), watch], max_cycles=100_000)
    return received, sum(announced)


@pytest.mark.parametrize("stall", [0, 0.3, 0.9])
def test_nothing_is_lost_within_the_credit(rng, simulate, stall):
    depth  = 64
    frames = random_frames(rng, 150, 20)

    def admits(sent, taken, content):
        return sum(len(c) + 1 for c in [*sent[len(taken):], content]) <= depth

    received, announced = run(
        simulate, ReceiveBuffer(depth=depth, urgent_bytes=URGENT), frames,
        input_pauses=stalls(rng, 0.2), output_pauses=stalls(rng, stall), admits=admits)
    assert received == [content if good else b"" for content, good in frames]
    assert announced == sum(good and content[:1] in (b"\x00", b"\x01") for content, good in frames)


@pytest.mark.parametrize("reader", ["slow", "uneven"])
def test_what_does_not_fit_is_lost_whole(rng, simulate, reader):
    frames = random_frames(rng, 150, 40) + random_frames(rng, 300, 3)
    # While a frame comes, the buffer may be full, and empty again at its end.
    pauses = {"slow": repeat(12), "uneven": cycle([40] + [0] * 30)}[reader]
    received, _ = run(
        simulate, ReceiveBuffer(depth=32), frames, input_pauses=stalls(rng, 0),
        output_pauses=pauses, admits=lambda *_: True)

    # What was received is what was sent, some of it replaced by nothing, some of it missing.
    rest = iter([content if good else b"" for content, good in frames])
    lost = 0
    for content in received:
        if content:
            assert content in rest
        else:
            lost += 1
    whole = sum(map(bool, received))
    assert whole > 10 and lost > 20
    assert len(received) < len(frames) or reader == "uneven"


def test_a_frame_that_is_too_long_leaves_an_end(simulate):
    frames = [(bytes(range(10)), True), (b"ok", True), (bytes(100), True), (b"yes", True)]
    received, _ = run(
        simulate, ReceiveBuffer(depth=4), frames, input_pauses=repeat(0), output_pauses=repeat(0),
        admits=lambda sent, taken, content: len(sent) == len(taken))
    assert received == [b"", b"ok", b"", b"yes"]


def test_a_frame_appears_four_cycles_after_its_end(simulate):
    dut  = ReceiveBuffer(depth=16)
    seen = []

    async def testbench(ctx):
        for item in [{"data": 7, "end": 0, "good": 0}, {"data": 0, "end": 1, "good": 1}]:
            ctx.set(dut.i.payload, item)
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(6):
            _, _, valid, idle = await ctx.tick().sample(dut.o.valid, dut.idle)
            seen.append((valid, idle))

    simulate(dut, testbench)
    # Behind the byte, the end is fetched.
    assert seen == [(0, 0), (0, 0), (0, 0), (1, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize("depth", [0, 1, 48, 64.0, "64"])
def test_bad_depth_is_rejected(depth):
    with pytest.raises(ValueError, match=f"depth must be a power of two from 2 on, not {depth!r}"):
        ReceiveBuffer(depth=depth)
