"""Registers in a row."""

from amaranth import *


__all__ = ["delay", "hop"]


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


def hop(m, value, *, name):
    """Value one cycle later, in a register of module ``m`` that shortens its way.

    What is sent from neighbour to neighbour has copies on all places that are equally far away.
    Synthesis would make one register of them, with wires all over the chip. The attribute tells
    the build to keep this one.
    """
    register = Signal.like(value, name=name, reset_less=True, attrs={"hop": 1})
    m.d.sync += register.eq(value)
    return register
