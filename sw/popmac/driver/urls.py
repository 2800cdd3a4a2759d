"""Devices by URL."""

import importlib
from urllib.parse import parse_qsl

from ..arch import target
from ..errors import PopmacError, ToolError
from .device import Device
from .discovery import attached_boards
from .endpoint import SoftwareEndpoint
from .golden import GoldenCore
from .link import Link
from .serial import SerialTransport
from .tcp import TcpTransport


__all__ = ["open_device", "parse_url"]


FORMS = "golden:TARGET, sim:TARGET, serial:PORT, tcp:HOST:PORT"


def open_device(url, **options):
    """Open a device.

    Parameters
    ----------
    url : str
        ``"golden:TARGET"``: the golden model behind the real protocol; it has no clock.
        ``"sim:TARGET"``: the simulated board, cycle by cycle; ``"sim:TARGET?link=fast"`` with a
        link that takes a cycle per byte. ``"serial:/dev/ttyUSB0"``: a board; ``?baud=N`` for
        another rate, ``"serial:"`` for the only board that is attached. ``"tcp:HOST:PORT"``: a
        device server.
    options
        See :class:`Link`.

    Returns
    -------
    Device
        Also a context manager.

    Raises
    ------
    PopmacError
        If the URL is none, or if the device cannot be reached.
    """
    kind, place, settings = parse_url(url)
    try:
        transport = _OPENERS[kind](place, **settings)
    except (TypeError, ValueError) as error:
        raise PopmacError(f"{url!r} is no device ({error}); devices are {FORMS}") from None
    return Device(Link(transport, **options))


def parse_url(url):
    """Kind of device, where it is, and its settings as a dict of str.

    Raises
    ------
    PopmacError
        If there are no such devices.
    """
    kind, _, rest = str(url).partition(":")
    place, _, query = rest.partition("?")
    if kind not in _OPENERS or not place and kind != "serial":
        raise PopmacError(f"{url!r} is no device; devices are {FORMS}")
    try:
        return kind, place, dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError as error:
        raise PopmacError(f"{url!r} is no device ({error}); devices are {FORMS}") from None


def _golden(name):
    arch = target(name)
    return SoftwareEndpoint(arch, GoldenCore(arch))


def _sim(name, link="real"):
    arch = target(name)
    if link not in ("real", "fast"):
        raise ValueError(f"link must be real or fast, not {link!r}")
    try:
        board = importlib.import_module("popmac_sim.board")
    except ImportError as error:
        raise ToolError(f"the simulated board needs {error.name}: "
                        'pip install "popmac[sim]"') from None
    return board.open_board(arch, link=link)


def _serial(port, baud="3000000"):
    baud = int(baud)
    if not port:
        boards = attached_boards()
        if len(boards) != 1:
            raise PopmacError("no board is attached; connect one, or name its port: serial:PORT"
                              if not boards else "several boards are attached; choose one: "
                              + ", ".join(f"serial:{board.port}" for board in boards))
        port = boards[0].port
    return SerialTransport(port, baud=baud)


def _tcp(address):
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError("a port is missing")
    return TcpTransport(host, int(port))


_OPENERS = {"golden": _golden, "sim": _sim, "serial": _serial, "tcp": _tcp}
