"""Carry chains with four-input functions in front, as the ECP5 has them."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .ecp5 import ccu2c, is_ecp5


__all__ = ["CarryChain", "ADD", "ADD_SELECTED", "ACCUMULATE", "ADD_PRODUCTS", "ADD_EQUAL",
           "INJECT_EQUAL", "KILL"]


# Functions of one position, as truth tables over (D, C, B, A). The carry that is generated where
# the function is 0 is the function at C = D = 0, which these choices make come out right.

#: ``A + B``; C = D = 1.
ADD          = 0x666A
#: ``A + (B if D else C)``
ADD_SELECTED = 0x665A
#: ``A + (0 if C else B)``; D = 1.
ACCUMULATE   = 0xA6AA
#: ``(A & B) + (C & D)``: two rows of partial products.
ADD_PRODUCTS = 0x7888
#: ``(A == B) + (C != D)``
ADD_EQUAL    = 0x9669
#: Nothing, but the carry into the next position is ``A == B``; C = D = 1.
INJECT_EQUAL = 0x0009
#: The carry comes out as the sum, and the next position starts anew.
KILL         = 0x0000


class CarryChain(wiring.Component):
    """One chain of positions from least to most significant, without carry in.

    Parameters
    ----------
    functions : sequence of int
        Truth table of each position.

    Members
    -------
    a, b, c, d : ``In(len(functions))``
        Operands of each position. Unused ones are best tied to 1: a constant 0 is routed.
    s : ``Out(len(functions))``
        Function XOR carry, combinational.
    """

    def __init__(self, functions):
        self.functions = tuple(functions)
        super().__init__({name: In(len(self.functions)) for name in "abcd"}
                         | {"s": Out(len(self.functions))})

    def elaborate(self, platform):
        m = Module()
        carry = Const(0)
        if is_ecp5(platform):
            # An odd chain is filled up with a position whose carry leads nowhere.
            functions = [*self.functions, *([KILL] * (len(self.functions) % 2))]
            padding   = len(functions) - len(self.functions)
            a, b, c, d = (Cat(x, Const(1).replicate(padding))
                          for x in (self.a, self.b, self.c, self.d))
            sums      = Signal(len(functions))
            for i in range(0, len(functions), 2):
                carry_out = Signal(name=f"carry_{i}")
                m.submodules[f"position_{i}"] = ccu2c(inits=functions[i:i + 2],
                    a=a[i:i + 2], b=b[i:i + 2], c=c[i:i + 2], d=d[i:i + 2],
                    carry=(carry, carry_out), sums=sums[i:i + 2])
                carry = carry_out
            m.d.comb += self.s.eq(sums)
        else:
            for i, function in enumerate(self.functions):
                table     = Const(function, 16)
                propagate = Signal(name=f"propagate_{i}")
                carry_out = Signal(name=f"carry_{i}")
                m.d.comb += [
                    propagate.eq(table.bit_select(Cat(self.a[i], self.b[i], self.c[i], self.d[i]),
                                                  1)),
                    self.s[i].eq(propagate ^ carry),
                    carry_out.eq(Mux(propagate, carry,
                                     table.bit_select(Cat(self.a[i], self.b[i]), 1))),
                ]
                carry = carry_out
        return m
