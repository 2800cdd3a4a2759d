"""Random inputs for testbenches: values that find mistakes, and streams that stall."""

import numpy as np


__all__ = ["random_bytes", "random_integers", "stalls", "stream_feed", "stream_drain"]


def random_integers(rng, low, high, size):
    """Integers from ``low`` to ``high``, a third of them at or beside the ends and zero."""
    edges  = [v for v in (low, low + 1, -1, 0, 1, high - 1, high) if low <= v <= high]
    values = rng.integers(low, high, size, dtype=np.int64, endpoint=True)
    return np.where(rng.random(size) < 1/3, rng.choice(edges, size), values)


def random_bytes(rng, length, *, special=()):
    """Bytes, a third of them ``special`` if there are any."""
    values = rng.integers(0, 256, length)
    if len(special):
        values = np.where(rng.random(length) < 1/3, rng.choice(list(special), length), values)
    return bytes(values.astype(np.uint8))


def stalls(rng, share):
    """Endless numbers of cycles to wait before each transfer: runs of none and of some.

    Parameters
    ----------
    share : float
        Between 0, never wait, and 1.
    """
    while True:
        for _ in range(int(rng.integers(1, 20))):
            yield 0
        for _ in range(int(rng.integers(0, 20 * share + 1))):
            yield int(rng.integers(0, 6))


async def stream_feed(ctx, stream, payloads, pauses):
    """Transfer all ``payloads``, after a pause before each."""
    for payload, pause in zip(payloads, pauses):
        if pause:
            await ctx.tick().repeat(pause)
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)


async def stream_drain(ctx, stream, count, pauses):
    """Return the next ``count`` payloads, after a pause before each."""
    payloads = []
    for _, pause in zip(range(count), pauses):
        if pause:
            await ctx.tick().repeat(pause)
        ctx.set(stream.ready, 1)
        payload, = await ctx.tick().sample(stream.payload).until(stream.valid)
        ctx.set(stream.ready, 0)
        payloads.append(payload)
    return payloads
