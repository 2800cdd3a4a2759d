"""A simulated board for other processes: behind a TCP port or a pseudo-terminal."""

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from popmac.errors import ToolError


__all__ = ["TcpPort", "PtyPort", "serve"]


#: Seconds of the board's time that are simulated at once: short enough for an answer to a byte
#: that comes meanwhile.
_SLICE = 2e-4

#: Seconds between looks at whether to stop.
_PATIENCE = 0.2

#: Bytes that a client may leave unread before the board has to wait.
_BACKLOG = 2**16

_CHUNK = 2**16

#: Seconds that a client which is refused has to read why.
_FAREWELL = 1.0


class TcpPort:
    """A TCP port for one client at a time. Others are told who has the board.

    Parameters
    ----------
    host, port : str, int
        Port 0 is any free one.

    Raises
    ------
    ToolError
        If it is taken, or not of this machine.
    """

    def __init__(self, host, port):
        if port >= 2**16:
            raise ToolError(f"cannot listen on {host}:{port}: ports end at {2**16 - 1}")
        try:
            self._listener = socket.create_server((host, port))
        except OSError as error:
            raise ToolError(f"cannot listen on {host}:{port}: {error}") from None
        self._client  = None
        self._leaving = [] # refused clients, and when to give them up
        host, port, *_ = self._listener.getsockname()
        self.url = f"tcp:{host}:{port}"

    def poll(self, seconds, *, write):
        """Wait for something to do, at most ``seconds``; return if there is room to ``write``."""
        readers = [self._listener, *([self._client] if self._client else [])]
        writers = [self._client] if self._client and write else []
        readable, writable, _ = select.select(readers, writers, [], seconds)
        # What the client has to say may be that it has gone: that comes first.
        if self._listener in readable and self._client not in readable:
            self._accept()
        self._see_off()
        return self._client in readable, self._client in writable

    def read(self):
        """Bytes from the client; empty if it has gone."""
        try:
            data = self._client.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._client.close()
            self._client = None
        return data

    def write(self, data):
        """Send some bytes to the client, and return how many."""
        try:
            return self._client.send(data)
        except BlockingIOError:
            return 0
        except OSError: # it is noticed when reading
            return len(data)

    @property
    def connected(self):
        """Whether there is a client."""
        return self._client is not None

    def _accept(self):
        client, address = self._listener.accept()
        client.setblocking(False)
        if self._client is None:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client, self._address = client, address
            return
        host, port, *_ = self._address
        with contextlib.suppress(OSError):
            client.send(f"the device is in use by {host}:{port}\n".encode())
            client.shutdown(socket.SHUT_WR)
        self._leaving.append((client, time.monotonic() + _FAREWELL))

    def _see_off(self):
        # Closed at once, with bytes unread, the connection would lose what was sent.
        for client, deadline in list(self._leaving):
            with contextlib.suppress(OSError):
                if client.recv(_CHUNK) and time.monotonic() < deadline:
                    continue
            if time.monotonic() >= deadline:
                client.close()
                self._leaving.remove((client, deadline))

    def close(self):
        """Let go of the port."""
        for connection in [self._listener, self._client, *(c for c, _ in self._leaving)]:
            if connection is not None:
                connection.close()


class PtyPort:
    """A pseudo-terminal, which a client opens like a serial port.

    Parameters
    ----------
    path : path-like, optional
        Name of a link to it that is made, and removed in the end.

    Raises
    ------
    ToolError
        If this system has none, or there is something at ``path``.
    """

    #: Nobody can tell.
    connected = True

    def __init__(self, path=None):
        try:
            import tty  # not on all systems
        except ImportError:
            raise ToolError("this system has no pseudo-terminals; use --tcp") from None
        self._path = None if path is None else Path(path)
        self._end, self._other = os.openpty() # the other one stays open between clients
        tty.setraw(self._end)
        tty.setraw(self._other)
        os.set_blocking(self._end, False)
        name = os.ttyname(self._other)
        if self._path is not None:
            try:
                self._path.symlink_to(name)
            except OSError as error:
                os.close(self._end)
                os.close(self._other)
                raise ToolError(f"{path}: {error.strerror}") from None
            name = self._path
        self.url = f"serial:{name}"

    def poll(self, seconds, *, write):
        """Wait for something to do, at most ``seconds``; return if there is room to ``write``."""
        readable, writable, _ = select.select([self._end], [self._end] * write, [], seconds)
        return bool(readable), bool(writable)

    def read(self):
        """Bytes from the client."""
        try:
            return os.read(self._end, _CHUNK)
        except BlockingIOError:
            return b""

    def write(self, data):
        """Send some bytes to the client, and return how many."""
        try:
            return os.write(self._end, data)
        except BlockingIOError:
            return 0

    def close(self):
        """Let go of the pseudo-terminal."""
        os.close(self._end)
        os.close(self._other)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def serve(port, board, *, stop):
    """Carry bytes between the client of a port and a board, until ``stop()``.

    Parameters
    ----------
    port : TcpPort or PtyPort
    board : :class:`popmac_sim.board.SimulatedBoard`
    stop : callable
        Asked several times per second, and more often while there is something to do.
    """
    unread = b"" # by the client
    active = False
    while not stop():
        crowded = len(unread) >= _BACKLOG
        readable, writable = port.poll(0 if active and not crowded else _PATIENCE,
                                       write=bool(unread))
        if readable:
            board.write(port.read())
        if not port.connected:
            unread = b""
        elif writable:
            unread = unread[port.write(unread):]
        if crowded:
            continue
        simulated = board.simulated
        received  = board.read(_CHUNK, timeout=_SLICE)
        unread   += received
        # A board that has simulated nothing waits for bytes.
        active    = bool(received) or board.simulated != simulated or bool(board.pending)
