"""Write the core of a target as Verilog with AXI4-Stream, for other FPGAs."""

from ..arch import target
from ..errors import ToolError
from .output import print_json


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="TARGET", help="whose configuration to take")
    parser.add_argument("--verilog", metavar="DIR", required=True, help="folder to write to")
    parser.add_argument("--tools", choices=["wheels", "native"], default="wheels",
                        help="Yosys from PyPI's wheel, or the one on the path "
                             "(default: %(default)s)")


def execute(options):
    """Run the command."""
    try:
        from popmac_gateware.build.export import export
        from popmac_gateware.build.tools import Tools
    except ImportError as error:
        raise ToolError(f'exporting needs {error.name}: pip install "popmac[build]"') from None
    verilog, template = export(target(options.target), options.verilog,
                               tools=Tools(native=options.tools == "native"))
    if options.json:
        print_json({"verilog": str(verilog), "template": str(template)})
    else:
        print(f"{verilog}, used as in {template}")
