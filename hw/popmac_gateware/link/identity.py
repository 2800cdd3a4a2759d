"""What the device says about itself."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..host_bus import READ


__all__ = ["IdentityRom"]


class IdentityRom(wiring.Component):
    """Read-only memory behind the reading half of the host bus.

    Parameters
    ----------
    contents : bytes
        What it contains.
    style : "logic" or "block"
        A few hundred bytes of text leave most of a large block RAM empty.

    Members
    -------
    read : ``In(stream.Signature(READ))``
        Bytes to read; the space is ignored.
    data : ``Out(stream.Signature(8))``
        The bytes read.

    Timing
    ------
    Latency is one cycle, throughput one byte per cycle.
    """

    read: In(stream.Signature(READ))
    data: Out(stream.Signature(8))

    def __init__(self, contents, *, style="logic"):
        self.contents = contents
        self.style    = style
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        m.submodules.memory = memory = Memory(shape=8, depth=len(self.contents),
                                              init=self.contents, attrs={"rom_style": self.style})
        port = memory.read_port()

        m.d.comb += [
            self.read.ready.eq(~self.data.valid | self.data.ready),
            port.addr.eq(self.read.payload.address),
            port.en.eq(self.read.valid & self.read.ready),
            self.data.payload.eq(port.data),
        ]
        with m.If(self.read.ready):
            m.d.sync += self.data.valid.eq(self.read.valid)

        return m
