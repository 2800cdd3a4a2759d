"""Boards behind a network socket."""

import socket
import time

from ..errors import LinkError
from ..protocol import FLAG


__all__ = ["TcpTransport"]


_CONNECT_TIMEOUT = 10.0
_WRITE_TIMEOUT   = 10.0
_GREETING_BYTES  = 200


class TcpTransport:
    """Connection to a device server, as a :class:`.transport.Transport`.

    Parameters
    ----------
    host : str
    port : int

    Raises
    ------
    LinkError
        If nobody answers there.
    """

    def __init__(self, host, port):
        self.host, self.port = host, port
        self._greeting = b"" # the first bytes received
        try:
            self._socket = socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, OverflowError) as error:
            raise LinkError(f"no connection to {host}:{port}: {error}") from error

    def write(self, data):
        """Send all of ``data``."""
        try:
            self._socket.settimeout(_WRITE_TIMEOUT)
            self._socket.sendall(data)
        except OSError as error:
            raise LinkError(f"connection to {self.host}:{self.port} failed: {error}") from error

    def read(self, length, *, timeout):
        """Return what has been received, at most ``length`` bytes."""
        try:
            # Zero would mean not to wait, and to raise another error.
            self._socket.settimeout(max(timeout, 1e-3))
            received = self._socket.recv(length)
        except TimeoutError:
            return b""
        except OSError as error:
            raise LinkError(f"connection to {self.host}:{self.port} failed: {error}") from error
        if not received:
            raise LinkError(f"connection to {self.host}:{self.port} was closed by the other side"
                            f"{self._reason()}")
        self._greeting = (self._greeting + received)[:_GREETING_BYTES]
        return received

    def _reason(self):
        """What a server says that refuses a client: a line of text instead of frames."""
        line, end, _ = self._greeting.partition(b"\n")
        text = line.decode("ascii", "replace")
        return f": {text}" if end and text.isprintable() and FLAG not in line else ""

    def time(self):
        """Seconds since some moment."""
        return time.monotonic()

    def close(self):
        """Close the connection."""
        self._socket.close()
