"""Fits the hardware's requantiser to the rounding of a reference, and proves the fit.

The hardware computes, for the accumulator ``acc`` of a channel,

    ``clamp(((acc * multiplier + offset) >> shift) + zero_point, low, high)``

where ``offset`` is one of two, by the sign of ``acc``; see
:class:`popmac.isa.ChannelParameters`. As the bias is free, so is the place where the sign
changes, the *origin*: the two offsets may as well serve two halves of the positive sums.

The reference rounds in its own way, often twice. Both are
*monotone*: they never fall as ``acc`` rises. Such functions are equal if they reach each code at
the same *threshold*, the least ``acc`` for which the result is at least that code. There are at
most 255 thresholds, so that equality over millions of values of ``acc`` is fit and proved with a
few hundred.

A fit is never an approximation: where there is none, :class:`FitError` names the channels.
"""

from dataclasses import dataclass, fields

import numpy as np

from ..arch import ACCUMULATOR_BITS
from ..errors import PopmacError
from ..isa import ChannelParameters


__all__ = ["FitError", "Requantization", "fit", "prove"]


def _bits(name):
    return ChannelParameters.__dataclass_fields__[name].metadata["width"]


MULTIPLIER_MAX  = 2**_bits("multiplier") - 1
SHIFT_MAX       = 39
OFFSET_MIN      = -2**(_bits("offset_positive") - 1)
OFFSET_MAX      = 2**(_bits("offset_positive") - 1) - 1
ACCUMULATOR_MIN = -2**(ACCUMULATOR_BITS - 1)
ACCUMULATOR_MAX = 2**(ACCUMULATOR_BITS - 1) - 1

# Origins that are tried where 0 will not do: how far through the thresholds they are.
ORIGINS = (1/2, 1/3, 2/3, 1/4, 3/4, 1/8, 7/8)

# Beyond all offsets, and small enough to add to.
INFINITY = 2**60


class FitError(PopmacError):
    """There is no fit, or one that was claimed is none.

    Parameters
    ----------
    channels : sequence of int
        The channels concerned.
    message : str
        What is wrong with them.
    """

    def __init__(self, channels, message):
        self.channels = tuple(int(channel) for channel in channels)
        names = ", ".join(map(str, self.channels[:8]))
        if len(self.channels) > 8:
            names += f" and {len(self.channels) - 8} more"
        super().__init__(f"channel {names}: {message}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Requantization:
    """Requantiser parameters of a layer: int64 arrays with an entry per channel, and a number.

    ``origin`` is to be subtracted from the bias of the reference: the accumulator of the hardware
    is that of the reference less the origin. It is 0 wherever there is a fit with 0.
    ``zero_point`` is that of the layer's descriptor.

    A channel with a multiplier of 0 and equal offsets is *constant*: its bias can be left out,
    and should be where the accumulator would overflow.
    """

    multiplier:      np.ndarray
    shift:           np.ndarray
    offset_positive: np.ndarray
    offset_negative: np.ndarray
    origin:          np.ndarray
    zero_point:      int

    @property
    def is_constant(self):
        """Whether the result of each channel is the same for all accumulators."""
        return (self.multiplier == 0) & (self.offset_positive == self.offset_negative)

    def of(self, channels):
        """Parameters of some of the channels, a slice."""
        return Requantization(zero_point=self.zero_point, **{
            f.name: getattr(self, f.name)[channels] for f in fields(self)
            if f.name != "zero_point"})

    def apply(self, acc, *, low, high):
        """Results of the hardware for the reference's accumulators; channels are the last axis."""
        acc    = acc - self.origin
        offset = np.where(acc < 0, self.offset_negative, self.offset_positive)
        return np.clip(((acc * self.multiplier + offset) >> self.shift) + self.zero_point,
                       low, high)


def fit(reference, acc_low, acc_high, ratio, *, zero_point, low, high):
    """Parameters with which the hardware computes just what ``reference`` does.

    For each shift, from 0 up, the multipliers near ``ratio * 2**shift`` are tried. With a given
    multiplier, an offset is right if and only if it lies between two bounds, which the thresholds
    give. Where these bounds cross, the two thresholds that cause it exclude all multipliers on
    one side as well; this goes on until a multiplier is found or none is left.

    Parameters
    ----------
    reference : callable
        ``reference(acc, channel)`` is the code for each entry of the int64 arrays, which
        broadcast; codes do not fall as ``acc`` rises, and are between ``low`` and ``high``.
    acc_low, acc_high : array_like of int, shape (channels,)
        Least and greatest value of each accumulator, bias included.
    ratio : array_like of float, shape (channels,)
        About how much the code rises as the accumulator rises by one.
    zero_point : int
        Of the layer's descriptor. The reference's own, or another, which makes other offsets.
    low, high : int
        Of the layer.

    Returns
    -------
    Requantization
        Per channel that of the smallest shift, with an origin of 0 if possible, else with the
        first possible one of a few; proved by :func:`prove`.

    Raises
    ------
    FitError
        With all channels for which there are no such parameters of the hardware's widths.
    """
    acc_low, acc_high, ratio = (np.atleast_1d(np.asarray(array)) for array in
                                (acc_low, acc_high, ratio))
    count    = len(acc_low)
    channel  = np.arange(count)
    first    = reference(acc_low, channel)
    constant = first == reference(acc_high, channel)

    result = Requantization(
        multiplier=np.zeros(count, np.int64), shift=np.zeros(count, np.int64),
        offset_positive=np.asarray(first, np.int64) - zero_point,
        offset_negative=np.asarray(first, np.int64) - zero_point,
        origin=np.zeros(count, np.int64), zero_point=zero_point)
    pending = np.flatnonzero(~constant)
    if np.any(wide := acc_high[pending] - acc_low[pending] >= 2**ACCUMULATOR_BITS):
        raise FitError(pending[wide], f"sums do not fit in {ACCUMULATOR_BITS} bits")
    codes      = np.arange(low + 1, high + 1)
    thresholds = _thresholds(reference, acc_low[pending], acc_high[pending], pending, codes)
    for fraction in (None, *ORIGINS):
        if not pending.size:
            break
        origin  = _origin(thresholds, acc_low[pending], acc_high[pending], fraction)
        least, greatest = acc_low[pending] - origin, acc_high[pending] - origin
        regions = _regions(thresholds - origin[:, None], least, greatest, codes - zero_point)
        narrow  = (least >= ACCUMULATOR_MIN) & (greatest <= ACCUMULATOR_MAX)
        result.origin[pending] = origin
        found   = _search(regions, np.flatnonzero(narrow), pending, ratio, result)
        pending, thresholds = pending[~found], thresholds[~found]
    if pending.size:
        raise FitError(pending, "no multiplier and offsets round as the reference does")
    prove(result, reference, acc_low, acc_high, low=low, high=high)
    return result


def _origin(thresholds, acc_low, acc_high, fraction):
    """Where the sign shall change: at a ``fraction`` of the way through the thresholds, or 0."""
    if fraction is None:
        return np.zeros_like(acc_low)
    # Those that are in the range come after those that it begins above.
    begin = np.sum(thresholds <= acc_low[:, None], axis=1)
    end   = np.sum(thresholds <= acc_high[:, None], axis=1)
    index = begin + ((end - begin - 1) * fraction).astype(np.int64)
    return thresholds[np.arange(len(thresholds)), index]


def _thresholds(reference, acc_low, acc_high, channel, codes):
    """Least accumulator with a result of at least each code, by bisection.

    ``acc_high + 1`` where there is none. Shape (channels, codes).
    """
    below = np.broadcast_to(acc_low[:, None], (len(channel), len(codes))).astype(np.int64)
    above = np.broadcast_to(acc_high[:, None] + 1, below.shape).astype(np.int64)
    while np.any(below < above):
        middle  = (below + above) >> 1
        # Where it is settled, middle is the threshold, which may be beyond the range.
        reached = reference(np.minimum(middle, acc_high[:, None]), channel[:, None]) >= codes
        reached |= middle > acc_high[:, None]
        above = np.where(reached, middle, above)
        below = np.where(reached, below, np.minimum(middle + 1, above))
    return above


@dataclass(frozen=True, eq=False)
class _Region:
    """Accumulators of one sign: what an offset for them has to obey.

    The offset is right if ``code << shift <= x * multiplier + offset`` for all lower, and
    ``x * multiplier + offset < code << shift`` for all upper constraints. Arrays have the shape
    (channels, codes); codes are less the zero point.
    """

    lower_x:   np.ndarray # accumulator that must reach the code
    upper_x:   np.ndarray # accumulator that must not
    has_lower: np.ndarray
    has_upper: np.ndarray
    codes:     np.ndarray

    def __getitem__(self, rows):
        return _Region(self.lower_x[rows], self.upper_x[rows], self.has_lower[rows],
                       self.has_upper[rows], self.codes)

    def bounds(self, multiplier, shift):
        """Least and greatest offset, and the constraints (columns) that they are due to."""
        targets = self.codes << shift
        lower = np.where(self.has_lower, targets - self.lower_x * multiplier[:, None], -INFINITY)
        upper = np.where(self.has_upper, targets - 1 - self.upper_x * multiplier[:, None],
                         INFINITY)
        rows = np.arange(len(multiplier))
        least, greatest = lower.argmax(axis=1), upper.argmin(axis=1)
        return lower[rows, least], upper[rows, greatest], least, greatest


def _regions(thresholds, acc_low, acc_high, codes):
    """The accumulators from 0 up, and those below."""
    regions = []
    for first, last in ((np.maximum(acc_low, 0), acc_high), (acc_low, np.minimum(acc_high, -1))):
        first, last = first[:, None], last[:, None]
        exists = first <= last
        regions.append(_Region(np.maximum(thresholds, first), np.minimum(thresholds - 1, last),
                               exists & (thresholds <= last), exists & (thresholds > first),
                               codes))
    return regions


def _search(regions, rows, channels, ratio, result):
    """Fill in ``result`` for those ``rows`` of ``regions`` that have a fit; which ones.

    ``channels`` are those of all rows.
    """
    fitted = np.zeros(len(channels), bool)
    for shift in range(SHIFT_MAX + 1):
        multiplier = np.clip(np.rint(ratio[channels[rows]] * 2.0**shift), 0,
                             MULTIPLIER_MAX).astype(np.int64)
        least, greatest = np.zeros_like(multiplier), np.full_like(multiplier, MULTIPLIER_MAX)
        trying, found = np.arange(len(rows)), np.zeros(len(rows), bool)
        while trying.size:
            current = [region[rows[trying]] for region in regions]
            bounds  = [region.bounds(multiplier[trying], shift) for region in current]
            offsets, fits = _offsets(bounds)
            done   = trying[fits]
            chosen = channels[rows[done]]
            result.multiplier[chosen] = multiplier[done]
            result.shift[chosen]      = shift
            result.offset_positive[chosen], result.offset_negative[chosen] = offsets[:, fits]
            found[done] = True
            fitted[rows[done]] = True

            # Where no offset fits, two constraints contradict each other for this multiplier.
            some = np.zeros(len(trying), bool)
            for region, (lower, upper, low_at, high_at) in zip(current, bounds):
                crossed = np.flatnonzero(lower > upper)
                a, b    = low_at[crossed], high_at[crossed]
                rise    = region.lower_x[crossed, a] - region.upper_x[crossed, b]
                need    = ((region.codes[a] - region.codes[b]) << shift) + 1
                at      = trying[crossed]
                # multiplier * rise >= need
                up, down = rise > 0, rise < 0
                least[at[up]] = np.maximum(least[at[up]], -(-need[up] // rise[up]))
                greatest[at[down]] = np.minimum(greatest[at[down]], need[down] // rise[down])
                greatest[at[rise == 0]] = -1
                some[crossed] = True
            # If they do not, the offsets are too wide, and other multipliers would not help.
            trying = trying[~fits & some]
            trying = trying[least[trying] <= greatest[trying]]
            multiplier[trying] = np.clip(multiplier[trying], least[trying], greatest[trying])
        rows = rows[~found]
        if not rows.size:
            break
    return fitted


def _offsets(bounds):
    """Offsets for both signs, the same if possible, and whether there are any."""
    (lower0, upper0, *_), (lower1, upper1, *_) = bounds
    lower = np.maximum([lower0, lower1], OFFSET_MIN)
    upper = np.minimum([upper0, upper1], OFFSET_MAX)
    common_lower, common_upper = lower.max(axis=0), upper.min(axis=0)
    common  = common_lower <= common_upper
    offsets = np.where(common, (common_lower + common_upper) >> 1, (lower + upper) >> 1)
    return offsets, np.all(lower <= upper, axis=0)


def prove(requantization, reference, acc_low, acc_high, *, low, high):
    """Prove that the hardware computes just what ``reference`` does.

    Takes nothing from :func:`fit`. The least accumulator for which the hardware reaches a code is
    computed from the parameters, by one division; there and one below the reference is asked. It
    has to reach the code there and must not below. As it is monotone, both then agree on that
    code everywhere; as this holds for all codes, they agree.

    Parameters are those of :func:`fit`.

    Raises
    ------
    FitError
        With all channels that differ anywhere between ``acc_low`` and ``acc_high``, or whose
        parameters or accumulators do not fit in the hardware's widths.
    """
    acc_low, acc_high = np.atleast_1d(acc_low), np.atleast_1d(acc_high)
    multiplier, shift = requantization.multiplier, requantization.shift
    positive, negative = requantization.offset_positive, requantization.offset_negative

    within = (0 <= multiplier) & (multiplier <= MULTIPLIER_MAX) & (0 <= shift) \
        & (shift <= SHIFT_MAX)
    for offset in (positive, negative):
        within &= (OFFSET_MIN <= offset) & (offset <= OFFSET_MAX)
    within &= -128 <= requantization.zero_point <= 127
    if not np.all(within):
        raise FitError(np.flatnonzero(~within), "parameters do not fit in their fields")
    origin = requantization.origin
    wide   = (acc_low - origin < ACCUMULATOR_MIN) | (acc_high - origin > ACCUMULATOR_MAX)
    wide  &= ~requantization.is_constant
    if np.any(wide):
        raise FitError(np.flatnonzero(wide), f"sums do not fit in {ACCUMULATOR_BITS} bits")

    codes   = np.arange(low + 1, high + 1)
    channel = np.arange(len(multiplier))[:, None]
    agrees  = (reference(acc_low, channel[:, 0]) >= low) \
        & (reference(acc_high, channel[:, 0]) <= high)
    # From here on, accumulators are those of the hardware.
    acc_low, acc_high = acc_low - origin, acc_high - origin
    for offset, first, last in ((positive, np.maximum(acc_low, 0), acc_high),
                                (negative, acc_low, np.minimum(acc_high, -1))):
        first, last = first[:, None], last[:, None]
        missing = ((codes - requantization.zero_point) << shift[:, None]) - offset[:, None]
        divisor = np.maximum(multiplier, 1)[:, None]
        reached = np.where(multiplier[:, None] > 0, -(-missing // divisor),
                           np.where(missing <= 0, first, last + 1))
        reached = np.clip(reached, first, np.maximum(last + 1, first))
        at     = np.minimum(reached, np.maximum(last, first)) + origin[:, None]
        before = np.maximum(reached - 1, first) + origin[:, None]
        at     = reference(at, channel) >= codes
        before = reference(before, channel) >= codes
        right   = (at | (reached > last)) & (~before | (reached <= first))
        agrees &= np.all(right | (first > last), axis=1)
    if not np.all(agrees):
        raise FitError(np.flatnonzero(~agrees), "the fit differs from the reference")
