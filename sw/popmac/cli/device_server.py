"""Offer the simulated board to other processes, on TCP or on a pseudo-terminal, until Ctrl-C."""

import signal

from ..arch import target
from ..errors import PopmacError, ToolError
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="TARGET", help="target that is simulated")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--tcp", metavar="HOST:PORT", default="127.0.0.1:0",
                       help="port 0 is any free one; default: %(default)s")
    place.add_argument("--pty", metavar="PATH", nargs="?", const="",
                       help="a pseudo-terminal instead, with a link to it at PATH")
    parser.add_argument("--link", choices=["real", "fast"], default="fast",
                        help="simulated time that a byte takes: the real board's, or one cycle; "
                             "default: %(default)s")


def execute(options):
    """Run the command."""
    try:
        from popmac_sim.board import open_board
        from popmac_sim.server import PtyPort, TcpPort, serve
    except ImportError as error:
        raise ToolError(f'the simulated board needs {error.name}: pip install "popmac[sim]"') \
            from None
    arch = target(options.target)
    host, _, number = options.tcp.rpartition(":")
    if not host or not number.isdecimal():
        raise PopmacError(f"--tcp must be HOST:PORT, not {options.tcp!r}")
    board = open_board(arch, link=options.link)
    port  = TcpPort(host, int(number)) if options.pty is None else PtyPort(options.pty or None)
    stops = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stops.append(number))
    if options.json:
        print_json({"url": port.url, "target": arch.name})
    else:
        print(port.url, flush=True)
    try:
        serve(port, board, stop=lambda: stops)
    finally:
        port.close()
        board.close()
