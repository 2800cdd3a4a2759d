"""What a host says that makes mistakes, and loses some of it on the way."""

import zlib

from link_core import ARCH

from popmac import isa
from popmac.driver.framing import encode
from popmac.protocol import (
    COMMAND_HEADER,
    DATA_BYTES,
    FLAG,
    LAYERS,
    SESSION,
    TRANSFER,
    WINDOW,
    Command,
    Space,
)


__all__ = ["Traffic", "damaged", "with_check"]


def with_check(content):
    """Content of a frame and its frame check sequence."""
    return content + zlib.crc32(content).to_bytes(4, "little")


def damaged(content):
    """Bytes of a frame whose check fails."""
    frame = encode(content)
    return frame[:1] + bytes([frame[1] ^ 1 if frame[1] ^ 1 != FLAG else 0]) + frame[2:]


class Traffic:
    """Batches of frames whose answers do not depend on time.

    A batch begins with whatever interrupts what is in front of it, ends with what takes the core
    some time, and fits into the receive buffer. Frames are their contents, and whether they are
    damaged on the way.

    Parameters
    ----------
    rng : numpy.random.Generator
    """

    def __init__(self, rng):
        self._rng = rng
        self._sequence = int(rng.integers(256))
        self._recent   = [] # what was executed last and may be repeated

    def batches(self, count):
        """Lists of ``(content, good)``."""
        yield [(COMMAND_HEADER.pack(Command.STATUS, 3), True)]
        yield self._turn(Command.HELLO, SESSION.pack(1))
        for _ in range(count):
            batch = []
            if self._rng.random() < 0.2:
                batch += self._interrupt()
            for _ in range(int(self._rng.integers(6))):
                more = self._command()
                if sum(2 * len(c) + 10 for c, _ in batch + more) < ARCH.receive_bytes - 100:
                    batch += more
            if self._rng.random() < 0.3:
                batch += self._run()
            yield batch

    def _frame(self, command, arguments):
        return COMMAND_HEADER.pack(command, self._sequence) + arguments

    def _turn(self, command, arguments=b"", spoilt=0.0):
        """The command in its turn, maybe damaged at first, maybe sent again."""
        content = self._frame(command, arguments)
        frames  = [(content, False)] * (self._rng.random() < spoilt)
        ahead   = COMMAND_HEADER.pack(Command.STATUS, (self._sequence + 3) % 256)
        frames += [(ahead, True)] * (self._rng.random() < spoilt)
        frames += [(content, True)] * (1 + (self._rng.random() < spoilt))
        self._sequence = (self._sequence + 1) % 256
        self._recent   = [*self._recent, content][1 - WINDOW:]
        return frames

    def _interrupt(self):
        if self._rng.random() < 0.5:
            return self._turn(Command.ABORT)
        self._recent   = []
        self._sequence = int(self._rng.integers(256))
        return self._turn(Command.HELLO, SESSION.pack(int(self._rng.integers(2**32))))

    def _run(self):
        first = int(self._rng.integers(255))
        last  = first + int(self._rng.integers(-1, min(3, 256 - first)))
        if last < first:
            return self._turn(Command.RUN, LAYERS.pack(first, first - 1 if first else 0))[:1]
        return [*self._turn(Command.RUN, LAYERS.pack(first, last)), *self._turn(Command.WAIT)]

    def _command(self):
        rng = self._rng
        match rng.choice(["read", "write", "wrong write", "status", "odd", "repeat", "noise"]):
            case "read":
                return self._turn(Command.READ, TRANSFER.pack(*self._transfer()), 0.2)
            case "write":
                space, address, length = self._transfer()
                return self._turn(Command.WRITE, TRANSFER.pack(space, address, length)
                                  + rng.bytes(length), 0.2)
            case "wrong write":
                # What a frame of the wrong length has written is not defined: write it again.
                space, address, length = self._transfer()
                head = TRANSFER.pack(space, address, length)
                size = max(0, length + int(rng.choice([-5, -4, -3, -1, 1, 4])))
                return [*self._turn(Command.WRITE, head + rng.bytes(size))[:1],
                        *self._turn(Command.WRITE, head + rng.bytes(length))]
            case "status":
                return self._turn(Command(rng.choice([Command.STATUS, Command.WAIT])), b"", 0.2)
            case "odd":
                command = int(rng.choice([Command.STATUS, Command.READ, 7, 100, Command.NAK, 255]))
                return self._turn(command, TRANSFER.pack(*self._transfer()) + rng.bytes(3))
            case "repeat" if self._recent:
                content = self._recent[int(rng.integers(len(self._recent)))]
                # These would interrupt what is in front of them even then.
                return [(content, content[0] not in (Command.HELLO, Command.ABORT))]
            case _:
                return [(rng.bytes(int(rng.integers(1, 30))), False)]

    def _transfer(self):
        """Space, address and length; some of it out of range, or in no space."""
        rng    = self._rng
        space  = int(rng.choice([Space.ACTIVATION] * 3 + [Space.PROGRAM] * 3
                                + [Space.WEIGHT, Space.IDENTITY, 9]))
        unit   = isa.ROW_BYTES if space == Space.PROGRAM else 2 if space == Space.WEIGHT else 1
        length = unit * int(rng.integers(0, 120 // unit))
        top    = {Space.PROGRAM: (ARCH.program_rows - 1) * isa.ROW_BYTES, # without the trace
                  Space.WEIGHT: 2000, Space.IDENTITY: 200}.get(space, ARCH.activation_bytes)
        start  = unit * int(rng.integers((top - length) // unit))
        match int(rng.integers(10)):
            case 0:
                start += 1
            case 1:
                start = int(rng.integers(2**32))
            case 2:
                length = min(DATA_BYTES, length + unit - 1)
        return space, min(start, 2**32 - 1), length
