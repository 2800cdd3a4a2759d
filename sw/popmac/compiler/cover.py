"""Several fits of the requantiser that together round as a reference does.

Where a reference rounds in floating point, single thresholds are off by one from where any
multiplier has them, some too early and some too late. No parameters fit such a channel. But several
do: *parts*, of which none is greater than the reference anywhere, and for each code one reaches it
where the reference does. The greatest of their results is the reference's.
"""

from dataclasses import fields

import numpy as np

from .requantize import (
    ACCUMULATOR_MAX,
    ACCUMULATOR_MIN,
    MULTIPLIER_MAX,
    OFFSET_MAX,
    OFFSET_MIN,
    FitError,
    Requantization,
    check_fields,
    fit,
    reached,
    thresholds,
)


__all__ = ["MAX_PARTS", "fit_cover", "prove_cover"]


#: Parts that are tried at most.
MAX_PARTS = 4

# Shifts that leave offsets room for 128 codes.
_SHIFT_MAX = 33

_ARRAYS = [f.name for f in fields(Requantization) if f.name != "zero_point"]


def fit_cover(reference, acc_low, acc_high, ratio, *, zero_point, low, high):
    """Parts whose greatest result is that of ``reference``.

    Channels that have a fit have it in the first part, and the lowest code in all others. For
    the rest, multipliers near ``ratio`` and places where the sign changes are tried: offsets
    are as great as they can be without exceeding the reference, and what reaches most of the
    codes that no part before it does is taken.

    Parameters
    ----------
    As for :func:`popmac.compiler.requantize.fit`.

    Returns
    -------
    list of Requantization
        At most :data:`MAX_PARTS`; proved by :func:`prove_cover`.

    Raises
    ------
    FitError
        With all channels that would take more.
    """
    acc_low, acc_high, ratio = map(np.atleast_1d, (acc_low, acc_high, ratio))
    known = {"zero_point": zero_point, "low": low, "high": high}
    try:
        return [fit(reference, acc_low, acc_high, ratio, **known)]
    except FitError as error:
        hard = np.array(sorted(error.channels))
    easy  = np.setdiff1d(np.arange(len(acc_low)), hard)
    first = fit(lambda acc, channel: reference(acc, easy[channel]), acc_low[easy], acc_high[easy],
                ratio[easy], **known) if easy.size else None
    codes = np.arange(low + 1, high + 1)
    found = {}
    for channel in hard.tolist():
        limits = thresholds(reference, acc_low[[channel]], acc_high[[channel]],
                            np.array([channel]), codes)[0]
        found[channel] = _parts(limits, int(acc_low[channel]), int(acc_high[channel]),
                                float(ratio[channel]), codes - zero_point)
    if lost := [channel for channel, parts in found.items() if not parts]:
        raise FitError(lost, f"not even {MAX_PARTS} multipliers round as the reference does")
    parts = []
    for index in range(max(map(len, found.values()))):
        part = {name: np.zeros(len(acc_low), np.int64) for name in _ARRAYS}
        part["offset_positive"] += low - zero_point
        part["offset_negative"] += low - zero_point
        if not index and first is not None:
            for name in _ARRAYS:
                part[name][easy] = getattr(first, name)
        for channel, rows in found.items():
            for name, value in zip(_ARRAYS, rows[index] if index < len(rows) else ()):
                part[name][channel] = value
        parts.append(Requantization(zero_point=zero_point, **part))
    prove_cover(parts, reference, acc_low, acc_high, low=low, high=high)
    return parts


def _parts(limits, least, greatest, ratio, codes):
    """Parts of a channel: multiplier, shift, offsets and origin of each; none if too many."""
    shift   = min(_SHIFT_MAX, int(np.floor(np.log2(MULTIPLIER_MAX / 2 / ratio))))
    if shift < 0:
        return []
    missing = limits <= greatest
    parts   = []
    while np.any(missing):
        if len(parts) == MAX_PARTS:
            return []
        best, reaches = _best_part(limits, least, greatest, ratio * 2.0**shift, codes << shift,
                                   missing)
        if best is None or not np.any(reaches & missing):
            return []
        multiplier, positive, negative, origin = best
        parts.append((multiplier, shift, positive, negative, origin))
        missing = missing & ~reaches
    return parts


def _best_part(limits, least, greatest, slope, targets, missing):
    """What reaches most of the ``missing`` codes; which codes it reaches in time."""
    inside = np.flatnonzero((limits > least) & (limits <= greatest))
    span   = max(int(limits[inside[-1]] - limits[inside[0]]), 1) if inside.size else 1
    tilts  = np.concatenate([np.linspace(-3, 3, 129) / span, -2.0**-np.arange(1, 13)])
    multipliers = np.unique(np.clip(np.rint(slope * (1 + tilts)), 0, MULTIPLIER_MAX)
                            .astype(np.int64))[:, None]
    places = inside[np.linspace(0, len(inside) - 1, min(len(inside), 17)).astype(int)]
    lost   = inside[missing[inside]][:8]
    best, most, reaches = None, 0, None
    for origin in {0, *limits[places].tolist(), *limits[lost].tolist()}:
        if least - origin < ACCUMULATOR_MIN or greatest - origin > ACCUMULATOR_MAX:
            continue
        # Sums at which a code must not be reached yet, of either sign.
        before = limits - 1 - origin
        above  = np.where((before >= 0) & (limits > least),
                          targets - 1 - multipliers * before, OFFSET_MAX).min(axis=1)
        behind = np.minimum(before, -1)
        below  = np.where((limits > least) & (behind >= least - origin),
                          targets - 1 - multipliers * behind, OFFSET_MAX).min(axis=1)
        above  = np.minimum(above, OFFSET_MAX)
        below  = np.minimum(np.minimum(below, OFFSET_MAX), above) # it does not fall
        at     = limits - origin
        value  = multipliers * at + np.where(at < 0, below[:, None], above[:, None])
        early  = (value >= targets) & (limits <= greatest)
        count  = np.where((below >= OFFSET_MIN) & (above >= OFFSET_MIN),
                          (early & missing).sum(axis=1), -1)
        index  = int(count.argmax())
        if count[index] > most:
            best    = int(multipliers[index, 0]), int(above[index]), int(below[index]), origin
            most    = int(count[index])
            reaches = early[index]
    return best, reaches


def prove_cover(parts, reference, acc_low, acc_high, *, low, high):
    """Prove that the greatest result of ``parts`` is just what ``reference`` computes.

    Takes nothing from :func:`fit_cover`. The least accumulator for which any part reaches a code is
    computed from the parameters; there the reference has to reach it, and must not one below. No
    part falls as the accumulator rises, so that the greatest of them does not either.

    Raises
    ------
    FitError
        With all channels that differ anywhere between ``acc_low`` and ``acc_high``, or whose
        parameters or accumulators do not fit in the hardware's widths.
    """
    acc_low, acc_high = np.atleast_1d(acc_low), np.atleast_1d(acc_high)
    codes   = np.arange(low + 1, high + 1)
    channel = np.arange(len(acc_low))[:, None]
    first   = np.full((len(acc_low), len(codes)), np.iinfo(np.int64).max)
    for part in parts:
        check_fields(part, acc_low, acc_high)
        origin = part.origin[:, None]
        least, greatest = acc_low[:, None] - origin, acc_high[:, None] - origin
        falls  = (part.offset_negative - part.multiplier >> part.shift) \
            > (part.offset_positive >> part.shift)
        falls &= (part.origin > acc_low) & (part.origin <= acc_high)
        if np.any(falls):
            raise FitError(np.flatnonzero(falls), "the fit falls as the sum rises")
        upper  = reached(part, part.offset_positive, codes, np.maximum(least, 0), greatest)
        lower  = reached(part, part.offset_negative, codes, least, np.minimum(greatest, -1))
        at     = np.where(lower <= np.minimum(greatest, -1), lower, upper)
        at     = np.where(at > greatest, np.iinfo(np.int64).max // 2, at)
        first  = np.minimum(first, at + origin)
    inside  = first <= acc_high[:, None]
    there   = np.clip(first, acc_low[:, None], acc_high[:, None])
    before  = np.where(inside, first - 1, acc_high[:, None])
    right   = (~inside | (reference(there, channel) >= codes)) \
        & ((before < acc_low[:, None])
           | (reference(np.maximum(before, acc_low[:, None]), channel) < codes))
    agrees  = np.all(right, axis=1) & (reference(acc_low, channel[:, 0]) >= low) \
        & (reference(acc_high, channel[:, 0]) <= high)
    if not np.all(agrees):
        raise FitError(np.flatnonzero(~agrees), "the parts differ from the reference")
