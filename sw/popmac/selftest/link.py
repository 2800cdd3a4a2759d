"""The link with as many commands on their way as it takes."""

from ..protocol import Space
from .memories import Difference


__all__ = ["test_link"]


_COMMANDS = 300


def test_link(device, rng):
    """Write and read blocks in random order without waiting in between."""
    size   = device.arch.activation_bytes
    memory = bytearray(size)
    with device.exclusive() as link:
        link.write(Space.ACTIVATION, 0, memory)
        begin, sent, received = link.time(), link.bytes_sent, link.bytes_received
        before, reads = link.status(), []
        for _ in range(_COMMANDS):
            start = int(rng.integers(size))
            stop  = min(size, start + int(rng.choice([1, 16, 200, 1024])))
            if rng.random() < 0.5:
                data = rng.bytes(stop - start)
                memory[start:stop] = data
                link.post_write(Space.ACTIVATION, start, data)
            else:
                reads.append((start, link.post_read(Space.ACTIVATION, start, stop - start),
                              bytes(memory[start:stop])))
        for start, read, expected in reads:
            if read.result() != expected:
                raise Difference(f"{len(expected)} bytes read at {start:#x} are not what was "
                                 f"written")
        if link.read(Space.ACTIVATION, 0, size) != memory:
            raise Difference("memory does not contain what was written")
        after   = link.status()
        seconds = link.time() - begin
        octets  = link.bytes_sent - sent + link.bytes_received - received
    rate = f", {octets / seconds / 1000:,.0f} kB/s" if seconds else ""
    return (f"{_COMMANDS} commands, {octets:,} bytes{rate}; "
            f"{(after.garbled - before.garbled) % 256} frames garbled, "
            f"{(after.repeated - before.repeated) % 256} commands repeated")
