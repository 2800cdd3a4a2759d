"""Programs in words."""

from . import isa
from .program import DeviceSegment


__all__ = ["program_report"]


def program_report(program):
    """Table of the layers of ``program``, and what it needs of each memory."""
    arch    = program.arch
    lines   = [f"{program.graph.name} on {arch.name}"]
    header  = ("layer", "operator", "where", "cycles", "MACs", "array", "words")
    rows    = []
    for segment in program.segments:
        if isinstance(segment, DeviceSegment):
            for index in range(segment.first, segment.last + 1):
                layer = program.layers[index]
                use   = layer.macs / (layer.cycles * arch.macs_per_cycle)
                where = "device, bits" if program.descriptor(index).unit == isa.Unit.BINARY \
                    else "device"
                rows.append((layer.node, layer.op, where, f"{layer.cycles:,}",
                             f"{layer.macs:,}", f"{use:.0%}" if layer.macs else "",
                             f"{layer.weight_words:,}"))
        else:
            fallbacks = {fallback.node: fallback for fallback in program.fallbacks}
            for name in segment.nodes:
                rows.append((name, fallbacks[name].op, "host", "", "", "", ""))
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        lines.append("  ".join(cell.ljust(width) if i < 3 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    cycles = sum(layer.cycles for layer in program.layers)
    share  = program.macs_on_device / program.macs if program.macs else 1
    words  = max((l.base + l.words for l in program.layouts.values()), default=0)
    lines += [
        f"MACs on the device: {program.macs_on_device:,} of {program.macs:,} ({share:.1%})",
        f"predicted: {cycles:,} cycles, {cycles / arch.clock_hz * 1e6:,.1f} us at "
        f"{arch.clock_hz / 1e6:g} MHz",
        f"weights: {program.resident_words:,} of {arch.all_weight_words:,} words; "
        f"activations: {words * arch.word_bytes:,} of {arch.activation_bytes:,} bytes; "
        f"program: {program.resident_rows:,} of {arch.program_rows:,} rows",
    ]
    if program.bytes_per_run:
        seconds = program.bytes_per_run * arch.cycles_per_byte / arch.clock_hz
        lines.append("weights, tables and parameters do not fit at the same time: "
                     f"{program.bytes_per_run:,} bytes stream in {len(program.pages)} pages in "
                     f"each run, which takes {seconds * 1e3:,.1f} ms at the link's rate")
    for fallback in program.fallbacks:
        lines.append(f"{fallback.node} runs on the host: {fallback.reason}; {fallback.remedy}")
    return "\n".join(lines)
