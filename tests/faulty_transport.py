"""A link that does to bytes what links do to bytes."""

from popmac.errors import LinkError


__all__ = ["FaultyTransport"]


class FaultyTransport:
    """Transport with random faults in both directions.

    Parameters
    ----------
    transport : Transport
        Carries what is left.
    rng : numpy.random.Generator
    rate : float
        Share of bytes that are flipped or dropped, or at which one is inserted, some are repeated,
        or some change places with those behind them.
    disconnect_after : int, optional
        Bytes sent after which the link is gone.

    Attributes
    ----------
    faults : dict of str to int
        How many of each kind there were.
    """

    def __init__(self, transport, rng, *, rate, disconnect_after=None):
        self.transport = transport
        self.rate = rate
        self.disconnect_after = disconnect_after
        self.faults = dict.fromkeys(
            ["flip", "drop", "insert", "repeat", "reorder", "delay", "split"], 0)
        self._rng  = rng
        self._sent = b"" # held back on the way to the device
        self._got  = b"" # and on the way from it

    def _count(self, kind):
        self.faults[kind] += 1
        return kind

    def _damage(self, data):
        hits   = self._rng.random(len(data)) < self.rate
        result = bytearray()
        start  = 0
        for place in hits.nonzero()[0].tolist():
            result += data[start:place]
            start = place + 1
            byte = data[place:start]
            match self._count(self._rng.choice(["flip", "drop", "insert", "repeat", "reorder"])):
                case "flip":
                    result.append(byte[0] ^ 1 << int(self._rng.integers(8)))
                case "insert":
                    result += byte + self._rng.bytes(1)
                case "repeat":
                    result += byte
                    result += result[-int(self._rng.integers(1, 60)):]
                case "reorder":
                    result += byte
                    place = -int(self._rng.integers(1, 60))
                    result[place:] = result[place:][::-1]
        return bytes(result + data[start:])

    def _cut(self, data):
        """Divide data into what is passed on now and later."""
        if not data or self._rng.random() > 0.1:
            return data, b""
        place = int(self._rng.integers(len(data)))
        self._count("split" if place else "delay")
        return data[:place], data[place:]

    def write(self, data):
        if self.disconnect_after is not None:
            self.disconnect_after -= len(data)
            if self.disconnect_after < 0:
                raise LinkError("somebody pulled the plug")
        now, self._sent = self._cut(self._sent + self._damage(data))
        self.transport.write(now)

    def read(self, length, *, timeout):
        self.transport.write(self._sent)
        self._sent = b""
        if not self._got:
            self._got = self._damage(self.transport.read(length, timeout=timeout))
        now, self._got = self._cut(self._got)
        return now

    def time(self):
        return self.transport.time()

    def close(self):
        self.transport.close()
