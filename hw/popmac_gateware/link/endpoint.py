"""The device's end of the link."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..host_bus import HostBus
from ..stream import StreamRegister
from .executor import URGENT, Executor
from .framing import Deframer, Enframer, Item
from .receive_buffer import ReceiveBuffer


__all__ = ["Endpoint"]


class Endpoint(wiring.Component):
    """Receives, checks and executes the commands of the host; ``docs/protocol.md`` describes them.

    ::

        i --> Deframer --> ReceiveBuffer --> Executor --> Enframer --> o
                                                |
                                               bus

    Nothing of a frame reaches the executor before its frame check sequence was found right.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Configuration of the device, of which it tells the host.
    patience : int
        Cycles after which waiting for the core is given up; a power of two.

    Members
    -------
    i : ``In(stream.Signature(8))``
        Bytes from the host. Always ready.
    o : ``Out(stream.Signature(8))``
        Bytes to the host.
    bus : ``Out(HostBus())``
        The core.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on any stream, or a change of ``busy``.

    Raises
    ------
    ValueError
        If the receive buffer is larger than the protocol can say, or ``patience`` is not a power
        of two.
    """

    def __init__(self, arch, *, patience=2**22):
        if arch.receive_bytes >= 2**16:
            raise ValueError(f"receive_bytes must be less than 65536, not {arch.receive_bytes!r}")
        if not isinstance(patience, int) or patience < 2 or patience & (patience - 1):
            raise ValueError(f"patience must be a power of two from 2 on, not {patience!r}")
        self.arch = arch
        self.patience = patience
        super().__init__({
            "i":    In(stream.Signature(8)),
            "o":    Out(stream.Signature(8)),
            "bus":  Out(HostBus()),
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.deframer = deframer = Deframer()
        m.submodules.buffer   = buffer   = ReceiveBuffer(depth=self.arch.receive_bytes,
                                                         urgent_bytes=URGENT)
        m.submodules.executor = executor = Executor(self.arch, patience=self.patience)
        m.submodules.enframer = enframer = Enframer()
        m.submodules.command_register = command_register = StreamRegister(Item)
        m.submodules.reply_register   = reply_register   = StreamRegister(Item)

        wiring.connect(m, wiring.flipped(self.i), deframer.i)
        wiring.connect(m, deframer.o, buffer.i)
        wiring.connect(m, buffer.o, command_register.i)
        wiring.connect(m, command_register.o, executor.i)
        wiring.connect(m, executor.o, reply_register.i)
        wiring.connect(m, reply_register.o, enframer.i)
        wiring.connect(m, wiring.flipped(self.o), enframer.o)
        wiring.connect(m, wiring.flipped(self.bus), executor.bus)
        m.d.comb += executor.urgent.eq(buffer.urgent)
        moving = Cat(buffer.o.valid & buffer.o.ready, executor.o.valid & executor.o.ready)
        m.d.comb += self.idle.eq(buffer.idle & executor.idle & enframer.idle & ~moving.any())

        return m
