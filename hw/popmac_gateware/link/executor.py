"""Carries out the commands of the host."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac.isa import ROW_BYTES
from popmac.protocol import (
    DATA_BYTES,
    FCS_BYTES,
    LAYERS,
    PROTOCOL_VERSION,
    REPLY,
    SESSION,
    TRANSFER,
    Command,
    Space,
    Status,
)

from ..host_bus import ADDRESS, RUN, HostBus
from .address_decoder import ROW_PITCH, AddressDecoder, Transfer
from .framing import Item
from .reader import Reader
from .replier import Replier
from .session import Session, Turn


__all__ = ["URGENT", "Executor"]


#: Commands that end what is in front of them.
URGENT = (Command.HELLO, Command.ABORT)

#: Commands that are answered with a report.
REPORTED = (Command.HELLO, Command.STATUS, Command.WAIT)

#: Bytes between the sequence number and the data of a frame.
ARGUMENT_BYTES = {
    Command.HELLO: SESSION.size,
    Command.RUN:   LAYERS.size,
    Command.READ:  TRANSFER.size,
    Command.WRITE: TRANSFER.size,
}


class Executor(wiring.Component):
    """Takes a frame, does what it says if it is its turn, and answers; then the next one.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Configuration of the device.
    patience : int
        Cycles after which waiting for the core is given up; a power of two. A WAIT that is given
        up is answered with a NAK, so that the host sends it again: then nothing behind it is
        executed before the end of the run, however long that takes.

    Members
    -------
    i : ``In(stream.Signature(Item))``
        Frames as :class:`ReceiveBuffer` passes them on.
    urgent : ``In(1)``
        A HELLO or ABORT has come into the buffer. What is in front of it is not executed any
        more.
    o : ``Out(stream.Signature(Item))``
        Content of the replies.
    bus : ``Out(HostBus())``
        The core.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on any stream, or a change of ``busy``.

    Timing
    ------
    About 20 cycles per command and one more per byte of data, if nobody else is slower. A reply
    begins when the whole frame was taken from the buffer. All waiting for the core is limited by
    ``patience``; waiting for ``o`` is not.

    Raises
    ------
    ValueError
        If ``patience`` is not a power of two.
    """

    def __init__(self, arch, *, patience):
        if not isinstance(patience, int) or patience < 2 or patience & (patience - 1):
            raise ValueError(f"patience must be a power of two from 2 on, not {patience!r}")
        self.arch = arch
        self.patience = patience
        super().__init__({
            "i":      In(stream.Signature(Item)),
            "urgent": In(1),
            "o":      Out(stream.Signature(Item)),
            "bus":    Out(HostBus()),
            "idle":   Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.session = session = Session(in_block=self.arch.engine == "serial")
        m.submodules.decoder = decoder = AddressDecoder(self.arch)
        m.submodules.reader = reader = Reader(self.arch)
        m.submodules.replier = replier = Replier()

        command   = Signal(8)
        sequence  = Signal(8)
        arguments = Signal(data.UnionLayout({
            "bytes":    data.ArrayLayout(8, max(ARGUMENT_BYTES.values())),
            "session":  32,
            "layers":   RUN,
            "transfer": Transfer,
        }))
        count     = Signal(range(max(ARGUMENT_BYTES.values()) + 1)) # of argument bytes
        is_new    = session.turn == Turn.NEW

        # Decoded a cycle after it has come, which is early enough.
        m.d.sync += count.eq(0)
        with m.Switch(command):
            for c, size in ARGUMENT_BYTES.items():
                with m.Case(c):
                    m.d.sync += count.eq(size)
        is_a = {c: Signal(name=f"is_{c.name.lower()}") for c in Command}
        m.d.sync += [flag.eq(command == c) for c, flag in is_a.items()]

        # The byte of the transfer that is the next to be written or requested, and how many there
        # still are.
        location = Signal(ADDRESS)
        # A repeated command may differ from the one that was checked: no more than this many bytes.
        left     = Signal(range(2 * DATA_BYTES))
        more     = Signal()
        advance  = Signal()
        row_ends = ((location.space == Space.PROGRAM)
                    & (location.address % ROW_PITCH == ROW_BYTES - 1))
        with m.If(advance):
            m.d.sync += [
                location.address.eq(location.address
                                    + Mux(row_ends, ROW_PITCH - ROW_BYTES + 1, 1)),
                left.eq(left - 1),
                more.eq(left != 1),
            ]

        # What the command deserves if it is new.
        urgent  = Signal() # there is one in the buffer
        verdict = Signal(4)
        with m.If(urgent & ~Cat(is_a[c] for c in URGENT).any()):
            m.d.sync += verdict.eq(Status.ABORTED)
        with m.Else():
            with m.Switch(command):
                with m.Case(Command.HELLO, Command.ABORT, Command.STATUS, Command.WAIT):
                    m.d.sync += verdict.eq(Status.OK)
                with m.Case(Command.RUN):
                    with m.If(arguments.layers.first > arguments.layers.last):
                        m.d.sync += verdict.eq(Status.RANGE)
                    with m.Else():
                        m.d.sync += verdict.eq(Mux(self.bus.busy, Status.BUSY, Status.OK))
                with m.Case(Command.READ, Command.WRITE):
                    m.d.sync += verdict.eq(decoder.status)
                with m.Default():
                    m.d.sync += verdict.eq(Status.UNKNOWN)

        status  = Signal(4)
        has_report, has_data = Signal(), Signal() # the reply
        index   = Signal(4)
        refuse  = Signal()
        done    = Signal()

        # Patience with the core.
        waiting = Signal()
        waited  = Signal(range(self.patience + 1))
        time_up = waited[-1]
        give_up = Signal()
        m.d.sync += waited.eq(Mux(waiting, waited + 1, 0))

        m.d.comb += [
            decoder.transfer.eq(arguments.transfer),
            decoder.write.eq(is_a[Command.WRITE]),

            session.hello.eq(command == Command.HELLO),
            session.number.eq(arguments.session),
            session.sequence.eq(sequence),
            session.status.eq(status),

            reader.location.eq(location),
            reader.more.eq(more),
            reader.give_up.eq(give_up),

            replier.i.payload.command.eq(command | REPLY),
            replier.i.payload.sequence.eq(sequence),
            replier.i.payload.status.eq(status),
            replier.i.payload.protocol.eq(PROTOCOL_VERSION),
            replier.i.payload.active.eq(self.bus.busy),
            replier.i.payload.garbled.eq(session.garbled),
            replier.i.payload.repeated.eq(session.repeated),
            replier.i.payload.session.eq(session.current),
            replier.i.payload.cycles.eq(self.bus.cycles),
            replier.i.payload.has_report.eq(has_report),
            replier.i.payload.has_data.eq(has_data),

            self.bus.write.payload.space.eq(location.space),
            self.bus.write.payload.address.eq(location.address),
            self.bus.write.payload.data.eq(self.i.payload.data),
            self.bus.run.payload.eq(arguments.layers),
        ]
        wiring.connect(m, wiring.flipped(self.bus.read), reader.read)
        wiring.connect(m, wiring.flipped(self.bus.data), reader.data)
        wiring.connect(m, reader.o, replier.data)
        wiring.connect(m, wiring.flipped(self.o), replier.o)

        arrived = self.i.valid & ~self.i.payload.end
        ended   = self.i.valid & self.i.payload.end
        quiet   = Signal()
        m.d.comb += self.idle.eq(quiet & reader.idle & replier.idle)

        with m.FSM(init="Command"):
            with m.State("Command"):
                m.d.comb += self.i.ready.eq(1)
                m.d.comb += quiet.eq(~self.i.valid)
                m.d.sync += command.eq(self.i.payload.data)
                with m.If(arrived):
                    with m.Switch(self.i.payload.data):
                        with m.Case(*URGENT):
                            m.d.sync += urgent.eq(0)
                    m.next = "Sequence"
                with m.If(ended):
                    m.d.sync += status.eq(Status.GARBLED)
                    m.next = "Refuse"

            with m.State("Sequence"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += sequence.eq(self.i.payload.data)
                m.d.sync += index.eq(0)
                with m.If(arrived):
                    m.next = "Arguments"
                with m.If(ended):
                    m.d.sync += status.eq(Status.GARBLED)
                    m.next = "Refuse"

            with m.State("Arguments"):
                with m.If(index == count):
                    m.d.sync += index.eq(0)
                    m.next = "Check"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(arrived):
                        m.d.sync += arguments.bytes[index].eq(self.i.payload.data)
                        m.d.sync += index.eq(index + 1)
                    with m.If(ended):
                        m.d.sync += status.eq(Status.GARBLED)
                        m.next = "Refuse"

            # Session, address decoder and verdict take their time.
            with m.State("Check"):
                m.d.sync += index.eq(index + 1)
                with m.If(index == max(Session.LATENCY, AddressDecoder.LATENCY + 1)):
                    m.next = "Decide"

            with m.State("Decide"):
                m.d.sync += index.eq(0)
                m.d.sync += location.eq(decoder.start)
                m.d.sync += left.eq(arguments.transfer.length)
                m.d.sync += more.eq(arguments.transfer.length[:len(left)] != 0)
                m.d.sync += refuse.eq(0)
                m.next = "Skip"
                with m.Switch(session.turn):
                    with m.Case(Turn.NEW):
                        m.d.sync += status.eq(verdict)
                        with m.If(is_a[Command.WRITE] & (verdict == Status.OK)):
                            m.next = "Write"
                    with m.Case(Turn.REPEATED):
                        m.d.sync += status.eq(session.recorded)
                    with m.Case(Turn.AHEAD):
                        m.d.sync += status.eq(Status.GAP)
                        m.d.sync += refuse.eq(1)
                    with m.Case(Turn.STRANGER):
                        m.d.sync += status.eq(Status.NO_SESSION)
                        m.d.sync += refuse.eq(1)

            with m.State("Write"):
                with m.If(~more):
                    m.next = "Skip"
                with m.Elif(ended):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "Answer"
                with m.Elif(time_up):
                    m.d.sync += status.eq(Status.FAULT)
                    m.next = "Skip"
                with m.Else():
                    m.d.comb += self.bus.write.valid.eq(arrived)
                    m.d.comb += self.i.ready.eq(self.bus.write.ready)
                    m.d.comb += waiting.eq(~self.bus.write.ready)
                    m.d.comb += advance.eq(arrived & self.bus.write.ready)

            # The rest of the frame, which is the frame check sequence if the command is executed.
            with m.State("Skip"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(arrived):
                    m.d.sync += index.eq(Mux(index.all(), index, index + 1))
                with m.If(ended):
                    with m.If(refuse):
                        m.next = "Refuse"
                    with m.Elif(status != Status.OK):
                        m.next = "Answer"
                    with m.Elif(is_new & (index != FCS_BYTES)):
                        m.d.sync += status.eq(Status.MALFORMED)
                        m.next = "Answer"
                    with m.Else():
                        m.next = "Execute"

            # Of a repeated command only what has no effect, which is to read.
            with m.State("Execute"):
                m.d.comb += waiting.eq(1)
                m.d.comb += done.eq(1)
                with m.If(is_a[Command.HELLO] | is_a[Command.ABORT]):
                    m.d.comb += self.bus.abort.eq(is_new)
                    m.d.comb += done.eq(~is_new | ~self.bus.busy)
                with m.If(is_a[Command.WAIT]):
                    m.d.comb += done.eq(~is_new | ~self.bus.busy | urgent)
                    with m.If(is_new & self.bus.busy & urgent):
                        m.d.sync += status.eq(Status.ABORTED)
                with m.If(is_a[Command.RUN]):
                    m.d.comb += self.bus.run.valid.eq(is_new)
                    m.d.comb += done.eq(~is_new | self.bus.run.ready)
                with m.If(is_a[Command.READ]):
                    m.d.comb += done.eq(reader.clear)
                with m.If(done):
                    m.next = "Answer"
                with m.Elif(time_up):
                    m.d.sync += status.eq(Status.FAULT)
                    m.next = "Answer"
                    with m.If(is_a[Command.WAIT]):
                        m.d.sync += status.eq(Status.BUSY)
                        m.next = "Refuse"

            with m.State("Answer"):
                m.d.comb += session.answered.eq(1)
                m.d.sync += give_up.eq(0)
                m.d.sync += [
                    has_report.eq((status == Status.OK) & Cat(is_a[c] for c in REPORTED).any()),
                    has_data.eq((status == Status.OK) & is_a[Command.READ]),
                ]
                m.next = "Reply"

            with m.State("Refuse"):
                m.d.comb += session.refused.eq(1)
                m.d.sync += [has_report.eq(0), has_data.eq(0)]
                m.d.sync += command.eq(Command.NAK)
                m.d.sync += sequence.eq(session.expected)
                m.next = "Reply"
                with m.If(session.silent):
                    m.next = "Command"

            with m.State("Reply"):
                m.d.comb += replier.i.valid.eq(1)
                m.d.comb += reader.enable.eq(has_data)
                m.d.comb += waiting.eq(reader.waiting)
                m.d.comb += quiet.eq(~replier.i.ready)
                m.d.comb += advance.eq(reader.asked)
                with m.If(time_up):
                    m.d.sync += give_up.eq(1)
                with m.If(replier.i.ready):
                    m.next = "Command"

        with m.If(self.urgent):
            m.d.sync += urgent.eq(1)

        return m
