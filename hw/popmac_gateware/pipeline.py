"""Registers in a row."""

from amaranth import *


__all__ = ["delay"]


def delay(m, value, cycles, *, name, reset_less=True):
    """Value ``cycles`` cycles later, in registers of module ``m`` called ``name_1`` and so on."""
    for cycle in range(1, cycles + 1):
        register = Signal.like(value, name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
