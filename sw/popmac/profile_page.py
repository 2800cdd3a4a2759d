"""A profile as one page of HTML, with nothing outside of it."""

import html
import math


__all__ = ["profile_page"]


WIDTH, HEIGHT, MARGIN = 900, 380, 50

COLOURS = {"array": "#2b7a4b", "memory": "#3b6fb6", "requantise": "#c98a1b",
           "parameters": "#8a5fb0", "weights": "#b0435f", "link": "#777777",
           "layer_change": "#b5b5b5", "host": "#dddddd"}

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px sans-serif; margin: 2em auto; max-width: 960px; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd }}
td:nth-child(-n+2), th:nth-child(-n+2), td:last-child, th:last-child {{ text-align: left }}
svg text {{ font: 11px sans-serif }} i {{ padding: 0 8px; margin: 0 4px 0 12px }}
</style></head><body>
<h1>{title}</h1><p>{summary}</p>
<p>{legend}</p>
<h2>Timeline</h2>{timeline}
<h2>Roofline</h2><p>Each result costs its multiply-accumulates in the array, and its share of the
{lanes} lanes that requantise. A layer cannot be above the line.</p>{roofline}
<h2>Layers</h2>{table}
</body></html>
"""


def profile_page(profile):
    """Page for a :class:`popmac.profile.Profile`."""
    clock   = profile.clock_hz
    summary = (f"{profile.cycles:,} cycles, {profile.cycles / clock * 1e6:,.1f} us at "
               f"{clock / 1e6:g} MHz; predicted: {profile.predicted:,}; the link takes "
               f"{profile.link_seconds * 1e3:,.2f} ms for {profile.link_bytes_in:,} bytes in and "
               f"{profile.link_bytes_out:,} bytes out")
    legend  = "".join(f'<i style="background: {colour}"></i>{bound.replace("_", " ")}'
                      for bound, colour in COLOURS.items())
    return _PAGE.format(
        title=html.escape(f"{profile.model} on {profile.target}"), summary=summary, legend=legend,
        lanes=profile.lanes, timeline=_timeline(profile), roofline=_roofline(profile),
        table=_table(profile))


def _describe(layer):
    return html.escape(f"{layer.name}: {layer.cycles:,} cycles, {layer.macs:,} MACs, bound by "
                       f"{layer.bound.replace('_', ' ')}")


def _timeline(profile):
    total = sum(layer.cycles for layer in profile.layers)
    parts, begin = [], 0
    for layer in profile.layers:
        x, width = begin / total * WIDTH, layer.cycles / total * WIDTH
        begin += layer.cycles
        parts.append(f'<rect x="{x:.2f}" y="0" width="{max(width - 0.5, 0):.2f}" height="40" '
                     f'fill="{COLOURS[layer.bound]}"><title>{_describe(layer)}</title></rect>')
    parts.append(f'<text x="0" y="56">0</text><text x="{WIDTH}" y="56" text-anchor="end">'
                 f'{total:,} cycles</text>')
    return f'<svg viewBox="0 0 {WIDTH} 60" width="100%">{"".join(parts)}</svg>'


def _roofline(profile):
    points = [(layer.macs / layer.results, layer.macs / layer.cycles, layer)
              for layer in profile.layers if layer.macs]
    peak   = profile.macs_per_cycle
    knee   = peak / profile.lanes
    left   = min([1.0, *(x for x, _, _ in points)])
    right  = max([8 * knee, *(x for x, _, _ in points)])
    low    = min([profile.lanes * left, *(y for _, y, _ in points)]) / 2

    def place(x, y):
        along = math.log(x / left) / math.log(right / left)
        up    = math.log(y / low) / math.log(2 * peak / low)
        return (MARGIN + along * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN))

    line  = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in (
        (left, profile.lanes * left), (knee, peak), (right, peak)))
    parts = [f'<polyline points="{line}" fill="none" stroke="#444"/>',
             f'<text x="{MARGIN}" y="15">MACs per cycle (the array makes {peak:,})</text>',
             f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" text-anchor="end">MACs per result'
             f'</text>']
    for power in range(math.ceil(math.log2(left)), math.floor(math.log2(right)) + 1, 2):
        x, _ = place(2.0**power, peak)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 15}" text-anchor="middle">'
                     f'{2.0**power:g}</text>')
    for x, y, layer in points:
        cx, cy = place(x, y)
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" fill="{COLOURS[layer.bound]}">'
                     f'<title>{_describe(layer)}</title></circle>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">{"".join(parts)}</svg>'


def _table(profile):
    head = "<tr><th>layer</th><th>operator</th><th>cycles</th><th>predicted</th><th>MACs</th>" \
           "<th>array</th><th>bound by</th></tr>"
    rows = [f"<tr><td>{html.escape(layer.name)}</td><td>{html.escape(layer.op)}</td>"
            f"<td>{layer.cycles:,}</td><td>{layer.predicted:,}</td><td>{layer.macs:,}</td>"
            f"<td>{layer.use:.0%}</td><td>{layer.bound.replace('_', ' ')}</td></tr>"
            for layer in profile.layers]
    return f"<table>{head}{''.join(rows)}</table>"
