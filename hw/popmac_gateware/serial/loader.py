"""Copies rows of program memory to where they are needed."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .lane import SLICE_BITS, SLICES


__all__ = ["SliceLoader", "ROW_WORDS"]


#: Rows of program memory begin at multiples of this many words of 32 bits.
ROW_WORDS = 16

_USED_WORDS = isa.ROW_BITS // 32


class SliceLoader(wiring.Component):
    """Reads rows of program memory, and hands them on in slices of 16 bits.

    Nine slices are an entry: half of a row, the parameters of a channel.

    Parameters
    ----------
    row_bits : int
        Of the number of a row.

    Members
    -------
    start : ``In(1)``
        Begin with ``row``.
    row : ``In(row_bits)``
    rows : ``In(2)``
        How many; constant until the end.
    busy : ``Out(1)``
    address : ``Out(row_bits + 4)``
        Word to read while ``busy``.
    read_data : ``In(32)``
        Of the address of the cycle before.
    slices : ``Out(9)``
        One-hot: which slice of the entry ``slice`` is, or 0.
    entry : ``Out(3)``
    slice : ``Out(16)``
    """

    def __init__(self, row_bits):
        super().__init__({
            "start":     In(1),
            "row":       In(row_bits),
            "rows":      In(2),
            "busy":      Out(1),
            "address":   Out(row_bits + 4),
            "read_data": In(2 * SLICE_BITS),
            "slices":    Out(SLICES),
            "entry":     Out(3),
            "slice":     Out(SLICE_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        row    = Signal.like(self.row, reset_less=True)
        left   = Signal(2, reset_less=True)
        word   = Signal(range(ROW_WORDS), reset_less=True)
        high   = Signal() # the word is there, and its low half is handed on
        behind = Signal() # the high half of the word before is handed on
        chosen = Signal(SLICES)
        m.d.comb += [
            self.address.eq(Cat(word, row)),
            self.slice.eq(Mux(high, self.read_data[:SLICE_BITS], self.read_data[SLICE_BITS:])),
            self.slices.eq(Mux(high | behind, chosen, 0)),
        ]
        m.d.sync += [high.eq(self.busy & ~high), behind.eq(high)]
        with m.If(high):
            m.d.sync += word.eq(word + 1)
            with m.If(word == _USED_WORDS - 1):
                m.d.sync += [word.eq(0), row.eq(row + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.d.sync += self.busy.eq(0)
        with m.If(high | behind):
            m.d.sync += chosen.eq(chosen.rotate_left(1))
            with m.If(chosen[-1]):
                m.d.sync += self.entry.eq(self.entry + 1)
        with m.If(self.start):
            m.d.sync += [
                row.eq(self.row), left.eq(self.rows), word.eq(0), self.busy.eq(1),
                self.entry.eq(0), chosen.eq(1),
            ]
        return m
