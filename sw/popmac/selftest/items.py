"""What is tested, in which order, and what came of it."""

from dataclasses import dataclass

import numpy as np

from .. import isa
from ..errors import PopmacError
from ..progress import progress
from .link import test_link
from .memories import Difference, test_activations, test_program, test_tables, test_weights
from .operators import OPERATORS, test_operator


__all__ = ["Item", "selftest"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was tested.

    Parameters
    ----------
    name : str
    passed : bool
    detail : str
        What was done, or what is wrong.
    """

    name:   str
    passed: bool
    detail: str


def test_identity(device, rng):
    """The device is what its own configuration says."""
    arch, identity = device.arch, device.identity
    expected = arch.fingerprint(identity.isa_version)
    if identity.fingerprint != expected:
        raise Difference(f"fingerprint {identity.fingerprint:08x} instead of {expected:08x}")
    if identity.isa_version != isa.ISA_VERSION:
        raise Difference(f"instruction set {identity.isa_version} instead of {isa.ISA_VERSION}")
    return (f"{arch.name}, {arch.rows} x {arch.columns}, instruction set {identity.isa_version}, "
            f"fingerprint {identity.fingerprint:08x}")


def selftest(device, *, seed=0):
    """Test a device, with a progress bar on a terminal.

    Sessions of the device end: all of its memories are overwritten.

    Parameters
    ----------
    device : Device
    seed : int
        Of the random values.

    Returns
    -------
    list of Item
    """
    tests = [
        ("identity", test_identity),
        ("activation memory", test_activations), ("program memory", test_program),
        ("weight memory", test_weights), ("tables", test_tables), ("link", test_link),
        *((name, lambda device, rng, make=make: test_operator(device, rng, make))
          for name, make in OPERATORS.items()),
    ]
    items = []
    for number, (name, test) in enumerate(progress(tests, "testing")):
        device.unload()
        try:
            detail, passed = test(device, np.random.default_rng([seed, number])), True
        except PopmacError as error:
            detail, passed = str(error), False
        items.append(Item(name=name, passed=passed, detail=detail))
    return items
