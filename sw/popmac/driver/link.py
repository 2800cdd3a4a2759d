"""The host's end of the link."""

import os
import threading
from collections import deque
from typing import NamedTuple

from ..arch import ArchConfig
from ..errors import DeviceError, LinkError, LinkTimeoutError
from ..protocol import (
    ALIGNMENT,
    COMMAND_HEADER,
    DATA_BYTES,
    IDENTITY,
    LAYERS,
    PROTOCOL_VERSION,
    REPLY,
    REPLY_HEADER,
    REPORT,
    SESSION,
    TRANSFER,
    Command,
    Space,
    Status,
    frame_cost,
)
from .framing import Decoder, encode
from .window import Frame, Window


__all__ = ["Identity", "Report", "Pending", "Link"]


#: Receive buffer of the smallest device.
_LEAST_RECEIVE_BYTES = 256

#: At least so many frames with data fit into the receive buffer, to keep the link busy.
_FRAMES_ON_THE_WAY = 4

#: Seconds after which other threads get their turn.
_SLICE = 0.05

_READ_BYTES = 2**16


class Identity(NamedTuple):
    """What a device says about itself."""
    arch:        ArchConfig
    isa_version: int
    fingerprint: int


class Report(NamedTuple):
    """State of a device."""
    #: A run is active.
    active:   bool
    #: Cycles of the last run, if none is active.
    cycles:   int
    #: Frames with errors that the device received in this session, modulo 256.
    garbled:  int
    #: Commands that it received again, modulo 256.
    repeated: int


class Pending:
    """Command that was posted, and maybe answered already."""

    def __init__(self, link, frames, convert):
        self._link, self._frames, self._convert = link, frames, convert

    @property
    def bytes_sent(self):
        """Bytes that were sent for it so far, repetitions included."""
        return sum(frame.bytes_sent for frame in self._frames)

    @property
    def bytes_received(self):
        """Bytes of the answer."""
        return sum(frame.bytes_received for frame in self._frames)

    def result(self):
        """Wait for the answer, and return it.

        Raises
        ------
        DeviceError
            If the device refused the command.
        LinkError, LinkTimeoutError
            If the link failed before the command was answered.
        """
        for frame in self._frames:
            self._link._finish(frame)
        return self._convert(self._frames)


class Link:
    """Commands to a device, several on their way at once, repeated when they are lost.

    The methods named after commands wait for the answer; those that begin with ``post_`` send the
    command when its turn comes, and return a :class:`Pending`. Commands are executed in the order
    in which they are posted, one after the other, and a command that is refused does not keep
    those behind it from being executed. May be used by several threads.

    When a method raises :class:`LinkError`, the session is over: whatever was posted is lost, and
    only :meth:`hello` brings the device back.

    Parameters
    ----------
    transport : Transport
        Carries the bytes.
    timeout : float
        Seconds without an answer after which a command is repeated. More than the device needs for
        the longest frame and for its patience with a run, which is 0.05 s.
    retries : int
        Repetitions without success after which the link is given up.
    frame_bytes : int
        Data per frame, at most; less for a link with many errors.

    Attributes
    ----------
    bytes_sent, bytes_received : int
        Everything that the transport carried.
    """

    def __init__(self, transport, *, timeout=0.5, retries=10, frame_bytes=DATA_BYTES):
        if not max(ALIGNMENT.values()) <= frame_bytes <= DATA_BYTES:
            raise ValueError(f"frame_bytes must be between {max(ALIGNMENT.values())} and "
                             f"{DATA_BYTES}, not {frame_bytes!r}")
        self.timeout = timeout
        self.retries = retries
        self.frame_bytes = frame_bytes
        self.bytes_sent = self.bytes_received = 0

        self._transport = transport
        self._lock      = threading.RLock()
        self._queue     = deque() # not sent yet
        self._window    = None    # sent and not answered
        self._decoder   = Decoder()
        self._error     = LinkError("there is no session yet: hello() begins one")
        self._failures  = 0       # since the last answer
        self._heard     = 0.0     # when anything was last sent or received
        self._suspected = False   # the oldest frame was repeated because of a garbled answer

    # Commands

    def hello(self):
        """Begin a session, whatever the device is doing, and return its :class:`Identity`."""
        with self._lock:
            self._fail(LinkError("another session was begun"))
            self._decoder  = Decoder()
            self._failures = 0
            self._window   = Window(receive_bytes=_LEAST_RECEIVE_BYTES, first=os.urandom(1)[0])
            self._error    = None
            session = os.urandom(SESSION.size)
            hello = Pending(self, [self._post(Frame(Command.HELLO, session))], self._session)
            if (hello.result(),) != SESSION.unpack(session):
                self._fail(LinkError("the device answered to another HELLO"))
                raise self._error
            header = self.read(Space.IDENTITY, 0, IDENTITY.size)
            length, isa_version, fingerprint = IDENTITY.unpack(header)
            text = self.read(Space.IDENTITY, IDENTITY.size, length)
            try:
                arch = ArchConfig.from_json(text.decode())
            except ValueError as error:
                raise DeviceError(f"the device's configuration makes no sense: {error}") from error
            self._window.receive_bytes = arch.receive_bytes
            return Identity(arch, isa_version, fingerprint)

    def read(self, space, address, length):
        """Return ``length`` bytes of device memory."""
        return self.post_read(space, address, length).result()

    def write(self, space, address, data):
        """Write ``data`` to device memory."""
        self.post_write(space, address, data).result()

    def run(self, first, last):
        """Start a run of the layers from ``first`` to ``last``."""
        self.post_run(first, last).result()

    def wait(self, *, timeout=10.0):
        """Wait until no run is active, at most ``timeout`` seconds, and return a report."""
        return self.post_wait(timeout=timeout).result()

    def status(self):
        """Return a report at once."""
        with self._lock:
            return Pending(self, [self._post(Frame(Command.STATUS))], self._report).result()

    def abort(self):
        """Stop the run. What has not been executed yet is refused with ABORTED."""
        with self._lock:
            for frame in self._queue:
                frame.status = Status.ABORTED
            self._queue.clear()
            pending = Pending(self, [self._post(Frame(Command.ABORT))], self._nothing)
        pending.result()

    def post_read(self, space, address, length):
        """Read ``length`` bytes of device memory; the result is the bytes."""
        frames = [Frame(Command.READ, TRANSFER.pack(space, start, size), space, start, size)
                  for start, size in self._pieces(space, address, length)]
        return self._post_all(frames, self._data)

    def post_write(self, space, address, data):
        """Write ``data`` to device memory; the result is ``None``."""
        data = bytes(data)
        frames = [Frame(Command.WRITE, TRANSFER.pack(space, start, size)
                        + data[start - address:start - address + size], space, start, size)
                  for start, size in self._pieces(space, address, len(data))]
        return self._post_all(frames, self._nothing)

    def post_run(self, first, last):
        """Start a run; the result is ``None``, as soon as it has started.

        Sent only when nothing that was posted before it is read any more.
        """
        return self._post_all([Frame(Command.RUN, LAYERS.pack(first, last))], self._nothing)

    def post_wait(self, *, timeout=10.0):
        """Wait until no run is active; the result is a report."""
        return self._post_all([Frame(Command.WAIT, timeout=timeout)], self._report)

    def time(self):
        """Seconds since some moment, of the world or of the simulation."""
        return self._transport.time()

    def close(self):
        """Close the transport."""
        with self._lock:
            self._fail(LinkError("the link is closed"))
            self._transport.close()

    # Commands in frames

    def _pieces(self, space, address, length):
        """Addresses and lengths of the transfers that a large one is made of."""
        receive_bytes = self._window.receive_bytes if self._window else _LEAST_RECEIVE_BYTES
        overhead = frame_cost(b"") + COMMAND_HEADER.size + TRANSFER.size
        step = min(self.frame_bytes, receive_bytes // _FRAMES_ON_THE_WAY - overhead)
        step -= step % ALIGNMENT[space]
        for start in range(address, address + length, step):
            yield start, min(step, address + length - start)

    def _post_all(self, frames, convert):
        with self._lock:
            return Pending(self, [self._post(frame) for frame in frames], convert)

    def _post(self, frame):
        """Queue a frame, and use the occasion to send and to receive."""
        if self._error is not None:
            raise self._error
        self._queue.append(frame)
        self._step(0.0)
        return frame

    @staticmethod
    def _nothing(frames):
        return None

    @staticmethod
    def _data(frames):
        for frame in frames:
            if len(frame.reply) != frame.length:
                raise DeviceError(f"{frame}: the device's core gave only {len(frame.reply)} bytes")
        return b"".join(frame.reply for frame in frames)

    @staticmethod
    def _unpack(frames):
        frame, = frames
        if len(frame.reply) != REPORT.size:
            raise LinkError(f"{frame}: the device answered with {len(frame.reply)} bytes instead "
                            f"of {REPORT.size}")
        return REPORT.unpack(frame.reply)

    @classmethod
    def _report(cls, frames):
        _, active, garbled, repeated, _, cycles = cls._unpack(frames)
        return Report(bool(active), cycles, garbled, repeated)

    @classmethod
    def _session(cls, frames):
        version, *_, session, _ = cls._unpack(frames)
        if version != PROTOCOL_VERSION:
            raise DeviceError(f"the device speaks version {version} of the protocol, and this "
                              f"driver version {PROTOCOL_VERSION}")
        return session

    # Frames on the way

    def _finish(self, frame):
        """Wait until a frame is answered; raise if it cannot be, or was refused."""
        while frame.status is None and frame.error is None:
            self._step(_SLICE)
        if frame.error is not None:
            raise frame.error
        if frame.status != Status.OK:
            raise DeviceError(f"{frame}: the device answered {frame.status.name} instead of OK")

    def _step(self, patience):
        """Send what may be sent, wait for some answer, and look after those that do not come."""
        with self._lock:
            if self._error is not None:
                return
            try:
                self._send_queue()
                left = self._heard + self.timeout - self._transport.time()
                received = self._transport.read(_READ_BYTES, timeout=max(0, min(patience, left)))
                self.bytes_received += len(received)
                for content in self._decoder.feed(received):
                    self._take(content)
                if self._window.frames and self._transport.time() >= self._heard + self.timeout:
                    self._repeat(self._window.frames[:1], LinkTimeoutError(
                        f"{self._window.frames[0]}: no answer within {self.timeout} s, "
                        f"{self.retries + 1} times"))
                self._send_queue()
            except LinkError as error:
                self._fail(error)

    def _send_queue(self):
        frames = []
        while self._queue and self._window.admits(self._queue[0]):
            frames.append(self._queue.popleft())
            self._window.add(frames[-1])
        self._transmit(frames)

    def _send_again(self, frames):
        for frame in frames:
            self._window.send(frame)
        self._transmit(frames)

    def _transmit(self, frames):
        if frames:
            encoded = [encode(frame.content) for frame in frames]
            self._transport.write(b"".join(encoded))
            for frame, data in zip(frames, encoded):
                frame.bytes_sent += len(data)
                self.bytes_sent  += len(data)
            self._heard = self._transport.time()

    def _repeat(self, frames, error):
        """Send frames again, or give up with ``error`` if that was in vain too often."""
        self._failures += 1
        if self._failures > self.retries:
            raise error
        self._send_again(frames)

    def _take(self, content):
        """Act on a frame from the device; ``None`` is a garbled one."""
        if content is None or len(content) < REPLY_HEADER.size:
            # It was an answer, and most likely the one that is due.
            if self._window.frames and not self._suspected:
                self._suspected = True
                self._repeat(self._window.frames[:1], LinkError(
                    f"{self._window.frames[0]}: garbled answers, {self.retries + 1} times"))
            return
        command, sequence, status = REPLY_HEADER.unpack_from(content)
        self._heard = self._transport.time()
        if command == Command.NAK | REPLY:
            self._take_nak(sequence, status)
            return
        frame = self._window.find(sequence)
        if frame is None or command != frame.command | REPLY:
            return # answered before
        if status not in set(Status):
            raise LinkError(f"{frame}: the device answered with unknown status {status}")
        frame.reply, frame.status = content[REPLY_HEADER.size:], Status(status)
        frame.bytes_received += len(encode(content))
        self._failures, self._suspected = 0, False
        self._send_again(self._window.answer(frame))

    def _take_nak(self, expected, status):
        """Send what the device did not get."""
        frames = self._window.frames
        if not frames:
            return
        if status == Status.NO_SESSION and frames[0].command != Command.HELLO:
            raise LinkError(f"{frames[0]}: the device was reset, and knows of no session")
        frame = self._window.find(expected)
        if status == Status.BUSY and frame is not None and frame.command == Command.WAIT:
            # The device lives, and the run goes on.
            now = self._transport.time()
            if frame.deadline is None:
                frame.deadline = now + frame.timeout
            if now > frame.deadline:
                raise LinkTimeoutError(f"the run has not ended within {frame.timeout} s")
            self._failures = 0
        self._repeat(frames, LinkError(
            f"{frames[0]}: the device got only garbled frames, {self.retries + 1} times"))

    def _fail(self, error):
        """Give up the session, and all that was posted."""
        self._error = error
        for frame in [*self._queue, *(self._window.frames if self._window else ())]:
            frame.error = error
        self._queue.clear()
        self._window = None
