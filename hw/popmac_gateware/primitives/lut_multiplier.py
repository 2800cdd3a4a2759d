"""Multiplier without a multiplier block."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .carry import ADD_PRODUCTS, CarryChain
from .ecp5 import is_ecp5


__all__ = ["LutMultiplier"]


class LutMultiplier(wiring.Component):
    """Product of a signed number and an unsigned one of 8 bits, in logic.

    Two rows of partial products are added in each of four carry chains, whose positions form the
    products as well; these sums are added in a tree.

    Parameters
    ----------
    a_width : int

    Members
    -------
    a : ``In(signed(a_width))``
    b : ``In(8)``
    product : ``Out(signed(a_width + 8))``

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, the same as of :class:`Multiplier`.
    """

    LATENCY = 3

    def __init__(self, a_width):
        self.a_width = a_width
        super().__init__({
            "a":       In(signed(a_width)),
            "b":       In(8),
            "product": Out(signed(a_width + 8)),
        })

    def elaborate(self, platform):
        m = Module()

        sums = []
        for i in range(4):
            row = Signal(signed(self.a_width + 2), name=f"rows_{i}", reset_less=True)
            if is_ecp5(platform):
                # Position k adds a[k] of the even row to a[k-1] of the odd row.
                width = self.a_width + 2
                m.submodules[f"chain_{i}"] = chain = CarryChain([ADD_PRODUCTS] * width)
                even  = Signal(signed(width), name=f"even_{i}")
                odd   = Signal(signed(width), name=f"odd_{i}")
                m.d.comb += [
                    even.eq(self.a),
                    odd.eq(self.a << 1),
                    chain.a.eq(even),
                    chain.b.eq(self.b[2*i].replicate(width)),
                    chain.c.eq(odd),
                    chain.d.eq(self.b[2*i + 1].replicate(width)),
                ]
                m.d.sync += row.eq(chain.s)
            else:
                m.d.sync += row.eq(self.a * self.b.word_select(i, 2))
            sums.append(row)

        halves = []
        for i in range(2):
            half = Signal(signed(self.a_width + 4), name=f"half_{i}", reset_less=True)
            m.d.sync += half.eq(sums[2*i] + (sums[2*i + 1] << 2))
            halves.append(half)
        product = Signal.like(self.product, reset_less=True)
        m.d.sync += product.eq(halves[0] + (halves[1] << 4))
        m.d.comb += self.product.eq(product)
        return m
