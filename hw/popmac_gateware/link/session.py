"""Whose turn it is."""

from amaranth import *
from amaranth.lib import enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from popmac.protocol import REPETITIONS, WINDOW, Status


__all__ = ["Turn", "Session"]


class Turn(enum.Enum, shape=2):
    """What the session says about a command."""
    #: Execute it.
    NEW      = 0
    #: It has been executed before.
    REPEATED = 1
    #: One before it is missing.
    AHEAD    = 2
    #: There is no session yet.
    STRANGER = 3


class Session(wiring.Component):
    """Keeps the sequence of the commands, and remembers how they ended.

    Parameters
    ----------
    in_block : bool
        The statuses are in block RAM, where there is no smaller kind of memory.

    Members
    -------
    hello : ``In(1)``
        The command begins a session, unless that has begun already.
    number : ``In(32)``
        Number of the session that it begins.
    sequence : ``In(8)``
        Sequence number of the command.
    turn : ``Out(Turn)``
        What to do about the command.
    recorded : ``Out(4)``
        How the command ended, if it is repeated.
    answered : ``In(1)``
        The command, whose turn is NEW or REPEATED, ends with ``status``.
    refused : ``In(1)``
        The command, or whatever came in its place, is not executed because of ``status``.
    status : ``In(4)``
        A :class:`popmac.protocol.Status`.
    silent : ``Out(1)``
        Something was refused since the last new command: the host knows already, or will ask.
    expected : ``Out(8)``
        Sequence number of the next command.
    current : ``Out(32)``
        Number of the session.
    garbled, repeated : ``Out(8)``
        Frames refused as garbled, commands repeated; modulo 256, since the session began.

    Timing
    ------
    ``turn`` and ``recorded`` belong to the command of :attr:`LATENCY` cycles before.
    """

    LATENCY = 2

    hello:    In(1)
    number:   In(32)
    sequence: In(8)
    turn:     Out(Turn)
    recorded: Out(4)
    answered: In(1)
    refused:  In(1)
    status:   In(4)
    silent:   Out(1)
    expected: Out(8)
    current:  Out(32)
    garbled:  Out(8)
    repeated: Out(8)

    def __init__(self, *, in_block=False):
        self.in_block = in_block
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        m.submodules.statuses = statuses = Memory(
            shape=4, depth=WINDOW, init=[],
            attrs={"ram_style": "block"} if self.in_block else {})
        record, recorded = statuses.write_port(), statuses.read_port()
        m.d.comb += [
            recorded.addr.eq(self.sequence[:len(recorded.addr)]),
            self.recorded.eq(recorded.data),
            record.addr.eq(self.sequence[:len(record.addr)]),
            record.data.eq(self.status),
        ]

        # cycle 1: compare
        greeted = Signal()
        same    = Signal()
        behind  = Signal(8)
        m.d.sync += same.eq(greeted & (self.number == self.current))
        m.d.sync += behind.eq(self.expected - self.sequence)

        # cycle 2: decide
        with m.If(self.hello):
            m.d.sync += self.turn.eq(Mux(same, Turn.REPEATED, Turn.NEW))
        with m.Elif(~greeted):
            m.d.sync += self.turn.eq(Turn.STRANGER)
        with m.Elif(behind == 0):
            m.d.sync += self.turn.eq(Turn.NEW)
        with m.Elif(behind <= REPETITIONS):
            m.d.sync += self.turn.eq(Turn.REPEATED)
        with m.Else():
            m.d.sync += self.turn.eq(Turn.AHEAD)

        with m.If(self.answered & (self.turn == Turn.NEW)):
            m.d.comb += record.en.eq(1)
            m.d.sync += self.expected.eq(self.sequence + 1)
            m.d.sync += self.silent.eq(0)
            with m.If(self.hello & (self.status == Status.OK)):
                m.d.sync += [
                    greeted.eq(1),
                    self.current.eq(self.number),
                    self.garbled.eq(0),
                    self.repeated.eq(0),
                ]
        with m.If(self.answered & (self.turn == Turn.REPEATED)):
            m.d.sync += self.repeated.eq(self.repeated + 1)
        with m.If(self.refused):
            m.d.sync += self.silent.eq(1)
            with m.If(self.status == Status.GARBLED):
                m.d.sync += self.garbled.eq(self.garbled + 1)

        return m
