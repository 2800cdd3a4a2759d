"""Which board each target is for."""

from dataclasses import dataclass

from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.icepi_zero import IcepiZero1_3Platform
from amaranth_boards.ulx3s import (
    ULX3S_12F_Platform,
    ULX3S_25F_Platform,
    ULX3S_45F_Platform,
    ULX3S_85F_Platform,
)

from ..primitives.ecp5 import is_ecp5


__all__ = ["Support", "BOARDS"]


@dataclass(frozen=True)
class Support:
    """What is needed to build for a board and to program it.

    Parameters
    ----------
    platform : class
        Its Amaranth platform, with the default clock, ``uart`` 0 and any number of LEDs.
    loader : str
        Its name for openFPGALoader.
    """

    platform: type
    loader:   str

    @property
    def starts_from_flash(self):
        """Whether :class:`Board` finds a flash to start from."""
        return is_ecp5(self.platform()) and any(
            (resource.name, resource.number) == ("spi_flash", 0)
            for resource in self.platform.resources)


#: By name of target.
BOARDS = {
    "tiny":             Support(ULX3S_25F_Platform, "ulx3s"),
    "ulx3s-12f":        Support(ULX3S_12F_Platform, "ulx3s"),
    "ulx3s-25f":        Support(ULX3S_25F_Platform, "ulx3s"),
    "ulx3s-45f":        Support(ULX3S_45F_Platform, "ulx3s"),
    "ulx3s-85f":        Support(ULX3S_85F_Platform, "ulx3s"),
    "ulx3s-85f-binary": Support(ULX3S_85F_Platform, "ulx3s"),
    "icepi-zero":       Support(IcepiZero1_3Platform, "icepi-zero"),
    "icebreaker":       Support(ICEBreakerPlatform, "ice40_generic"),
}
