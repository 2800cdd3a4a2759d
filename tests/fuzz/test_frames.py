"""Garbage for the frame decoder and the executor in the Verilated core: it goes on to answer."""

import struct

import pytest
from link_traffic import Traffic, damaged

from popmac.arch import target
from popmac.driver.framing import Decoder, encode
from popmac.protocol import COMMAND_HEADER, ESCAPE, FLAG, SESSION, TRANSFER, Command, Space
from popmac_sim.board import SimulatedBoard, build_board
from popmac_sim.stimulus import random_bytes


#: Seconds of the board's time that an answer may take.
SECONDS = 0.2


def garbage(rng, real):
    """Bytes of one case."""
    match rng.integers(6):
        case 0: # noise
            return random_bytes(rng, int(rng.integers(1, 300)), special=[FLAG, ESCAPE, 0, 1, 5])
        case 1: # a frame with a right check and any content
            return encode(random_bytes(rng, int(rng.integers(1, 40)), special=range(8)))
        case 2: # a transfer of anything
            content = COMMAND_HEADER.pack(int(rng.choice([Command.READ, Command.WRITE])),
                                          int(rng.integers(256)))
            numbers = [int(rng.choice([0, 1, 2**8, 2**15, 2**16 - 1])), int(rng.integers(2**32))]
            content += TRANSFER.pack(int(rng.integers(5)), numbers[int(rng.integers(2))],
                                     numbers[0])
            return encode(content + rng.bytes(int(rng.integers(50))))
        case 3: # a frame without end
            return b"\x7e" + bytes(int(rng.integers(2000)))
        case 4: # a good frame, cut
            frame = encode(real[int(rng.integers(len(real)))])
            return frame[:int(rng.integers(len(frame)))]
        case _: # a good frame, damaged
            return damaged(real[int(rng.integers(len(real)))])


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_next_good_frame_is_answered(rng, count):
    board   = SimulatedBoard(build_board(target("tiny")), target("tiny"), fast=True)
    real    = [content for batch in Traffic(rng).batches(50) for content, _ in batch]
    decoder = Decoder()
    for case in range(count):
        session = struct.unpack("<I", rng.bytes(4))[0]
        hello   = COMMAND_HEADER.pack(Command.HELLO, case % 256) + SESSION.pack(session)
        board.write(garbage(rng, real) + encode(hello))
        until, answers = board.time() + SECONDS, []
        while not any(a and a[0] == 0x80 and a[1] == case % 256 and a[7:11] == SESSION.pack(session)
                      for a in answers):
            assert board.time() < until, f"case {case}: no answer to HELLO"
            answers = decoder.feed(board.read(10_000, timeout=SECONDS))
        # It executes, too.
        read = COMMAND_HEADER.pack(Command.READ, (case + 1) % 256)
        board.write(encode(read + TRANSFER.pack(Space.IDENTITY, 0, 8)))
        answers = []
        while not any(a and a[:3] == bytes([0x85, (case + 1) % 256, 0]) for a in answers):
            assert board.time() < until, f"case {case}: no answer to READ"
            answers = decoder.feed(board.read(10_000, timeout=SECONDS))
    assert decoder.garbled == 0
