"""Picture of a placement."""

import json
import re
from collections import Counter, defaultdict


__all__ = ["write_picture"]


# Hierarchical prefix -> name in the legend, colour. The first that fits.
_BLOCKS = [
    ("core.accelerator.array",       "array",             "#4e79a7"),
    ("core.accelerator.memory",      "activation memory", "#f28e2b"),
    ("core.accelerator.requantizer", "requantiser",       "#e15759"),
    ("core.accelerator.pair_unit",   "pair unit",         "#b07aa1"),
    ("core.accelerator.program",     "program memory",    "#59a14f"),
    ("core.accelerator.loader",      "parameter loader",  "#8cd17d"),
    ("core.accelerator.sequencer",   "sequencer",         "#edc948"),
    ("core.accelerator.addresses",   "addresses",         "#d4a6c8"),
    ("core.accelerator.writeback",   "writeback",         "#9c755f"),
    ("core.accelerator.cells",       "cells",             "#4e79a7"),
    ("core.accelerator.windows",     "windows",           "#f28e2b"),
    ("core.accelerator.writer",      "writer",            "#9c755f"),
    ("core.accelerator",             "accelerator",       "#bab0ac"),
    ("core.endpoint",                "link",              "#76b7b2"),
    ("",                             "board",             "#79706e"),
]

_SCALE = 8 # pixels per place


def write_picture(placed, path):
    """Write an SVG: every place of the device, in the colour of the block that fills most of it.

    Parameters
    ----------
    placed : path-like
        Netlist that nextpnr wrote, with the place of each cell.
    path : path-like
    """
    with open(placed) as file:
        cells = json.load(file)["modules"]["top"]["cells"]
    counts = defaultdict(Counter)
    for name, cell in cells.items():
        place = re.match(r"X(\d+)/Y(\d+)/", cell["attributes"].get("NEXTPNR_BEL", ""))
        if place:
            block = next(i for i, (prefix, _, _) in enumerate(_BLOCKS) if name.startswith(prefix))
            counts[int(place[2]), int(place[1])][block] += 1

    height = max(y for y, _ in counts) + 1
    width  = max(x for _, x in counts) + 1
    lines  = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{(width + 24) * _SCALE}" '
              f'height="{height * _SCALE}" font-family="sans-serif" font-size="{2 * _SCALE}">',
              '<rect width="100%" height="100%" fill="white"/>']
    for (y, x), blocks in sorted(counts.items()):
        block = blocks.most_common(1)[0][0]
        lines.append(f'<rect x="{x * _SCALE}" y="{y * _SCALE}" width="{_SCALE}" '
                     f'height="{_SCALE}" fill="{_BLOCKS[block][2]}"/>')
    present = {block for blocks in counts.values() for block in blocks}
    for line, block in enumerate(sorted(present)):
        _, name, colour = _BLOCKS[block]
        y = (3*line + 1) * _SCALE
        lines += [f'<rect x="{(width + 1) * _SCALE}" y="{y}" width="{2 * _SCALE}" '
                  f'height="{2 * _SCALE}" fill="{colour}"/>',
                  f'<text x="{(width + 4) * _SCALE}" y="{y + 2 * _SCALE - 3}">{name}</text>']
    lines.append("</svg>\n")
    with open(path, "w") as file:
        file.write("\n".join(lines))
