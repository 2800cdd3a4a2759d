"""Both ends of streams of a module under cocotb, which stall at random."""

__all__ = ["StreamSource", "StreamSink"]


class StreamSource:
    """Offers payloads, and keeps to what it has offered.

    In each cycle: :meth:`drive`, then :meth:`settle` with the values of :attr:`sampled` at its
    end.

    Parameters
    ----------
    ctx : :class:`.cocotb_context.Context`
    stream : stream interface
        An input of the component.
    rng : numpy.random.Generator
    stall : float
        Share of cycles in which nothing new is offered.

    Attributes
    ----------
    pending : list
        Payloads that have not been accepted yet. May be appended to.
    sampled : list of Signal
    """

    def __init__(self, ctx, stream, *, rng, stall):
        self.pending  = []
        self.sampled  = [stream.ready]
        self._ctx, self._stream = ctx, stream
        self._rng, self._stall  = rng, stall
        self._offered = False

    def drive(self):
        """Offer the next payload, or not."""
        if self.pending and not self._offered and self._rng.random() >= self._stall:
            self._ctx.set(self._stream.payload, self.pending[0])
            self._offered = True
        self._ctx.set(self._stream.valid, self._offered)

    def settle(self, ready):
        """Take note of a transfer."""
        if self._offered and ready:
            del self.pending[0]
            self._offered = False


class StreamSink:
    """Accepts payloads, and fails if one that was offered is withdrawn or changed.

    In each cycle: :meth:`drive`, then :meth:`settle` with the values of :attr:`sampled` at its
    end.

    Parameters
    ----------
    ctx : :class:`.cocotb_context.Context`
    stream : stream interface
        An output of the component.
    rng : numpy.random.Generator
    stall : float
        Share of cycles in which nothing is accepted.

    Attributes
    ----------
    sampled : list of Signal
    """

    def __init__(self, ctx, stream, *, rng, stall):
        self.sampled = [stream.valid, stream.payload]
        self._ctx, self._stream = ctx, stream
        self._rng, self._stall  = rng, stall
        self._ready   = False
        self._offered = None

    def drive(self):
        """Be ready, or not."""
        self._ready = bool(self._rng.random() >= self._stall)
        self._ctx.set(self._stream.ready, self._ready)

    def settle(self, valid, payload):
        """Return what was transferred, or ``None``.

        Raises
        ------
        AssertionError
            If the component breaks the rules of streams.
        """
        assert valid is not None, "valid is unknown"
        if self._offered is not None:
            assert valid, "valid was deasserted before the transfer"
            assert payload == self._offered, \
                f"{self._offered} became {payload} before the transfer"
        self._offered = payload if valid and not self._ready else None
        return payload if valid and self._ready else None
