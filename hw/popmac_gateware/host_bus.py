"""How the endpoint of the link reaches into the accelerator."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["ADDRESS_BITS", "Location", "ByteWrite", "Layers", "HOST_BUS"]


ADDRESS_BITS = 20


class Location(data.Struct):
    """A byte of device memory; ``space`` is a :class:`popmac.protocol.Space`."""
    space:   2
    address: ADDRESS_BITS


class ByteWrite(data.Struct):
    """A byte of device memory, and what to write to it."""
    space:   2
    address: ADDRESS_BITS
    data:    8


class Layers(data.Struct):
    """First and last layer of a run."""
    first: 8
    last:  8


#: The bus, seen from the endpoint.
#:
#: Members
#: -------
#: write : ``Out(stream.Signature(ByteWrite))``
#:     Bytes to write. In range and never to IDENTITY space; rows of PROGRAM space come whole and
#:     in order.
#: read : ``Out(stream.Signature(Location))``
#:     Bytes to read; several may be requested before the first is answered. A read returns what
#:     the writes accepted before it have written.
#: data : ``In(stream.Signature(8))``
#:     The bytes read, one per request, in order, any number of cycles later.
#: run : ``Out(stream.Signature(Layers))``
#:     Layers to run.
#: busy : ``In(1)``
#:     A run is active: from the cycle after it was accepted to its last result written.
#: cycles : ``In(32)``
#:     Length of the last run.
#: abort : ``Out(1)``
#:     Stop the run. Asserted until ``busy`` is not, which takes a bounded number of cycles.
HOST_BUS = wiring.Signature({
    "write":  Out(stream.Signature(ByteWrite)),
    "read":   Out(stream.Signature(Location)),
    "data":   In(stream.Signature(8)),
    "run":    Out(stream.Signature(Layers)),
    "busy":   In(1),
    "cycles": In(32),
    "abort":  Out(1),
})
