"""Signed multiplier."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .ecp5 import is_ecp5, mult18x18d


__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Product of two signed numbers, in one multiplier block.

    Parameters
    ----------
    a_width, b_width : int
        At most 18.

    Members
    -------
    a : ``In(signed(a_width))``
    b : ``In(signed(b_width))``
    product : ``Out(signed(a_width + b_width))``

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, throughput one product per cycle. It cannot be stalled:
    the open tools do not support the enable of the multiplier's output register.
    """

    LATENCY = 3

    def __init__(self, a_width, b_width):
        for width in (a_width, b_width):
            if not 1 <= width <= 18:
                raise ValueError(f"Operands must have between 1 and 18 bits, not {width!r}")
        self.a_width = a_width
        self.b_width = b_width
        super().__init__({
            "a":       In(signed(a_width)),
            "b":       In(signed(b_width)),
            "product": Out(signed(a_width + b_width)),
        })

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            # Aligned to the left, so that no sign extension needs to be routed.
            full = Signal(36)
            m.submodules.mult = mult18x18d(
                a=Cat(Const(0, 18 - self.a_width), self.a),
                b=Cat(Const(0, 18 - self.b_width), self.b), product=full)
            m.d.comb += self.product.eq(full[36 - self.a_width - self.b_width:])
        else:
            a, b   = Signal.like(self.a, reset_less=True), Signal.like(self.b, reset_less=True)
            stage  = Signal.like(self.product, reset_less=True)
            output = Signal.like(self.product, reset_less=True)
            m.d.sync += [a.eq(self.a), b.eq(self.b), stage.eq(a * b), output.eq(stage)]
            m.d.comb += self.product.eq(output)
        return m
