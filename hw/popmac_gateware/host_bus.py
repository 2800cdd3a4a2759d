"""How the link reaches the accelerator."""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature


__all__ = ["ADDRESS", "READ", "WRITE", "RUN", "HostBus"]


ADDRESS = data.StructLayout({"space": 2, "address": 20})
READ    = ADDRESS
WRITE   = data.StructLayout({"space": 2, "address": 20, "data": 8})
RUN     = data.StructLayout({"first": 8, "last": 8})


class HostBus(Signature):
    """Byte accesses to the memories, and the run command; seen from the link.

    Addresses are in range and aligned, and the bytes of a transfer come in order, as
    :mod:`popmac.protocol` says. Rows of PROGRAM space are 64 addresses apart, of which the first
    36 are used.

    Members
    -------
    write : ``Out(stream.Signature(WRITE))``
        One byte per transfer. Memories that are wider collect the bytes of a word, which have to
        come in order, and write it with its last byte.
    read : ``Out(stream.Signature(READ))``
        Several bytes may be requested before the first is answered. A read returns what the
        writes accepted before it have written.
    data : ``In(stream.Signature(8))``
        One byte per ``read``, in order, any number of cycles later.
    run : ``Out(stream.Signature(RUN))``
        Run the layers from ``first`` to ``last``.
    abort : ``Out(1)``
        Stop running. Asserted until ``busy`` is not, which takes a bounded number of cycles.
    busy : ``In(1)``
        From the cycle after the acceptance of ``run`` to the last result written.
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
