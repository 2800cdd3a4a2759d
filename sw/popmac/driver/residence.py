"""Where programs are in the memories of a device, several of them at once if they fit."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import isa
from ..arch import TABLES


__all__ = ["Place", "find_place", "relocated"]


class Place(NamedTuple):
    """Where a program begins.

    Its activations are where it was compiled for; they do not outlive a run anyway.
    """
    word:  int #: of weight memory
    row:   int #: of program memory; a multiple of LAYER_ROWS
    table: int #: of a function of one code

    @property
    def layer(self):
        """Index of the first layer."""
        return self.row // isa.LAYER_ROWS


def find_place(program, others):
    """The first place that has room, or ``None``.

    Parameters
    ----------
    program : Program
    others : collection of (Program, Place)
        What has to stay.
    """
    arch  = program.arch
    word  = _first_gap(program.resident_words, arch.all_weight_words,
                       [(place.word, other.resident_words) for other, place in others])
    row   = _first_gap(program.resident_rows, arch.program_rows,
                       [(place.row, other.resident_rows) for other, place in others],
                       unit=isa.LAYER_ROWS)
    table = _first_gap(program.resident_tables, TABLES,
                       [(place.table, other.resident_tables) for other, place in others])
    if None in (word, row, table) or word + _binary_words(program) > arch.weight_words \
            or row // isa.LAYER_ROWS + len(program.layers) > isa.MAX_LAYERS:
        return None
    return Place(word, row, table)


def _binary_words(program):
    """Weight words that must be in block RAM, which the binary engine alone reads."""
    needed = 0
    for index in range(len(program.layers)):
        layer = program.descriptor(index)
        if layer.unit == isa.Unit.BINARY:
            steps  = [layer.input_block, layer.kernel_column, layer.kernel_row, layer.output_block]
            needed = max(needed, layer.first_weight + math.prod(level.last + 1 for level in steps))
    return needed


def _first_gap(size, limit, taken, unit=1):
    start = 0
    for other, length in sorted(taken):
        if start + size <= other:
            break
        start = max(start, -(-(other + length) // unit) * unit)
    return start if start + size <= limit else None


def relocated(program, place):
    """Rows of a program for another place.

    Returns
    -------
    ndarray of uint8 (rows, isa.ROW_BYTES)
    """
    rows = program.rows.copy()
    size = isa.COUNTER_ROW * isa.ROW_BYTES
    for index in range(len(program.layers)):
        descriptor = slice(index * isa.LAYER_ROWS, index * isa.LAYER_ROWS + isa.COUNTER_ROW)
        layer = program.descriptor(index)
        layer = replace(layer, parameters=layer.parameters + place.row,
                        first_weight=(layer.first_weight + place.word) % 2**16,
                        table=layer.table + place.table * layer.use_table)
        rows[descriptor] = np.frombuffer(layer.encode().to_bytes(size, "little"), np.uint8) \
            .reshape(-1, isa.ROW_BYTES)
    return rows
