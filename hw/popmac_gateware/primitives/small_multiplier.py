"""Multipliers of the size that small chips have."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .ice40 import is_ice40, sb_mac16_bytes, sb_mac16_words


__all__ = ["ByteMultipliers", "WordMultiplier"]


class ByteMultipliers(wiring.Component):
    """Two products of signed bytes, in one multiplier block.

    Members
    -------
    a, b : ``In(ArrayLayout(signed(8), 2))``
    products : ``Out(ArrayLayout(signed(16), 2))``

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, throughput two products per cycle.
    """

    LATENCY = 2

    a:        In(data.ArrayLayout(signed(8), 2))
    b:        In(data.ArrayLayout(signed(8), 2))
    products: Out(data.ArrayLayout(signed(16), 2))

    def elaborate(self, platform):
        m = Module()
        if is_ice40(platform):
            m.submodules.block = sb_mac16_bytes(a=self.a.as_value(), b=self.b.as_value(),
                                                products=self.products.as_value())
            return m
        for i in range(2):
            a, b = (Signal(signed(8), name=f"{name}_{i}", reset_less=True) for name in "ab")
            m.d.sync += [a.eq(self.a[i]), b.eq(self.b[i]), self.products[i].eq(a * b)]
        return m


class WordMultiplier(wiring.Component):
    """Product of two signed numbers of 16 bits, in one multiplier block.

    Members
    -------
    a, b : ``In(signed(16))``
    product : ``Out(signed(32))``

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, throughput one product per cycle.
    """

    LATENCY = 2

    a:       In(signed(16))
    b:       In(signed(16))
    product: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        if is_ice40(platform):
            m.submodules.block = sb_mac16_words(a=self.a, b=self.b, product=self.product)
            return m
        a, b = (Signal(signed(16), name=name, reset_less=True) for name in ("s1_a", "s1_b"))
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.product.eq(a * b)]
        return m
