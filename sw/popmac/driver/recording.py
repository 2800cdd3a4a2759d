"""What the driver sends, for boards that start without a host."""

import numpy as np

from ..errors import PopmacError
from ..isa import ISA_VERSION
from ..protocol import RECORDING, RECORDING_LIMIT, RECORDING_MAGIC
from .device import Device
from .endpoint import SoftwareEndpoint
from .golden import GoldenCore
from .link import Link


__all__ = ["record"]


class _RecordingTransport:
    """A transport that keeps what was sent."""

    def __init__(self, transport):
        self._transport = transport
        self.sent       = bytearray()

    def write(self, data):
        self.sent += data
        self._transport.write(data)

    def read(self, length, *, timeout):
        return self._transport.read(length, timeout=timeout)

    def time(self):
        return self._transport.time()

    def close(self):
        self._transport.close()


def record(program, samples=None):
    """Content of the flash from which a board starts by itself.

    It loads the program, and runs it once for each of the samples. The board's answers, results
    included, are on its serial line as if a host had asked.

    Parameters
    ----------
    program : Program
    samples : dict of str to ndarray, optional
        By name of the input; the first axis is that of the samples. One of zeros if left out.

    Returns
    -------
    bytes
        ``RECORDING`` of :mod:`popmac.protocol`, and what the driver sends.

    Raises
    ------
    PopmacError
        If it is more than the flash holds, or if the samples do not fit the program.
    """
    endpoint  = SoftwareEndpoint(program.arch, GoldenCore(program.arch))
    transport = _RecordingTransport(endpoint)
    with Device(Link(transport)) as device:
        session = device.load(program)
        session.run_many(samples or {tensor.name: np.zeros((1, *tensor.shape), tensor.dtype)
                                     for tensor in session.inputs})
    if len(transport.sent) > RECORDING_LIMIT:
        raise PopmacError(f"the recording has {len(transport.sent):,} bytes, of which the flash "
                          f"holds {RECORDING_LIMIT:,}; take fewer samples")
    fingerprint = program.arch.fingerprint(ISA_VERSION)
    return RECORDING.pack(RECORDING_MAGIC, fingerprint, len(transport.sent)) + transport.sent
