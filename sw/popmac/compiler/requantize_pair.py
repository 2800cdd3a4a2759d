"""Fits the hardware's pair unit to element-wise addition and subtraction, and proves the fit.

For two codes ``x1`` and ``x2`` the hardware computes

    ``clamp(((x1 * multiplier + x2 * second_multiplier + offset) >> shift) + zero_point)``

see :class:`popmac.isa.PairParameters`. There are 65,536 pairs of codes, so that a fit is proved by
trying them all.

Finding one is a matter of geometry. Each pair that must reach a code, and each that must not, is
a linear inequality in both multipliers and the offset. Two of them, one of either kind, make one
in the multipliers alone: a half-plane. All of them leave a convex polygon of possible
multipliers, tiny and often thin, in which a point of the grid has to be found whose mesh is
``2**-shift``.
"""

from dataclasses import dataclass

import numpy as np

from ..golden.arithmetic import activation_range, rescale
from ..golden.layers.elementwise import sum_multipliers
from ..golden.single import add_codes
from .requantize import MULTIPLIER_MAX, OFFSET_MAX, OFFSET_MIN, SHIFT_MAX, FitError


__all__ = ["PairRequantization", "fit_pair", "fit_sum", "prove_pair", "sum_table"]


CODES = np.arange(-128, 128)

# Half-planes that are cut off the polygon until it is known well enough, at most.
MAX_CUTS = 400

# Points of the grid that are tried per shift, at most: columns, and points of each.
MAX_COLUMNS = 33
MAX_POINTS  = 5


@dataclass(frozen=True, kw_only=True)
class PairRequantization:
    """Parameters of the pair unit.

    ``sign`` is 1, or -1 if the second operand enters negated: ``-x2 * second_multiplier``.
    """

    multiplier:        int
    second_multiplier: int
    offset:            int
    shift:             int
    sign:              int

    def apply(self, first, second, *, zero_point, low, high):
        """Results of the hardware for arrays of codes."""
        products = (np.asarray(first, np.int64) * self.multiplier
                    + self.sign * np.asarray(second, np.int64) * self.second_multiplier)
        return np.clip(((products + self.offset) >> self.shift) + zero_point, low, high)


def sum_table(first, second, output, activation="none", *, sign=1):
    """Results of ``Add``, or with a ``sign`` of -1 of ``Sub``, for all pairs of codes.

    Parameters
    ----------
    first, second, output : (scale, zero point)
        float32 and int.
    activation : str
        Key of :data:`popmac.golden.arithmetic.ACTIVATIONS`.

    Returns
    -------
    ndarray of int64, shape (256, 256)
        Axes are the first and the second code, from -128 up.
    """
    of_first, of_second, of_sum = sum_multipliers(first[0], second[0], output[0])
    terms = (rescale((CODES - first[1])[:, None] << 20, *of_first)
             + sign * rescale((CODES - second[1]) << 20, *of_second))
    return np.clip(rescale(terms, *of_sum) + output[1],
                   *activation_range(activation, *output))


def fit_pair(table, first_ratio, second_ratio, *, zero_point, low, high, sign=1):
    """Parameters with which the pair unit computes just what ``table`` says.

    Parameters
    ----------
    table : ndarray of int, shape (256, 256)
        Codes for all pairs, as :func:`sum_table` makes them: between ``low`` and ``high``, and
        not falling as ``x1`` or ``sign * x2`` rises.
    first_ratio, second_ratio : float
        About how much the result rises as the operand rises by one.
    zero_point, low, high : int
        Of the layer.
    sign : int
        -1 if the second operand enters negated.

    Returns
    -------
    PairRequantization
        That of the smallest shift that was found; proved by :func:`prove_pair`.

    Raises
    ------
    FitError
        If none was found.
    """
    # From here on the second operand is the one that enters: negated, with its order reversed.
    codes = np.asarray(table, np.int64)[:, ::sign]
    if np.any(np.diff(codes, axis=0) < 0) or np.any(np.diff(codes, axis=1) < 0):
        raise FitError([0], "the sum is not monotone")
    second = CODES if sign == 1 else -CODES[::-1]
    if np.all(codes == codes[0, 0]):
        found = 0, 0, int(codes[0, 0]) - zero_point, 0
    else:
        constraints = _Constraints(codes, second, zero_point, low, high)
        found = _search(constraints, first_ratio, second_ratio)
    if found is None:
        raise FitError([0], "no multipliers and offset round as the reference does")
    multiplier, second_multiplier, offset, shift = found
    result = PairRequantization(multiplier=multiplier, second_multiplier=second_multiplier,
                                offset=offset, shift=shift, sign=sign)
    prove_pair(result, table, zero_point=zero_point, low=low, high=high)
    return result


def prove_pair(requantization, table, *, zero_point, low, high):
    """Prove that the pair unit computes just what ``table`` says, by trying all pairs.

    Raises
    ------
    FitError
        If it does not, or if the parameters do not fit in their fields.
    """
    r = requantization
    if not (0 <= r.multiplier <= MULTIPLIER_MAX and 0 <= r.second_multiplier <= MULTIPLIER_MAX
            and OFFSET_MIN <= r.offset <= OFFSET_MAX and 0 <= r.shift <= SHIFT_MAX
            and r.sign in (1, -1)):
        raise FitError([0], "parameters do not fit in their fields")
    results = r.apply(CODES[:, None], CODES, zero_point=zero_point, low=low, high=high)
    if not np.array_equal(results, table):
        raise FitError([0], "the fit differs from the reference")


def fit_sum(graph, node):
    """Parameters of the pair unit for an ``Add`` or ``Sub`` of two tensors.

    Returns
    -------
    PairRequantization

    Raises
    ------
    FitError
        If none was found.
    """
    tensors = [graph.tensors[name] for name in (*node.inputs, node.output)]
    first, second, output = ((tensor.scale[0], int(tensor.zero_point[0])) for tensor in tensors)
    activation = node.attrs["activation"]
    sign       = {"Add": 1, "Sub": -1}[node.op]
    low, high  = activation_range(activation, *output)
    ratios     = (float(scale) / float(output[0]) for scale, _ in (first, second))
    if node.attrs.get("rounding") == "single":
        codes = CODES.astype(np.int8)
        table = add_codes(codes[:, None], codes, *zip(first, second, output),
                          node.attrs["offset"]).astype(np.int64)
    else:
        table = sum_table(first, second, output, activation, sign=sign)
    return fit_pair(table, *ratios,
                    zero_point=output[1], low=low, high=high, sign=sign)


class _Constraints:
    """Pairs that must reach a code, and pairs that must not.

    Of all pairs that must reach a code, those count from which neither operand can be lowered;
    the others follow. Likewise for pairs that must not reach it.
    """

    def __init__(self, codes, second, zero_point, low, high):
        def pairs(edges, target):
            rows, columns = np.nonzero(edges)
            return (CODES[rows].astype(np.int64), second[columns].astype(np.int64),
                    target[rows, columns].astype(np.int64))

        before = [np.pad(codes, pad, constant_values=low - 1)[:256, :256] < codes
                  for pad in (((1, 0), (0, 0)), ((0, 0), (1, 0)))]
        after  = [np.pad(codes, pad, constant_values=high + 1)[-256:, -256:] > codes
                  for pad in (((0, 1), (0, 0)), ((0, 0), (0, 1)))]
        self.lower = pairs((codes > low) & before[0] & before[1], codes - zero_point)
        self.upper = pairs((codes < high) & after[0] & after[1], codes - zero_point + 1)

    def bounds(self, multipliers, unit):
        """Least and greatest offset for both ``multipliers``, and which pairs they are due to.

        Codes are worth ``unit``: ``2**shift`` for integers. Multipliers and offsets may as well
        be real numbers, and the unit 1; the greatest offset is excluded then.
        """
        least, greatest = (code * unit - x1 * multipliers[0] - x2 * multipliers[1]
                           for x1, x2, code in (self.lower, self.upper))
        at, to = least.argmax(), greatest.argmin()
        return least[at], greatest[to], at, to

    def cut(self, at, to):
        """Half-plane ``normal @ multipliers > bound`` outside of which two pairs contradict."""
        x1, x2, code = (values[at] for values in self.lower)
        y1, y2, other = (values[to] for values in self.upper)
        return np.array([x1 - y1, x2 - y2], np.float64), float(code - other)


def _search(constraints, first_ratio, second_ratio):
    """Multipliers, offset and shift, or ``None``."""
    polygon = _polygon(constraints, np.array([first_ratio, second_ratio]))
    if polygon is None:
        return None
    for shift in range(SHIFT_MAX + 1):
        corners = polygon * 2.0**shift
        if np.min(corners.max(axis=0)) > MULTIPLIER_MAX:
            break
        for point in _grid(corners):
            least, greatest, *_ = constraints.bounds(point, 1 << shift)
            least, greatest = max(least, OFFSET_MIN), min(greatest - 1, OFFSET_MAX)
            if least <= greatest and max(point) <= MULTIPLIER_MAX:
                return *point, int(least + greatest) >> 1, shift
    return None


def _polygon(constraints, ratios):
    """Corners of the multipliers that are possible, per unit of the result; ``None`` if none are.

    Begins with a box about ``ratios`` and cuts off what a contradiction excludes, at first
    through the middle, then at the corners, until the corners are hardly excluded any more.
    """
    polygon = ratios * np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    inside  = False
    for _ in range(MAX_CUTS):
        points = [_centroid(polygon)] if not inside else list(polygon)
        cuts   = []
        for point in points:
            least, greatest, at, to = constraints.bounds(point, 1.0)
            if least >= greatest:
                normal, bound = constraints.cut(at, to)
                depth = bound - normal @ point
                # Corners lie on cuts: what they are beyond them by is the error of arithmetic.
                if not inside or depth > 1e-9 * max(abs(bound), 1):
                    cuts.append((normal, bound))
        if not cuts:
            if inside:
                break
            inside = True
            continue
        for normal, bound in cuts:
            polygon = _clip(polygon, normal, bound)
            if len(polygon) < 3:
                return None
    return polygon


def _centroid(polygon):
    """Centre of gravity."""
    origin = polygon[0]
    a, b   = polygon[1:-1] - origin, polygon[2:] - origin
    areas  = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    if not areas.sum():
        return polygon.mean(axis=0)
    return origin + ((a + b) * areas[:, None]).sum(axis=0) / (3 * areas.sum())


def _clip(polygon, normal, bound):
    """The part of a convex polygon where ``normal @ point >= bound``."""
    heights = polygon @ normal - bound
    corners = []
    for point, height, other, beyond in zip(polygon, heights, np.roll(polygon, -1, axis=0),
                                            np.roll(heights, -1)):
        if height >= 0:
            corners.append(point)
        if (height < 0 < beyond) or (beyond < 0 < height):
            corners.append(point + (other - point) * (height / (height - beyond)))
    return np.array(corners).reshape(-1, 2)


def _grid(corners):
    """Whole-numbered points in a convex polygon, from the middle outwards, not all of many."""
    def whole(low, high, most):
        low, high = int(np.ceil(low)), int(np.floor(high))
        if high - low >= most:
            middle = (low + high) // 2
            low, high = middle - most // 2, middle + most // 2
        return sorted(range(low, high + 1), key=lambda n: abs(2 * n - low - high))

    ends = np.roll(corners, -1, axis=0)
    for first in whole(corners[:, 0].min(), corners[:, 0].max(), MAX_COLUMNS):
        # Where the edges cross the column.
        crossed = (corners[:, 0] <= first) != (ends[:, 0] <= first)
        if not np.any(crossed):
            continue
        a, b = corners[crossed], ends[crossed]
        heights = a[:, 1] + (b[:, 1] - a[:, 1]) * ((first - a[:, 0]) / (b[:, 0] - a[:, 0]))
        for second in whole(heights.min(), heights.max(), MAX_POINTS):
            yield first, second
