"""A core under cocotb as a driver transport; imported inside of the simulator."""

from cocotb.task import resume

from .cocotb_stream import StreamSink, StreamSource


__all__ = ["CocotbTransport"]


class CocotbTransport:
    """Streams of bytes of a core, which stall at random, as a driver ``Transport``.

    To be used in a function that :func:`cocotb.task.bridge` runs.

    Parameters
    ----------
    ctx : :class:`.cocotb_context.Context`
    i, o : streams of bytes
        To and from the core.
    rng : numpy.random.Generator
    stall : float
        Share of cycles in which a byte is not offered, or not accepted.
    clock_hz : float
        Frequency that times are given for.
    """

    def __init__(self, ctx, i, o, *, rng, stall, clock_hz):
        self._ctx      = ctx
        self._source   = StreamSource(ctx, i, rng=rng, stall=stall)
        self._sink     = StreamSink(ctx, o, rng=rng, stall=stall)
        self._clock_hz = clock_hz
        self._cycles   = 0
        self._advance  = resume(self._read)

    def write(self, data):
        """Send all of ``data``, while :meth:`read` waits."""
        self._source.pending += data

    def read(self, length, *, timeout):
        """Return at most ``length`` bytes, waiting for the first ``timeout`` seconds at most."""
        return self._advance(length, self._cycles + timeout * self._clock_hz)

    def time(self):
        """Seconds of simulated time."""
        return self._cycles / self._clock_hz

    def close(self):
        """Nothing is left to do."""

    async def _read(self, length, until):
        received = bytearray()
        while self._cycles < until and len(received) < length:
            byte = await self._cycle()
            if byte is not None:
                received.append(byte)
            elif received and not self._source.pending:
                break
        return bytes(received)

    async def _cycle(self):
        """Let one cycle pass, and return the byte that was received in it, if any."""
        self._source.drive()
        self._sink.drive()
        ready, *offered = await self._ctx.cycle([*self._source.sampled, *self._sink.sampled])
        self._cycles += 1
        self._source.settle(ready)
        return self._sink.settle(*offered)
