"""A comparison as one page of HTML, with nothing outside of it."""

import html

from .plots import bars, pareto


__all__ = ["cells", "comparison_page", "HEAD"]


HEAD = ("network", "measured on", ">accuracy", ">agrees", ">bits", ">weight bytes", ">smaller",
        ">MACs", ">on device", ">cycles", ">us", ">x INT8", ">x CPU")

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px sans-serif; margin: 2em auto; max-width: 1000px; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ padding: 2px 6px; text-align: right; border-bottom: 1px solid #ddd }}
td:nth-child(-n+2), th:nth-child(-n+2) {{ text-align: left }}
svg text {{ font: 11px sans-serif }} .problem {{ color: #b0435f; text-align: left }}
</style></head><body>
<h1>{title}</h1><p>{summary}</p>
{table}
<h2>Accuracy against latency</h2>{latency}
<h2>Accuracy against bytes</h2>{size}
<h2>Layers</h2><p>Ratio of the float values' power to that of the error of INT8, in dB; onnxruntime,
operator by operator.</p>{layers}
<h2>Values of the layers</h2><p>Float results; the lines are the limits of the INT8 codes.</p>
{values}
<h2>Weights</h2><p>Integer weights as the device has them.</p>{weights}
</body></html>
"""


def cells(row):
    """Texts of a row of the table, in the order of :data:`HEAD`."""
    def text(value, pattern):
        return "" if value is None else pattern.format(value)

    measured = row.macs and row.macs_on_device is not None
    share    = row.macs_on_device / row.macs if measured else None
    return [row.name, row.where, text(row.accuracy, "{:.2%}"), text(row.agreement, "{:.2%}"),
            ", ".join(map(str, row.bits)), text(row.weight_bytes, "{:,}"),
            text(row.compression, "{:.1f}x"), text(row.macs, "{:,}"), text(share, "{:.0%}"),
            text(row.cycles, "{:,}"), text(row.latency_us, "{:,.1f}"),
            text(row.speedup_int8, "{:.2f}"), text(row.speedup_cpu, "{:.2f}")]


def comparison_page(comparison):
    """Page for a :class:`popmac.compare.Comparison`."""
    rows    = comparison.rows
    judged  = [row for row in rows if row.accuracy is not None]
    worth   = "accuracy" if judged else "agreement"
    summary = (f"{comparison.samples:,} samples, sha256 {comparison.sha256[:16]}. Rows from INT8 "
               f"down are cycles counted by the device {comparison.device}, at "
               f"{comparison.clock_hz / 1e6:g} MHz, the link apart; "
               f"float rows by {comparison.runtime}, float16 emulated. INT8 was calibrated with "
               f"{comparison.calibration}. Plots show {worth}.")
    quantised = [row for row in rows if row.layers]
    return _PAGE.format(
        title=html.escape(f"{comparison.model} on {comparison.target}"),
        summary=html.escape(summary), table=_table(rows),
        latency=pareto([(row.name, row.latency_us, getattr(row, worth)) for row in rows
                        if row.latency_us and getattr(row, worth) is not None], "latency", "us"),
        size=pareto([(row.name, row.weight_bytes, getattr(row, worth)) for row in rows
                     if row.weight_bytes and getattr(row, worth) is not None],
                    "weights", "bytes"),
        layers=_layers(quantised), values=_values(quantised[-1]) if quantised else "",
        weights="".join(f"<h3>{html.escape(row.name)}</h3>" + "".join(
            bars(name, *weights) for name, weights in row.weights.items())
            for row in rows if row.weights))


def _table(rows):
    head  = "".join(f"<th>{html.escape(name.lstrip('>'))}</th>" for name in HEAD)
    lines = []
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells(row)) + "</tr>")
        if row.problem:
            lines.append(f'<tr><td></td><td class="problem" colspan="{len(HEAD) - 1}">not on the '
                         f'device: {html.escape(row.problem)}</td></tr>')
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _layers(rows):
    if not rows:
        return "<p>There is no INT8 model.</p>"
    names = {layer.name: layer.op for row in rows for layer in row.layers}
    head  = "".join(f"<th>{html.escape(row.name)}</th>" for row in rows)
    lines = []
    for name, op in names.items():
        found = [next((layer.sqnr for layer in row.layers if layer.name == name), None)
                 for row in rows]
        texts = [("" if value is None else f"{value:.1f}") +
                 (" (among the worst)" if name in row.worst else "")
                 for value, row in zip(found, rows)]
        lines.append(f"<tr><td>{html.escape(name)}</td><td>{html.escape(op)}</td>" +
                     "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
    return f"<table><tr><th>layer</th><th>operator</th>{head}</tr>{''.join(lines)}</table>"


def _values(row):
    parts = []
    for layer in row.layers:
        step   = (layer.high - layer.low or 1.0) / len(layer.counts)
        middle = [layer.low + (i + 0.5) * step for i in range(len(layer.counts))]
        parts.append(bars(f"{layer.name}, {layer.sqnr:.1f} dB", middle, layer.counts,
                          (layer.first, layer.last)))
    return "".join(parts)
