"""Replies to the host."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac.protocol import REPLY_HEADER, REPORT

from .framing import Item


__all__ = ["Reply", "Replier"]


class Reply(data.Struct):
    """All of a reply but its data."""
    #: As they are sent: header ..
    command:    8
    sequence:   8
    status:     8
    #: .. and report.
    protocol:   8
    active:     8
    garbled:    8
    repeated:   8
    session:    32
    cycles:     32
    #: What is sent behind the header.
    has_report: 1
    has_data:   1


class Replier(wiring.Component):
    """Turns replies into the content of frames.

    Members
    -------
    i : ``In(stream.Signature(Reply))``
        Replies. Accepted when all is sent.
    data : ``In(stream.Signature(Item))``
        Data and an end for each reply that has data.
    o : ``Out(stream.Signature(Item))``
        Content and an end of each frame.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on any stream.

    Timing
    ------
    One byte per cycle.
    """

    i:    In(stream.Signature(Reply))
    data: In(stream.Signature(Item))
    o:    Out(stream.Signature(Item))
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()

        reply = self.i.payload
        size  = REPLY_HEADER.size + REPORT.size
        index = Signal(range(size))
        last  = Mux(reply.has_report, size - 1, REPLY_HEADER.size - 1)
        head  = Signal(data.ArrayLayout(8, size))
        m.d.comb += head.eq(reply)

        item  = Signal(Item)
        ready = Signal() # for the item
        valid = Signal()
        m.d.comb += ready.eq(~self.o.valid | self.o.ready)
        with m.If(ready):
            m.d.sync += self.o.valid.eq(valid)
            m.d.sync += self.o.payload.eq(item)

        m.d.comb += self.idle.eq(~(valid & ready) & ~(self.o.valid & self.o.ready))

        with m.FSM(init="Head"):
            with m.State("Head"):
                m.d.comb += item.data.eq(head[index])
                m.d.comb += valid.eq(self.i.valid)
                with m.If(self.i.valid & ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.d.sync += index.eq(0)
                        m.next = "Data"

            with m.State("Data"):
                with m.If(reply.has_data):
                    m.d.comb += item.eq(self.data.payload)
                    m.d.comb += valid.eq(self.data.valid)
                    m.d.comb += self.data.ready.eq(ready)
                with m.Else():
                    m.d.comb += item.end.eq(1)
                    m.d.comb += valid.eq(1)
                with m.If(valid & ready & item.end):
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "Head"

        return m
