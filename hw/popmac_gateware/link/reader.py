"""The data of a READ."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from popmac.protocol import Space, identity

from ..host_bus import READ
from ..stream import StreamRegister
from .framing import Item
from .identity import IdentityRom


__all__ = ["Reader"]


#: Where the identity is, by engine: block RAM is small where the engine is.
_ROM_STYLES = {"systolic": "logic", "serial": "block"}


class Reader(wiring.Component):
    """Reads bytes of device memory, several ahead, or of the identity.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Configuration in the identity.

    Members
    -------
    enable : ``In(1)``
        Read. Asserted until the end has been accepted at ``o``.
    location : ``In(READ)``
        The byte to request next.
    more : ``In(1)``
        There is such a byte.
    asked : ``Out(1)``
        It has been requested; in the next cycle, ``location`` is the one behind it.
    give_up : ``In(1)``
        End as if there were no more bytes, and none on their way.
    o : ``Out(stream.Signature(Item))``
        The bytes, and an end.
    read : ``Out(stream.Signature(READ))``
        Requests to the core.
    data : ``In(stream.Signature(8))``
        Its answers. Those that come after giving up are dropped.
    clear : ``Out(1)``
        No answers are missing. Unless it is asserted, ``enable`` must not be.
    waiting : ``Out(1)``
        It is the core's turn.
    idle : ``Out(1)``
        Nothing in here changes before the next transfer on any stream.

    Timing
    ------
    One byte per cycle, if the core is as fast, and a cycle later.
    """

    #: Requests that may be on their way through the core.
    AHEAD = 8

    enable:   In(1)
    location: In(READ)
    more:     In(1)
    asked:    Out(1)
    give_up:  In(1)
    o:        Out(stream.Signature(Item))
    read:     Out(stream.Signature(READ))
    data:     In(stream.Signature(8))
    clear:    Out(1)
    waiting:  Out(1)
    idle:     Out(1)

    def __init__(self, arch):
        self.arch = arch
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        m.submodules.rom = rom = IdentityRom(
            identity(self.arch), style=_ROM_STYLES[self.arch.engine])
        m.submodules.rom_register = rom_register = StreamRegister(READ)
        m.submodules.register     = register     = StreamRegister(Item)
        wiring.connect(m, rom_register.o, rom.read)
        wiring.connect(m, register.o, wiring.flipped(self.o))

        from_rom = self.location.space == Space.IDENTITY
        ahead    = Signal(range(self.AHEAD + 1))
        ask      = self.enable & self.more & ~ahead[-1]
        answered = Signal()
        told     = Signal()
        over     = Signal() # the end is on its way
        ended    = self.give_up | (~self.more & self.clear)
        accepted = ~self.enable | (register.i.ready & ~ended)
        m.d.comb += [
            self.read.valid.eq(ask & ~from_rom),
            self.read.payload.eq(self.location),
            rom_register.i.valid.eq(ask & from_rom),
            rom_register.i.payload.eq(self.location),
            self.asked.eq(ask & Mux(from_rom, rom_register.i.ready, self.read.ready)),

            answered.eq(Mux(from_rom, rom.data.valid, self.data.valid)),
            register.i.payload.data.eq(Mux(from_rom, rom.data.payload, self.data.payload)),
            register.i.payload.end.eq(ended),
            register.i.valid.eq(self.enable & (ended | answered) & ~over),
            self.data.ready.eq(accepted & ~from_rom),
            rom.data.ready.eq(accepted & from_rom),
            told.eq(answered & accepted),

            self.clear.eq(ahead == 0),
            self.waiting.eq(self.enable & ~register.i.valid & ~over),
            self.idle.eq(~self.asked & ~told & ~self.waiting & ~(self.o.valid & self.o.ready)
                         & ~(register.i.valid & register.i.ready)),
        ]
        m.d.sync += [
            ahead.eq(ahead + self.asked - told),
            over.eq(self.enable & (over | (register.i.valid & register.i.ready & ended))),
        ]

        return m
