"""What carries bytes to a device and back."""

from typing import Protocol


__all__ = ["Transport"]


class Transport(Protocol):
    """A link of bytes, which may lose or garble some; :class:`.link.Link` copes with that.

    Every method may raise :class:`popmac.errors.LinkError` if the link is gone for good.
    """

    def write(self, data: bytes) -> None:
        """Send all of ``data``, in a time that the implementation limits."""

    def read(self, length: int, *, timeout: float) -> bytes:
        """Return what has been received, at most ``length`` bytes.

        Waits for the first byte at most ``timeout`` seconds of :meth:`time`, then returns ``b""``.
        """

    def time(self) -> float:
        """Seconds since some moment: those of the world, or of the simulation."""

    def close(self) -> None:
        """Let go of the link. Nothing else may be called afterwards."""
