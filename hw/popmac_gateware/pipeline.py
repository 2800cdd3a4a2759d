"""Registers in a row."""

from amaranth import *


__all__ = ["delay"]


def delay(m, value, cycles, *, name):
    """Value ``cycles`` cycles later, in registers of module ``m`` called ``name_1`` and so on.

    The registers begin at 0 but are not reset: a reset has to last until what was on its way when
    it began has gone through.
    """
    for cycle in range(1, cycles + 1):
        register = Signal.like(value, name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
