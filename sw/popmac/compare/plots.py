"""Plots as SVG elements."""

import html
import math


__all__ = ["bars", "pareto"]


WIDTH, HEIGHT, MARGIN = 440, 300, 48

_DOT, _FRONT, _BAR, _LIMIT = "#3b6fb6", "#2b7a4b", "#3b6fb6", "#b0435f"


def pareto(points, label, unit):
    """Scatter of accuracy, upwards, against a cost on a logarithmic axis.

    Points of which none is both cheaper and more accurate are joined.

    Parameters
    ----------
    points : sequence of (name, cost, accuracy)
        Costs above 0; accuracies from 0 to 1.
    label, unit : str
        Of the cost.
    """
    if not points:
        return "<p>Nothing was measured.</p>"
    costs  = [cost for _, cost, _ in points]
    heights = [accuracy for _, _, accuracy in points]
    left, right = min(costs) / 1.6, max(costs) * 1.6
    low, high = min(heights), max(heights)
    low, high = low - max(0.1 * (high - low), 0.002), high + max(0.1 * (high - low), 0.002)

    def place(cost, accuracy):
        along = math.log(cost / left) / math.log(right / left)
        up    = (accuracy - low) / (high - low)
        return (MARGIN + along * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN))

    parts = [f'<path d="M{MARGIN},{MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" '
             f'stroke="#888"/>',
             f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(label)} '
             f'({html.escape(unit)})</text>',
             f'<text x="{MARGIN}" y="{MARGIN - 14}">accuracy</text>']
    for power in range(math.ceil(math.log10(left)), math.floor(math.log10(right)) + 1):
        x, _ = place(10.0**power, low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 14}" text-anchor="middle">'
                     f'{10.0**power:,g}</text><path d="M{x:.1f},{HEIGHT - MARGIN}v4" '
                     f'stroke="#888"/>')
    for share in (0, 0.5, 1):
        value = low + share * (high - low)
        _, y  = place(left, value)
        parts.append(f'<text x="{MARGIN - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.1%}</text>')
    front, best = [], -math.inf
    for _, cost, accuracy in sorted(points, key=lambda point: (point[1], -point[2])):
        if accuracy > best:
            front.append("{:.1f},{:.1f}".format(*place(cost, accuracy)))
            best = accuracy
    parts.append(f'<polyline points="{" ".join(front)}" fill="none" stroke="{_FRONT}" '
                 f'stroke-dasharray="4 3"/>')
    for index, (name, cost, accuracy) in enumerate(points):
        x, y   = place(cost, accuracy)
        on     = f"{x:.1f},{y:.1f}" in front
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" '
                     f'fill="{_FRONT if on else _DOT}"><title>{html.escape(name)}: {cost:,.4g} '
                     f'{html.escape(unit)}, {accuracy:.2%}</title></circle>'
                     f'<text x="{x + (-8 if anchor == "end" else 8):.1f}" '
                     f'y="{y + (14 if index % 2 else -6):.1f}" text-anchor="{anchor}">'
                     f'{html.escape(name)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="48%">{"".join(parts)}</svg>'


def bars(title, values, counts, limits=()):
    """Histogram with its title below.

    Parameters
    ----------
    title : str
    values : sequence of float
        Middle of each bar.
    counts : sequence of int
    limits : sequence of float
        Values that are marked by a line.
    """
    width, height = 200, 70
    step  = values[1] - values[0] if len(values) > 1 else 1.0
    left, right = values[0] - step / 2, values[-1] + step / 2
    most  = max(max(counts), 1)
    parts = []
    for value, count in zip(values, counts):
        x, tall = (value - step / 2 - left) / (right - left) * width, count / most * height
        parts.append(f'<rect x="{x:.1f}" y="{height - tall:.1f}" '
                     f'width="{max(width / len(values) - 0.5, 0.5):.1f}" height="{tall:.1f}" '
                     f'fill="{_BAR}"/>')
    for limit in limits:
        if left <= limit <= right:
            x = (limit - left) / (right - left) * width
            parts.append(f'<path d="M{x:.1f},0v{height}" stroke="{_LIMIT}"/>')
    parts.append(f'<text x="0" y="{height + 13}">{left:.3g}</text><text x="{width}" '
                 f'y="{height + 13}" text-anchor="end">{right:.3g}</text><text x="{width / 2}" '
                 f'y="{height + 28}" text-anchor="middle">{html.escape(title)}</text>')
    return (f'<svg viewBox="-4 0 {width + 8} {height + 34}" width="23%"><title>'
            f'{html.escape(title)}</title>{"".join(parts)}</svg>')
