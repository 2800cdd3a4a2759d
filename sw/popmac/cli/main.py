"""Commands and their arguments."""

import argparse
import sys

from ..errors import PopmacError
from . import (
    bench,
    build,
    check,
    compare,
    compile,
    demo,
    device_server,
    devices,
    evaluate,
    export,
    profile,
    program,
    quantize,
    run,
    selftest,
    verify,
)


__all__ = ["main"]


COMMANDS = [demo, check, compile, run, verify, profile, evaluate, compare, quantize, build,
            program, export, device_server, devices, selftest, bench]


def main(arguments=None):
    """Run a command and return its exit status.

    0: fine. 1: a comparison failed. 2: bad usage or bad input; one line on standard error says
    what is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="popmac", description="Quantised neural networks on open FPGAs, bit-exact.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        name    = command.__name__.rpartition(".")[2].replace("_", "-")
        summary = command.__doc__.strip().splitlines()[0]
        sub     = subparsers.add_parser(name, help=summary, description=command.__doc__)
        command.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print machine-readable JSON")
        sub.set_defaults(execute=command.execute)
    options = parser.parse_args(arguments)
    try:
        return options.execute(options) or 0
    except PopmacError as error:
        print(f"popmac: {' | '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except BrokenPipeError: # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("popmac: interrupted", file=sys.stderr)
        return 130
