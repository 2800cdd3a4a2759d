"""The multiply-accumulate cell of the systolic array."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .primitives.carry import ADD_SELECTED, KILL, CarryChain
from .primitives.ecp5 import is_ecp5
from .primitives.multiplier import Multiplier


__all__ = ["ProcessingElement", "PAIR"]


#: Activations or weights of the two rows of a row pair.
PAIR = data.ArrayLayout(signed(8), 2)


class ProcessingElement(wiring.Component):
    """Two multiply-accumulates in one multiplier, by the fast inner product.

    ``a0*w0 + a1*w1 = (a0 + w1)*(a1 + w0) - a0*a1 - w0*w1``, exact for all int8 operands [1]_. This
    cell adds only the first term to the partial sum. The second is the same for all columns and is
    subtracted at the foot of each column; the third is a constant of the output channel and is
    part of its bias.

    Weights come from block RAM or from distributed RAM, and the choice between the two is made in
    the same position of the carry chain that adds them.

    Parameters
    ----------
    psum_width : int
        Width of partial sums; they wrap, so it must hold the sum of whole columns only.

    Members
    -------
    activations : ``In(PAIR)``
    weights, tail_weights : ``In(PAIR)``
        From block RAM and from distributed RAM.
    use_tail : ``In(1)``
        Use ``tail_weights``.
    i_psum : ``In(signed(psum_width))``
        From the northern neighbour, :attr:`PSUM_DELAY` cycles behind the operands.
    o_psum : ``Out(signed(psum_width))``
        ``i_psum`` plus product, one cycle behind ``i_psum``.

    Timing
    ------
    Throughput is one pair of products per cycle. There is no flow control: what must not count is
    not accumulated at the foot of the column.

    References
    ----------
    .. [1] Winograd, "A New Algorithm for Inner Product", IEEE Trans. Computers C-17, 1968.
    """

    PSUM_DELAY = 1 + Multiplier.LATENCY

    def __init__(self, *, psum_width):
        self.psum_width = psum_width
        super().__init__({
            "activations":  In(PAIR),
            "weights":      In(PAIR),
            "tail_weights": In(PAIR),
            "use_tail":     In(1),
            "i_psum":       In(signed(psum_width)),
            "o_psum":       Out(signed(psum_width)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.multiplier = multiplier = Multiplier(9, 9)
        factors = [Signal(signed(9), name=f"factor_{i}", reset_less=True) for i in range(2)]
        m.d.comb += [multiplier.a.eq(factors[0]), multiplier.b.eq(factors[1])]

        if is_ecp5(platform):
            m.submodules.chain = chain = CarryChain([*[ADD_SELECTED]*9, KILL, *[ADD_SELECTED]*9])

            def operands(first, second):
                return Cat(first, first[-1], Const(1), second, second[-1])

            m.d.comb += [
                chain.a.eq(operands(self.activations[0], self.activations[1])),
                chain.b.eq(operands(self.tail_weights[1], self.tail_weights[0])),
                chain.c.eq(operands(self.weights[1], self.weights[0])),
                chain.d.eq(self.use_tail.replicate(19)),
            ]
            m.d.sync += Cat(factors).eq(Cat(chain.s[:9], chain.s[10:]))
        else:
            for i in range(2):
                weight = Mux(self.use_tail, self.tail_weights[1 - i], self.weights[1 - i])
                m.d.sync += factors[i].eq(self.activations[i] + weight)

        psum = Signal(signed(self.psum_width), reset_less=True)
        m.d.sync += psum.eq(self.i_psum + multiplier.product)
        m.d.comb += self.o_psum.eq(psum)
        return m
