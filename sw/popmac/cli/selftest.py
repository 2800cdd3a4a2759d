"""Test a device: memories, link, and every operator against the golden model."""

from dataclasses import asdict

from ..driver.urls import open_device
from ..selftest import selftest
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("--device", default="sim:ulx3s-85f", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0,
                        help="of the random values; default: %(default)s")


def execute(options):
    """Run the command; 1 if something is wrong."""
    with open_device(options.device) as device:
        items = selftest(device, seed=options.seed)
    failed = [item.name for item in items if not item.passed]
    if options.json:
        print_json({"passed": not failed, "failed": failed, "items": [asdict(i) for i in items]})
    else:
        print_table(f"self-test of {options.device}", ["item", "verdict", "detail"],
                    [(item.name, "passed" if item.passed else "FAILED", item.detail)
                     for item in items])
        print(f"FAILED: {', '.join(failed)}" if failed else f"passed: {len(items)} items")
    return 1 if failed else 0
