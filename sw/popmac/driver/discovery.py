"""Boards that are attached to this machine, by the identity of their USB interface."""

from dataclasses import dataclass

from serial.tools.list_ports import comports


__all__ = ["Attached", "attached_boards"]


#: USB vendor and product, beginning of the product's name, and the board. The chips are FTDI's
#: FT231X and FT2232H, which the boards' makers have given names.
_BOARDS = [
    (0x0403, 0x6015, "ULX3S",      "ULX3S"),
    (0x0403, 0x6010, "iCEBreaker", "iCEBreaker"),
]


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A board that may be opened.

    Parameters
    ----------
    port : str
        Of the operating system.
    board : str
    description : str
        What the USB interface says about itself.
    """

    port:        str
    board:       str
    description: str


def attached_boards():
    """Boards that are attached, in the order of their ports.

    Returns
    -------
    list of Attached
    """
    found = []
    for port in sorted(comports()):
        product = port.product or ""
        for vendor, number, name, board in _BOARDS:
            if (port.vid, port.pid) == (vendor, number) and product.startswith(name):
                serial = f", serial number {port.serial_number}" if port.serial_number else ""
                found.append(Attached(port=port.device, board=board,
                                      description=f"{product}{serial}"))
    return found
