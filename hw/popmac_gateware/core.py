"""The core: everything that is the same on every board."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .accelerator import Accelerator
from .link.endpoint import Endpoint
from .serial.accelerator import SerialAccelerator


__all__ = ["Core"]


_ACCELERATORS = {"systolic": Accelerator, "serial": SerialAccelerator}


class Core(wiring.Component):
    """The accelerator and its end of the link.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    i, o : streams of bytes
        From and to the host; see ``docs/protocol.md``.
    idle : ``Out(1)``
        Nothing changes before the next transfer.
    busy : ``Out(1)``
        A run is active.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "i":    In(stream.Signature(8)),
            "o":    Out(stream.Signature(8)),
            "idle": Out(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint    = endpoint    = Endpoint(self.arch)
        m.submodules.accelerator = accelerator = \
            _ACCELERATORS[self.arch.engine](self.arch)
        connect(m, flipped(self.i), endpoint.i)
        connect(m, endpoint.o, flipped(self.o))
        connect(m, endpoint.bus, accelerator.host)
        m.d.comb += [
            self.idle.eq(endpoint.idle & accelerator.idle),
            self.busy.eq(accelerator.host.busy),
        ]
        return m
