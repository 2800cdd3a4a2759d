"""Streams."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["StreamRegister"]


class StreamRegister(wiring.Component):
    """A register that cuts all combinational paths of a stream, in both directions.

    Parameters
    ----------
    shape : shape-like
        Of the payload.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``

    Timing
    ------
    One cycle from ``i`` to ``o``; one transfer per cycle.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        # What arrives in the cycle in which ``o`` is held up waits in a second register.
        waiting = Signal()
        kept    = Signal.like(self.i.payload, reset_less=True)
        m.d.comb += self.i.ready.eq(~waiting)
        with m.If(~waiting):
            m.d.sync += kept.eq(self.i.payload)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | waiting),
                self.o.payload.eq(Mux(waiting, kept, self.i.payload)),
                waiting.eq(0),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += waiting.eq(1)
        return m
