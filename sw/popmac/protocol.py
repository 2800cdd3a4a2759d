"""The protocol between host and device, as far as both sides share it."""

import enum


__all__ = ["Space"]


class Space(enum.IntEnum):
    """Memories that the host reaches."""
    ACTIVATION = 0
    WEIGHT     = 1
    PROGRAM    = 2
    IDENTITY   = 3
