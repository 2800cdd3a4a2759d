"""The device's end of the link in software, in front of anything that can do what a core does."""

import struct
from typing import Protocol

from ..protocol import (
    ALIGNMENT,
    COMMAND_HEADER,
    DATA_BYTES,
    LAYERS,
    PROTOCOL_VERSION,
    READABLE,
    REPETITIONS,
    REPLY,
    REPLY_HEADER,
    REPORT,
    SESSION,
    TRANSFER,
    WINDOW,
    WRITABLE,
    Command,
    Space,
    Status,
    identity,
    space_bytes,
)
from .framing import Decoder, encode


__all__ = ["Core", "SoftwareEndpoint"]


_COMMANDS     = set(Command) - {Command.NAK}
_REPORTED     = {Command.HELLO, Command.STATUS, Command.WAIT}
_NO_ARGUMENTS = struct.Struct("")
_ARGUMENTS    = {Command.HELLO: SESSION, Command.RUN: LAYERS,
                 Command.READ: TRANSFER, Command.WRITE: TRANSFER}


class Core(Protocol):
    """What is behind the link: the host bus, in calls instead of cycles."""

    cycles: int #: Length of the last run.

    def write(self, space: int, address: int, data: bytes) -> None:
        """Write bytes; range and alignment are right."""

    def read(self, space: int, address: int, length: int) -> bytes:
        """Read bytes; range and alignment are right."""

    def run(self, first: int, last: int) -> None:
        """Run layers from ``first`` to ``last``; it is over when this returns."""


class SoftwareEndpoint:
    """Device of which only the core is missing, as a :class:`.transport.Transport`.

    Answers byte for byte what the gateware does, as far as that does not depend on time: a run is
    over at once.

    Parameters
    ----------
    arch : :class:`popmac.arch.ArchConfig`
        Configuration of the device.
    core : :class:`Core`
        What is behind the link.
    """

    def __init__(self, arch, core):
        self.arch = arch
        self.core = core
        self._identity = identity(arch)
        self._sizes    = space_bytes(arch)
        self._decoder  = Decoder()
        self._replies  = bytearray()
        self._time     = 0.0

        self._session  = None
        self._expected = 0
        self._statuses = [Status.OK] * WINDOW # of the last commands
        self._silent   = False                # something was refused since the last new command
        self._garbled  = 0
        self._repeated = 0

    # The transport

    def write(self, data):
        """Receive ``data``, and answer."""
        for content in self._decoder.feed(data):
            self._take(content)

    def read(self, length, *, timeout):
        """Return what has been answered, at most ``length`` bytes."""
        if not self._replies:
            self._time += timeout # nothing will come
        reply = bytes(self._replies[:length])
        del self._replies[:length]
        return reply

    def time(self):
        """Seconds that were spent on waiting in vain."""
        return self._time

    def close(self):
        """Do nothing: there is nothing to let go of."""

    # The endpoint

    def _take(self, content):
        """Execute a command, repeat what was answered before, or refuse."""
        if content is None or len(content) < COMMAND_HEADER.size:
            return self._refuse(Status.GARBLED)
        command, sequence = COMMAND_HEADER.unpack_from(content)
        layout = _ARGUMENTS.get(command, _NO_ARGUMENTS)
        if len(content) < COMMAND_HEADER.size + layout.size:
            return self._refuse(Status.GARBLED)
        arguments = layout.unpack_from(content, COMMAND_HEADER.size)
        rest = content[COMMAND_HEADER.size + layout.size:]

        behind = (self._expected - sequence) % 256
        if command == Command.HELLO:
            new = arguments != (self._session,)
        elif self._session is None:
            return self._refuse(Status.NO_SESSION)
        elif behind > REPETITIONS:
            return self._refuse(Status.GAP)
        else:
            new = behind == 0

        if new:
            status = self._execute(command, arguments, rest)
            if command == Command.HELLO and status == Status.OK:
                self._session, = arguments
                self._garbled = self._repeated = 0
            self._expected = (sequence + 1) % 256
            self._statuses[sequence % WINDOW] = status
            self._silent = False
        else:
            status = self._statuses[sequence % WINDOW]
            self._repeated = (self._repeated + 1) % 256

        reply = b""
        if status == Status.OK and command == Command.READ:
            reply = self._read(*arguments)
        if status == Status.OK and command in _REPORTED:
            reply = REPORT.pack(PROTOCOL_VERSION, False, self._garbled, self._repeated,
                                self._session, self.core.cycles)
        return self._reply(command, sequence, status, reply)

    def _execute(self, command, arguments, rest):
        if command not in _COMMANDS:
            return Status.UNKNOWN
        if command in (Command.READ, Command.WRITE):
            status = self.check(command, *arguments)
            if status != Status.OK:
                return status
        if command == Command.RUN and arguments[0] > arguments[1]:
            return Status.RANGE

        expected = arguments[2] if command == Command.WRITE else 0
        if len(rest) != expected:
            return Status.MALFORMED
        if command == Command.WRITE:
            self.core.write(*arguments[:2], rest)
        if command == Command.RUN:
            self.core.run(*arguments)
        return Status.OK

    def check(self, command, space, address, length):
        """Status that a READ or WRITE of these bytes deserves."""
        if space not in (READABLE if command == Command.READ else WRITABLE):
            return Status.ACCESS
        if length > DATA_BYTES or address + length > self._sizes[space]:
            return Status.RANGE
        if address % ALIGNMENT[space] or length % ALIGNMENT[space]:
            return Status.ALIGNMENT
        return Status.OK

    def _read(self, space, address, length):
        if space == Space.IDENTITY:
            return self._identity[address:address + length]
        return self.core.read(space, address, length)

    def _refuse(self, status):
        if status == Status.GARBLED:
            self._garbled = (self._garbled + 1) % 256
        if not self._silent:
            self._reply(Command.NAK, self._expected, status)
        self._silent = True

    def _reply(self, command, sequence, status, rest=b""):
        self._replies += encode(REPLY_HEADER.pack(command | REPLY, sequence, status) + rest)
