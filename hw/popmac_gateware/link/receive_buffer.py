"""The buffer between link and executor, which passes on frames that are whole and right."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .framing import Item, Received


__all__ = ["ReceiveBuffer"]


class ReceiveBuffer(wiring.Component):
    """Ring buffer of frames.

    A frame is written tentatively. When its end comes and its frame check sequence was right, it
    is committed: only then does anything of it appear at ``o``. Otherwise all of it is taken back
    and a bare end takes its place, so that whoever reads the frames learns at the right moment
    that one is missing.

    A frame that does not fit is taken back too; if there is no room for a bare end either, it
    vanishes. That cannot happen while each frame in the buffer, and the one that is coming, is
    counted with all of its bytes and one for its end, and the sum is at most ``depth``.

    Parameters
    ----------
    depth : int
        Bytes and ends in the buffer. A power of two.
    urgent_bytes : collection of int
        First bytes of frames that are announced by ``urgent``.

    Members
    -------
    i : ``In(stream.Signature(Received))``
        Bytes and ends of received frames. Always ready.
    o : ``Out(stream.Signature(Item))``
        The same without frames that were taken back, and with bare ends for these.
    urgent : ``Out(1)``
        In this cycle, a frame with an urgent first byte is committed.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on ``i`` or ``o``.

    Timing
    ------
    One item per cycle. The first item of a frame appears four cycles after its end was accepted.

    Raises
    ------
    ValueError
        If ``depth`` is not a power of two.
    """

    def __init__(self, *, depth, urgent_bytes=()):
        if not isinstance(depth, int) or depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 on, not {depth!r}")
        self.depth = depth
        self.urgent_bytes = tuple(urgent_bytes)
        super().__init__({
            "i":      In(stream.Signature(Received)),
            "o":      Out(stream.Signature(Item)),
            "urgent": Out(1),
            "idle":   Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.memory = memory = Memory(shape=Item, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port()

        # Pointers count modulo twice the depth, so that full and empty differ. From *head* to
        # *committed* are items that will be read, from there to *tail* those of the frame that
        # is coming.
        head      = Signal(range(2 * self.depth))
        committed = Signal.like(head)
        tail      = Signal.like(head)
        lost      = Signal() # an item of the frame that is coming did not fit
        begun     = Signal() # the frame that is coming has a first byte, and ..
        urgent    = Signal() # .. it is urgent

        # cycle 1: only a register, because the check of a frame takes its time.
        item = Signal(Received)
        come = Signal()
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += item.eq(self.i.payload)
        m.d.sync += come.eq(self.i.valid)

        # cycle 2
        full     = Signal() # for the frame that is coming, as of a cycle ago
        crowded  = Signal() # for its bare end
        almost   = Signal.like(head, init=2 * self.depth - 1) # head - 1
        good     = Signal()
        withdraw = Signal()
        target   = Signal.like(head)
        behind   = Signal.like(head)
        m.d.comb += [
            good.eq(item.good & ~lost & ~full),
            withdraw.eq(item.end & ~good),
            target.eq(Mux(withdraw, committed, tail)),
            behind.eq(target + write.en),
            write.addr.eq(target),
            write.data.data.eq(item.data),
            write.data.end.eq(item.end),
            write.en.eq(come & Mux(withdraw, ~crowded, ~full)),
            self.urgent.eq(come & item.end & good & urgent),
        ]

        def fills(pointer):
            """Whether the buffer is full with the pointer where it is, or one further."""
            return Mux(write.en, (pointer ^ almost) == self.depth, (pointer ^ head) == self.depth)

        filled = Mux(withdraw, fills(committed), fills(tail))
        m.d.sync += [
            full.eq(Mux(come, filled, (tail ^ head) == self.depth)),
            crowded.eq(Mux(come & item.end, filled, (committed ^ head) == self.depth)),
        ]
        with m.If(come):
            m.d.sync += tail.eq(behind)
            m.d.sync += begun.eq(~item.end)
            with m.If(item.end):
                m.d.sync += committed.eq(behind)
                m.d.sync += lost.eq(0)
            with m.Else():
                m.d.sync += lost.eq(lost | full)
            with m.If(~begun):
                m.d.sync += urgent.eq(0)
                with m.Switch(item.data):
                    with m.Case(*self.urgent_bytes):
                        m.d.sync += urgent.eq(1)

        # Two stages: block RAM is too slow for anything but a register behind it.
        fetched = Signal()
        move    = Signal()
        m.d.comb += [
            move.eq(fetched & (~self.o.valid | self.o.ready)),
            read.addr.eq(head),
            read.en.eq((head != committed) & (~fetched | move)),
            self.idle.eq(~come & ~read.en & ~move),
        ]
        with m.If(read.en):
            m.d.sync += [head.eq(head + 1), almost.eq(head)]
        with m.If(read.en):
            m.d.sync += fetched.eq(1)
        with m.Elif(move):
            m.d.sync += fetched.eq(0)
        with m.If(move):
            m.d.sync += self.o.payload.eq(read.data)
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        return m
