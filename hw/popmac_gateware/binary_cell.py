"""The XNOR-popcount cell of the array: one column of a row pair, in all planes."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delay
from .primitives.carry import ADD, ADD_EQUAL, INJECT_EQUAL, KILL, CarryChain
from .primitives.ecp5 import is_ecp5
from .primitives.simulated import count_ones, is_simulated


__all__ = ["BinaryCell", "BITS", "STORED_INVERTED", "count_width"]


#: Bits of the activations, and of the weights, of a row pair.
BITS = 16

# Three bits are counted by one full adder each, whose second and third inputs share a position of
# the carry chain; the others are injected as carries further down.
_TRIPLES = 4

#: Bits that the chain compares by being different: these activations enter inverted.
STORED_INVERTED = sum(1 << 3*i + 2 for i in range(_TRIPLES))

# In the simulated board; 64 bits hold the counts of so many.
_PLANES_OF_WORD = 4


def count_width(arch):
    """Bits of the number of equal bits in one step of one column."""
    return (8 * arch.rows).bit_length()


class BinaryCell(wiring.Component):
    """Counts equal bits of activations and weights, and adds the number to partial sums.

    A tree of counters of 3, 7 and 15 bits, with a register behind each level, whose adders are the
    positions of one carry chain; the sixteenth bit is the carry into the partial sum. XNOR costs
    nothing: it is in the functions of the positions.

    Parameters
    ----------
    arch : :class:`ArchConfig`
    row_pair : int
        Place in the column: partial sums have as many bits as they need there.

    Members
    -------
    activations : ``In(ArrayLayout(BITS, planes))``
        With the bits of :data:`STORED_INVERTED` inverted.
    weights : ``In(BITS)``
        The same for all planes.
    i_psums : ``In(ArrayLayout(count_width(arch), planes))``
        From the northern neighbour, :attr:`PSUM_DELAY` cycles behind the operands.
    o_psums : ``Out(ArrayLayout(count_width(arch), planes))``
        ``i_psums`` plus the numbers of equal bits, one cycle behind ``i_psums``.
    """

    PSUM_DELAY = 3

    def __init__(self, arch, *, row_pair):
        self.arch  = arch
        self.width = (BITS * (row_pair + 1)).bit_length()
        counts    = data.ArrayLayout(count_width(arch), arch.planes)
        super().__init__({
            "activations": In(data.ArrayLayout(BITS, arch.planes)),
            "weights":     In(BITS),
            "i_psums":     In(counts),
            "o_psums":     Out(counts),
        })

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            for plane in range(self.arch.planes):
                m.d.comb += self.o_psums[plane].eq(self._chain(m, plane))
            return m

        # All planes at once, in the fields of one word, which simulators are fast at.
        if is_simulated(platform):
            for first in range(0, self.arch.planes, _PLANES_OF_WORD):
                self._counted(m, range(self.arch.planes)[first:first + _PLANES_OF_WORD])
            return m

        planes  = self.arch.planes
        weights = self.weights.replicate(planes)
        counts  = Signal(BITS * planes)
        m.d.comb += counts.eq(~(self.activations.as_value() ^ weights
                                ^ Const(STORED_INVERTED, BITS).replicate(planes)))
        for half in (1, 2, 4, 8):
            mask      = Const((1 << half) - 1, 2 * half).replicate(BITS * planes // (2 * half))
            following = Signal(BITS * planes, name=f"counts_{2 * half}")
            m.d.comb += following.eq((counts & mask) + ((counts >> half) & mask))
            counts = following
        counts = delay(m, counts, self.PSUM_DELAY, name="counts")
        for plane in range(planes):
            psum = Signal(self.width, name=f"psum_{plane}", reset_less=True)
            m.d.sync += psum.eq(self.i_psums[plane] + counts.word_select(plane, BITS)[:5])
            m.d.comb += self.o_psums[plane].eq(psum)
        return m

    def _counted(self, m, planes):
        """Partial sums of some planes, side by side in one word of the simulating processor."""
        width  = count_width(self.arch)
        counts = Signal(width * len(planes), name=f"counts_{planes[0]}")
        for i, plane in enumerate(planes):
            equal = Signal(BITS, name=f"equal_{plane}")
            count = Signal(5, name=f"count_{plane}")
            m.d.comb += [
                equal.eq(~(self.activations[plane] ^ self.weights ^ STORED_INVERTED)),
                counts.word_select(i, width).eq(count),
            ]
            m.submodules[f"count_ones_{plane}"] = count_ones(bits=equal, count=count)
        late  = delay(m, counts, self.PSUM_DELAY, name=f"late_{planes[0]}")
        psums = Signal.like(counts, name=f"psums_{planes[0]}", reset_less=True)
        m.d.sync += psums.eq(Cat(self.i_psums[plane] for plane in planes) + late) # none overflows
        m.d.comb += Cat(self.o_psums[plane] for plane in planes).eq(psums)

    def _chain(self, m, plane):
        """Partial sum of a plane, by one carry chain."""
        a, w  = self.activations[plane], self.weights
        equal = [a[i] ^ ~w[i] for i in range(3 * _TRIPLES, BITS)] # those that are injected
        equal = [delay(m, bit, 1 + max(i - 1, 0), name=f"equal_{plane}_{i}")
                 for i, bit in enumerate(equal)]

        # Positions: function, operands, and whether the sum is of use.
        functions, operands, places = [], [], []

        def position(function, a, b, *rest):
            functions.append(function)
            operands.append((a, b, *(rest or (Const(1), Const(1)))))
            return len(functions) - 1

        def register(indices, name):
            result = Signal(len(indices), name=f"{name}_{plane}", reset_less=True)
            places.append((result, indices))
            return result

        def read():
            return position(KILL, Const(1), Const(1))

        def add(x, y, bit, name):
            """Register of the sum of two numbers and a bit."""
            position(INJECT_EQUAL, bit, Const(1))
            indices = [position(ADD, x[i], y[i]) for i in range(len(x))]
            return register([*indices, read()], name)

        threes = []
        for i in range(0, 3 * _TRIPLES, 3):
            position(INJECT_EQUAL, a[i], w[i])
            low = position(ADD_EQUAL, a[i + 1], w[i + 1], a[i + 2], w[i + 2])
            threes.append(register([low, read()], f"three_{i}"))
        sevens = [add(threes[2*i], threes[2*i + 1], equal[i], f"seven_{i}") for i in range(2)]
        fifteen = add(*sevens, equal[2], "fifteen")

        i_psum = self.i_psums[plane]
        position(INJECT_EQUAL, equal[3], Const(1))
        psum = register([position(ADD, i_psum[i], fifteen[i] if i < 4 else Const(0))
                         for i in range(self.width)], "psum")

        m.submodules[f"chain_{plane}"] = chain = CarryChain(functions)
        for name, values in zip("abcd", zip(*operands)):
            m.d.comb += getattr(chain, name).eq(Cat(values))
        for result, indices in places:
            m.d.sync += result.eq(Cat(chain.s[i] for i in indices))
        return psum
