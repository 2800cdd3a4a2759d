"""Where tensors are in activation memory, and when."""

from dataclasses import dataclass


__all__ = ["Lifetime", "allocate", "MemoryFullError"]


class MemoryFullError(Exception):
    """Tensors that are needed at the same time do not fit.

    Parameters
    ----------
    index : int
        First time at which they do not.
    words : int
        What would be needed then, without any gaps.
    """

    def __init__(self, index, words):
        self.index = index
        self.words = words
        super().__init__(f"{words} words are needed at time {index}")


@dataclass(frozen=True)
class Lifetime:
    """A number of words that must be kept during ``spans``: (first time, last time) each."""

    name:  str
    words: int
    spans: tuple

    @property
    def first(self):
        """First time."""
        return self.spans[0][0]

    @property
    def last(self):
        """Last time."""
        return self.spans[-1][1]

    def at(self, time):
        """Whether the words are needed at a time."""
        return any(first <= time <= last for first, last in self.spans)

    def overlaps(self, other):
        """Whether both are needed at some time."""
        return any(first <= end and begin <= last for first, last in self.spans
                   for begin, end in other.spans)


def allocate(lifetimes, capacity):
    """Word address of each, so that no two overlap in time and in place.

    Takes the largest first, and for each the smallest gap that it fits into; where that fails,
    tries other orders.

    Parameters
    ----------
    lifetimes : sequence of Lifetime
    capacity : int
        Words.

    Returns
    -------
    dict of str to int

    Raises
    ------
    MemoryFullError
        If they do not fit.
    """
    orders = [
        lambda t: (-t.words, t.first),
        lambda t: (t.first, -t.words),
        lambda t: (-t.last, -t.words),
        lambda t: (t.first - t.last, -t.words),
        lambda t: (-t.words * (t.last - t.first + 1), t.first),
    ]
    for order in orders:
        bases = _place(sorted(lifetimes, key=order), capacity)
        if bases is not None:
            return bases
    times = {first for t in lifetimes for first, _ in t.spans}
    needs = {time: sum(t.words for t in lifetimes if t.at(time)) for time in times}
    worst = max(needs, key=needs.get)
    raise MemoryFullError(worst, needs[worst])


def _place(lifetimes, capacity):
    placed = []
    for new in lifetimes:
        taken = sorted((base, base + old.words) for old, base in placed if old.overlaps(new))
        gaps, free = [], 0
        for first, last in taken:
            if first - free >= new.words:
                gaps.append((first - free, free))
            free = max(free, last)
        if capacity - free >= new.words:
            gaps.append((capacity - free, free))
        if not gaps:
            return None
        placed.append((new, min(gaps)[1]))
    return {old.name: base for old, base in placed}
