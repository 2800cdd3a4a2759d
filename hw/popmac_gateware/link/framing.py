"""Frames on the link: HDLC-like framing (RFC 1662) with a 32-bit frame check sequence."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from popmac.protocol import ESCAPE, ESCAPE_XOR, FCS_BYTES, FLAG


__all__ = ["Received", "Item", "Deframer", "Enframer"]


class Received(data.Struct):
    """A byte of a frame, or (``end``) what comes behind its last byte."""
    data: 8
    end:  1
    #: With ``end``: the frame check sequence was right.
    good: 1


class Item(data.Struct):
    """A byte of a frame, or (``end``) what comes behind its last byte."""
    data: 8
    end:  1


class Deframer(wiring.Component):
    """Finds frames in a stream of bytes.

    The four bytes of the frame check sequence are passed on with the content in front of them.
    Flags without anything between them are not a frame.

    Members
    -------
    i : ``In(stream.Signature(8))``
        Bytes from the link.
    o : ``Out(stream.Signature(Received))``
        Each byte of a frame, unescaped, and an end.

    Timing
    ------
    Combinational between ``i`` and ``o``; at most one byte per cycle.
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(Received))

    def elaborate(self, platform):
        m = Module()

        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()

        flag    = self.i.payload == FLAG
        escape  = self.i.payload == ESCAPE
        escaped = Signal() # the byte before was an escape
        inside  = Signal() # a byte has come since the last flag

        m.d.comb += [
            self.o.valid.eq(self.i.valid & Mux(flag, inside, escaped | ~escape)),
            self.o.payload.data.eq(self.i.payload ^ Mux(escaped, ESCAPE_XOR, 0)),
            self.o.payload.end.eq(flag),
            # An escape before the flag is how a sender gives a frame up.
            self.o.payload.good.eq(crc.match_detected & ~escaped),
            self.i.ready.eq(~self.o.valid | self.o.ready),

            crc.start.eq(self.i.valid & self.i.ready & flag),
            crc.valid.eq(self.o.valid & self.o.ready & ~flag),
            crc.data.eq(self.o.payload.data),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += inside.eq(~flag)
            m.d.sync += escaped.eq(escape & ~escaped)

        return m


class Enframer(wiring.Component):
    """Makes a stream of bytes of frames: escapes them, adds the frame check sequence and flags.

    Members
    -------
    i : ``In(stream.Signature(Item))``
        Each byte of the content of a frame, and an end.
    o : ``Out(stream.Signature(8))``
        Bytes to the link. Each frame begins and ends with a flag.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on ``i`` or ``o``.

    Timing
    ------
    One byte per cycle, two cycles after the item that it is made of.
    """

    i:    In(stream.Signature(Item))
    o:    Out(stream.Signature(8))
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()

        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        fcs   = crc.crc.word_select
        index = Signal(range(FCS_BYTES))

        # Each *plain* byte goes to a register of its own first, where it is known whether it has to
        # be escaped: then the escape goes before it. Flags are never escaped.
        plain   = Signal(8)
        offered = Signal()
        flag    = Signal()
        taken   = Signal() # of what is offered
        waiting = Signal(data.StructLayout({"valid": 1, "byte": 8, "special": 1}))
        escaped = Signal()
        step    = Signal() # to the output
        free    = ~self.o.valid | self.o.ready
        m.d.comb += [
            step.eq(waiting.valid & free & (escaped | ~waiting.special)),
            taken.eq(offered & (~waiting.valid | step)),
        ]
        with m.If(~waiting.valid | step):
            m.d.sync += [
                waiting.valid.eq(offered),
                waiting.byte.eq(plain),
                waiting.special.eq(~flag & ((plain == FLAG) | (plain == ESCAPE))),
            ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(waiting.valid)
            with m.If(waiting.valid):
                m.d.sync += escaped.eq(~step)
                m.d.sync += self.o.payload.eq(
                    Mux(step, waiting.byte ^ Mux(escaped, ESCAPE_XOR, 0), ESCAPE))

        ended = Signal()
        m.d.comb += [
            plain.eq(self.i.payload.data),
            crc.data.eq(self.i.payload.data),
            self.idle.eq(~taken & ~ended & ~(waiting.valid & free)),
        ]

        with m.FSM(init="Open"):
            with m.State("Open"):
                m.d.comb += plain.eq(FLAG)
                m.d.comb += flag.eq(1)
                m.d.comb += offered.eq(self.i.valid)
                m.d.comb += crc.start.eq(1)
                with m.If(taken):
                    m.next = "Content"

            with m.State("Content"):
                m.d.comb += offered.eq(self.i.valid & ~self.i.payload.end)
                m.d.comb += ended.eq(self.i.valid & self.i.payload.end)
                m.d.comb += self.i.ready.eq(ended | taken)
                m.d.comb += crc.valid.eq(taken)
                with m.If(ended):
                    m.next = "Check"

            with m.State("Check"):
                m.d.comb += plain.eq(fcs(index, 8))
                m.d.comb += offered.eq(1)
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == FCS_BYTES - 1):
                        m.next = "Close"

            with m.State("Close"):
                m.d.comb += plain.eq(FLAG)
                m.d.comb += flag.eq(1)
                m.d.comb += offered.eq(1)
                with m.If(taken):
                    m.next = "Open"

        return m
