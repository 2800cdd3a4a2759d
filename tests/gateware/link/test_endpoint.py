# amaranth: UnusedElaboratable=no

import pytest
from link_core import ARCH, CountingCore, LinkBoard
from link_traffic import Traffic, damaged

from popmac.arch import target
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.framing import Decoder, encode
from popmac.protocol import (
    COMMAND_HEADER,
    LAYERS,
    REPLY,
    REPORT,
    SESSION,
    TRANSFER,
    Command,
    Space,
    Status,
)
from popmac_gateware.link.endpoint import Endpoint
from popmac_sim.stimulus import stalls, stream_feed
from popmac_sim.testbench import stream_monitor


PATIENCE = 256


async def rest(ctx, dut):
    """Wait until all is answered."""
    await ctx.tick()
    busy = True
    while busy:
        _, _, idle, valid = await ctx.tick().sample(dut.idle, dut.o.valid)
        busy = valid or not idle


@pytest.mark.parametrize("stall", [0, 0.5])
def test_answers_byte_for_byte_as_the_software_does(rng, simulate, stall):
    dut     = LinkBoard()
    golden  = SoftwareEndpoint(ARCH, CountingCore())
    pauses  = [stalls(rng, stall), stalls(rng, stall)]
    batches = [b"".join(encode(content) if good else damaged(content) for content, good in batch)
               for batch in Traffic(rng).batches(60)]
    replied = bytearray()
    done    = []

    async def feed(ctx):
        for batch in batches:
            await stream_feed(ctx, dut.i, batch, pauses[0])
            await rest(ctx, dut)
        done.append(True)

    async def drain(ctx):
        while not done:
            ctx.set(dut.o.ready, 0)
            for _ in range(next(pauses[1])):
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            _, _, valid, byte = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                replied.append(byte)

    simulate(dut, feed, drain, monitors=[stream_monitor(dut.o, "o")], max_cycles=300_000)

    for batch in batches:
        golden.write(batch)
    expected = golden.read(2**20, timeout=0)
    assert bytes(replied) == expected
    assert len(expected) > 3000


def converse(simulate, dut, steps, *, max_cycles=20_000):
    """Send each content when the one before was answered; return the answers.

    A step is a content, or a list of contents that are sent together and have one answer each.
    """
    answers = []

    async def testbench(ctx):
        decoder = Decoder()
        ctx.set(dut.o.ready, 1)
        for step in steps:
            contents = step if isinstance(step, list) else [step]
            waiting  = list(b"".join(map(encode, contents)))
            missing  = len(contents)
            while missing:
                ctx.set(dut.i.valid, bool(waiting))
                ctx.set(dut.i.payload, waiting[0] if waiting else 0)
                _, _, valid, byte = await ctx.tick().sample(dut.o.valid, dut.o.payload)
                waiting = waiting[1:]
                if valid:
                    found = decoder.feed(bytes([byte]))
                    answers.extend(found)
                    missing -= len(found)

    simulate(dut, testbench, max_cycles=max_cycles)
    return answers


def command(code, sequence, arguments=b""):
    return COMMAND_HEADER.pack(code, sequence) + arguments


def header(answer):
    return Command(answer[0] & ~REPLY), answer[1], Status(answer[2])


def test_a_run_that_does_not_end_can_be_stopped(simulate):
    dut     = LinkBoard(patience=PATIENCE, stuck=True)
    answers = converse(simulate, dut, [
        command(Command.HELLO, 9, SESSION.pack(77)),
        command(Command.RUN, 10, LAYERS.pack(0, 0)),
        command(Command.RUN, 11, LAYERS.pack(0, 0)),
        command(Command.STATUS, 12),
        command(Command.WAIT, 13),
        # Nothing was executed in between: it was put off.
        [command(Command.WAIT, 13), command(Command.STATUS, 14), command(Command.ABORT, 15)],
        command(Command.STATUS, 16),
        command(Command.RUN, 17, LAYERS.pack(0, 0)),
        command(Command.HELLO, 200, SESSION.pack(78)),
    ])
    assert [header(answer) for answer in answers] == [
        (Command.HELLO,  9,   Status.OK),
        (Command.RUN,    10,  Status.OK),
        (Command.RUN,    11,  Status.BUSY),
        (Command.STATUS, 12,  Status.OK),
        (Command.NAK,    13,  Status.BUSY),
        (Command.WAIT,   13,  Status.ABORTED),
        (Command.STATUS, 14,  Status.ABORTED),
        (Command.ABORT,  15,  Status.OK),
        (Command.STATUS, 16,  Status.OK),
        (Command.RUN,    17,  Status.OK),
        (Command.HELLO,  200, Status.OK),
    ]
    active = [REPORT.unpack(answers[index][3:])[1] for index in (0, 3, 8, 10)]
    assert active == [0, 1, 0, 0]


def test_a_core_that_does_not_answer_is_given_up(simulate):
    last    = ARCH.activation_bytes - 1
    dut     = LinkBoard(patience=PATIENCE, stuck=True)
    answers = converse(simulate, dut, [
        command(Command.HELLO, 0, SESSION.pack(1)),
        command(Command.READ, 1, TRANSFER.pack(Space.ACTIVATION, last - 5, 6)),
        command(Command.STATUS, 2),
        command(Command.READ, 3, TRANSFER.pack(Space.IDENTITY, 0, 4)),
    ])
    assert [header(answer)[2] for answer in answers] == [Status.OK] * 4
    assert len(answers[1]) == 3 + 5 # one byte is missing
    assert len(answers[3]) == 3 + 4


@pytest.mark.parametrize("short", [
    command(Command.HELLO, 1)[:1], command(Command.HELLO, 1, b"abc"),
    command(Command.RUN, 1, b"a"), command(Command.READ, 1, b"abcdef"),
])
def test_a_frame_that_is_too_short_is_refused(simulate, short):
    answers = converse(simulate, LinkBoard(), [
        command(Command.HELLO, 0, SESSION.pack(5)), short,
        command(Command.HELLO, 7, SESSION.pack(6)), command(Command.STATUS, 8)])
    assert header(answers[1])[2] != Status.OK
    assert [header(answer)[1:] for answer in answers[2:]] == [(7, Status.OK), (8, Status.OK)]


@pytest.mark.parametrize("patience", [0, 1, 100, 64.0])
def test_bad_patience_is_rejected(patience):
    with pytest.raises(ValueError, match="patience must be a power of two from 2 on"):
        Endpoint(target("tiny"), patience=patience)
