"""Boards behind a serial port."""

import time
from pathlib import Path

from serial import Serial, SerialException

from ..errors import LinkError


__all__ = ["SerialTransport"]


#: Milliseconds that an FTDI chip waits for more bytes; 16 unless it is told otherwise.
_LATENCY = "1"

_WRITE_TIMEOUT = 5.0


class SerialTransport:
    """Serial port, as a :class:`.transport.Transport`.

    Parameters
    ----------
    path : str
        Name of the port, such as ``/dev/ttyUSB0`` or ``COM3``.
    baud : int
        Bits per second.

    Raises
    ------
    LinkError
        If there is no such port, or it is in use.
    """

    def __init__(self, path, *, baud):
        self.path = path
        try:
            self._port = Serial(path, baud, exclusive=True, write_timeout=_WRITE_TIMEOUT)
        except (SerialException, ValueError) as error:
            raise LinkError(f"serial port {path!r} cannot be opened: {error}") from error
        self._lower_latency()

    def _lower_latency(self):
        # Without the right to do so, or with another chip, the link is slower but works.
        timer = Path("/sys/class/tty") / Path(self.path).name / "device/latency_timer"
        try:
            timer.write_text(_LATENCY)
        except OSError:
            try:
                self._port.set_low_latency_mode(True)
            except (OSError, ValueError, NotImplementedError, AttributeError):
                pass

    def write(self, data):
        """Send all of ``data``."""
        try:
            self._port.write(data)
        except (SerialException, OSError) as error:
            raise LinkError(f"serial port {self.path!r} failed: {error}") from error

    def read(self, length, *, timeout):
        """Return what has been received, at most ``length`` bytes."""
        try:
            self._port.timeout = timeout
            first = self._port.read(1)
            return first + self._port.read(min(length - 1, self._port.in_waiting))
        except (SerialException, OSError, TypeError) as error:
            # pyserial raises TypeError when the port is closed by another thread.
            raise LinkError(f"serial port {self.path!r} failed: {error}") from error

    def time(self):
        """Seconds since some moment."""
        return time.monotonic()

    def close(self):
        """Close the port."""
        self._port.close()
