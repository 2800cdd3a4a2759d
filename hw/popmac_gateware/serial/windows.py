"""Where two pixels read, and the bytes that they get."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from ..records import record_layout


__all__ = ["PairWindows"]


LEVEL = record_layout(isa.Level)
LAYER = record_layout(isa.Layer)

_BYTES = 4


class PairWindows(wiring.Component):
    """Positions of two pixels, and windows of four bytes of each, read from one port.

    A step takes a frame of four cycles, in which two words are read for each of the pixels. The
    second pixel is always at the same distance from the first one, which is found out in advance:
    in steps that read nothing, from position 0 to that of the next pixel.

    Parameters
    ----------
    address_bits : int
        Of words of activation memory.

    Members
    -------
    phase : ``In(2)``
        Of the frame.
    level : ``In(LEVEL)``
        What is added to the positions when the step is done; from phase 1 on.
    first_row, first_column, first_word, height, row_bytes, padding : In
        Of the layer; those that begin with ``first`` while ``begin``.
    zero : ``In(1)``
        Go to position 0.
    measured : ``In(1)``
        The first position is the distance of pixels.
    begin : ``In(1)``
        Go to the first step of a layer.
    rotate : ``In(1)``
        In phases 1 and 3 of a step.
    take_second : ``In(1)``
        The position of the second pixel becomes that of the first.
    make_second : ``In(1)``
        Put the second pixel where it belongs.
    address : ``Out(address_bits)``
        Word to read: in phases 2, 3, 0 and 1, beginning with the step's own frame.
    read_data : ``In(32)``
        Of the address of the cycle before.
    bytes : ``Out(ArrayLayout(signed(8), 2))``
        Byte ``phase`` of each window, two frames after the step.
    """

    def __init__(self, address_bits):
        self.address_bits = address_bits
        super().__init__({
            "phase":        In(2),
            "level":        In(LEVEL),
            **{name: In(LAYER[name].shape) for name in (
                "first_row", "first_column", "first_word", "height", "row_bytes", "padding")},
            "zero":         In(1),
            "measured":     In(1),
            "begin":        In(1),
            "rotate":       In(1),
            "take_second":  In(1),
            "make_second":  In(1),
            "address":      Out(address_bits),
            "read_data":    In(8 * _BYTES),
            "bytes":        Out(data.ArrayLayout(signed(8), 2)),
        })

    def elaborate(self, platform):
        m = Module()

        position = data.StructLayout({
            "row":    LEVEL["row"].shape,
            "column": LEVEL["column"].shape,
            "word":   self.address_bits,
        })
        current  = Signal(position, reset_less=True)
        other    = Signal(position, reset_less=True)
        distance = Signal(position, reset_less=True)
        for name, _ in position:
            added = Mux(self.make_second, distance[name], self.level[name])
            with m.If(self.rotate | self.make_second):
                m.d.sync += other[name].eq(current[name] + added)
            with m.If(self.begin):
                m.d.sync += current[name].eq(getattr(self, f"first_{name}"))
            with m.Elif(self.rotate | self.take_second):
                m.d.sync += current[name].eq(other[name])
            with m.If(self.zero):
                m.d.sync += current[name].eq(0)
            with m.If(self.measured):
                m.d.sync += distance[name].eq(current[name])

        # Cycle 0 of each half of a frame: the word, and what is left of the row.
        word   = Signal(self.address_bits, reset_less=True)
        column = Signal.like(current.column, reset_less=True)
        left   = Signal(signed(len(column) + 1), reset_less=True)
        in_row = Signal(reset_less=True)
        with m.If(~self.phase[0]):
            m.d.sync += [
                word.eq(current.word + (current.column >> 2)),
                column.eq(current.column),
                left.eq(self.row_bytes - current.column),
                in_row.eq(current.row.as_unsigned() < self.height),
            ]

        # Cycle 1: its address, and which bytes of the window are inside of the input.
        offset = column[:2]
        inside = Signal(_BYTES)
        for i in range(_BYTES):
            behind_begin = ~column[-1] | (column[2:].all() & (offset >= _BYTES - i if i else 0))
            before_end   = ~left[-1] & (left[2:].any() | (left[:2] > i))
            m.d.comb += inside[i].eq(in_row & behind_begin & before_end)
        m.d.sync += self.address.eq(Mux(self.phase[0], word, self.address + 1))

        # The words arrive two cycles later: the lanes before the offset come from the second one.
        for pixel in range(2):
            when    = (1, 3)[pixel]
            place   = Signal(2, name=f"place_{pixel}", reset_less=True)
            mask    = Signal(_BYTES, name=f"mask_{pixel}", reset_less=True)
            arrived = Signal(data.ArrayLayout(8, _BYTES), name=f"arrived_{pixel}",
                             reset_less=True)
            with m.If(self.phase == when):
                m.d.sync += [place.eq(offset), mask.eq(inside)]
            first_at, second_at = (when + 2) % 4, (when + 3) % 4
            for lane in range(_BYTES):
                with m.If((self.phase == first_at) & (lane >= place)
                          | (self.phase == second_at) & (lane < place)):
                    m.d.sync += arrived[lane].eq(self.read_data.word_select(lane, 8))

            # With the next frame but one they are used, byte by byte.
            used       = Signal.like(arrived, name=f"used_{pixel}", reset_less=True)
            used_place = Signal(2, name=f"used_place_{pixel}", reset_less=True)
            used_mask  = Signal(_BYTES, name=f"used_mask_{pixel}", reset_less=True)
            if pixel == 0: # has been overwritten by then
                kept_place = Signal(2, name="kept_place", reset_less=True)
                kept_mask  = Signal(_BYTES, name="kept_mask", reset_less=True)
                with m.If(self.phase == 3):
                    m.d.sync += [kept_place.eq(place), kept_mask.eq(mask)]
                place, mask = kept_place, kept_mask
            with m.If(self.phase == 3):
                m.d.sync += [used.eq(arrived), used_place.eq(place), used_mask.eq(mask)]
            byte = used[(used_place + self.phase)[:2]]
            m.d.comb += self.bytes[pixel].eq(
                Mux(used_mask.bit_select(self.phase, 1), byte, self.padding))
        return m
