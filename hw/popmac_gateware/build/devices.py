"""What each FPGA has, and where the blocks of each ECP5 are."""

from dataclasses import dataclass


__all__ = ["Device", "DEVICES"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """Grid of one device, as the open tools see it.

    Parameters
    ----------
    option : str
        What nextpnr calls it.
    groups : tuple of int
        Columns where groups of four multipliers, or four memories, begin.
    multiplier_rows, memory_rows : tuple of int
        Rows that consist of multipliers, and of block RAM.
    available : dict
        Number of ``lut4``, ``ff``, ``ebr`` and ``dsp`` that the vendor sells, and of others.
    """

    option:          str
    groups:          tuple = ()
    multiplier_rows: tuple = ()
    memory_rows:     tuple = ()
    available:       dict

    def multipliers(self, row):
        """Sites in a row of multipliers, from west to east: ``(x, name)``."""
        return [(x + i, f"X{x + i}/Y{row}/MULT18_{i}") for x in self.groups for i in (0, 1, 4, 5)]

    def memories(self, row):
        """Sites in a row of memories, from west to east: ``(x, name)``."""
        return [(x + 2*i, f"X{x + 2*i}/Y{row}/EBR{i}") for x in self.groups for i in range(4)]


def _available(lut4, ebr, dsp):
    return {"lut4": lut4, "ff": lut4, "ebr": ebr, "dsp": dsp}


_25F = dict(groups=(*range(4, 30, 9), *range(33, 61, 9)), multiplier_rows=(13,),
            memory_rows=(25, 37))

#: From project Trellis' database of tiles; numbers from the data sheet, Lattice FPGA-DS-02012.
DEVICES = {
    # The chip of the 25F; the tools would give away what was not paid for.
    "LFE5U-12F": Device(option="12k", available=_available(12_000, 32, 28), **_25F),
    "LFE5U-25F": Device(option="25k", available=_available(24_000, 56, 28), **_25F),
    "LFE5U-45F": Device(option="45k", available=_available(44_000, 108, 72),
                        groups=(*range(4, 40, 9), *range(42, 87, 9)),
                        multiplier_rows=(22, 46), memory_rows=(10, 34, 58)),
    "LFE5U-85F": Device(option="85k", available=_available(84_000, 208, 156),
                        groups=(*range(4, 67, 9), *range(69, 123, 9)),
                        multiplier_rows=(10, 34, 58), memory_rows=(22, 46, 70, 82)),
    # Lattice FPGA-DS-02008.
    "iCE40UP5K": Device(option="up5k", available=_available(5_280, 30, 8) | {"spram": 4}),
}
