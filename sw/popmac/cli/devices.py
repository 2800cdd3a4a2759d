"""List what is attached, and what can be simulated."""

import importlib.util

from ..arch import TARGETS
from ..driver.discovery import attached_boards
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments: none."""


def execute(options):
    """Run the command."""
    boards    = attached_boards()
    simulated = importlib.util.find_spec("popmac_sim") is not None \
        and importlib.util.find_spec("amaranth") is not None
    devices   = [{"url": f"serial:{board.port}", "what": board.board,
                  "detail": board.description} for board in boards]
    for name, arch in TARGETS.items():
        detail = f"{arch.rows} x {arch.columns}, {arch.clock_hz / 1e6:g} MHz"
        if simulated:
            devices.append({"url": f"sim:{name}", "what": "simulated board", "detail": detail})
        devices.append({"url": f"golden:{name}", "what": "golden model", "detail": detail})
    if options.json:
        print_json({"attached": len(boards), "devices": devices})
        return
    print_table("devices", ["device", "what", "detail"],
                [(device["url"], device["what"], device["detail"]) for device in devices])
    if not boards:
        print("no board is attached")
    if not simulated:
        print('simulated boards need: pip install "popmac[sim]"')
