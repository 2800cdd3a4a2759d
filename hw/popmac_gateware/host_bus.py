"""How the link reaches the accelerator."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature


__all__ = ["ADDRESS", "READ", "WRITE", "RUN", "HostBus"]


ADDRESS = data.StructLayout({"space": 2, "address": 20})
READ    = ADDRESS
WRITE   = data.StructLayout({"space": 2, "address": 20, "data": 8})
RUN     = data.StructLayout({"first": 8, "last": 8})


class HostBus(Signature):
    """Byte accesses to the memories, and the run command; seen from the link.

    Members
    -------
    write : ``Out(stream.Signature(WRITE))``
        One byte per transfer. Memories that are wider collect the bytes of a word, which have to
        come in order, and write it with its last byte.
    read : ``Out(stream.Signature(READ))``
    data : ``In(stream.Signature(8))``
        One byte per ``read``, in order.
    run : ``Out(stream.Signature(RUN))``
        Run the layers from ``first`` to ``last``.
    abort : ``Out(1)``
        Stop running.
    busy : ``In(1)``
        From the acceptance of ``run`` to the last result written.
    cycles : ``In(32)``
        Duration of the last run.
    """

    def __init__(self):
        super().__init__({
            "write":  Out(stream.Signature(WRITE)),
            "read":   Out(stream.Signature(READ)),
            "data":   In(stream.Signature(8)),
            "run":    Out(stream.Signature(RUN)),
            "abort":  Out(1),
            "busy":   In(1),
            "cycles": In(32),
        })
