"""Layers of the machine before they have addresses."""

from dataclasses import dataclass, field, replace

import numpy as np

from .. import isa
from ..thresholds import Thresholds
from .nest import Loop
from .requantize import FitError


__all__ = ["LayerPlan"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerPlan:
    """One layer of the machine, which computes a node of the graph or a part of it.

    Parameters
    ----------
    node, op : str
        Name and operator of the node.
    source, target : str
        Tensors that are read and written.
    second : str, optional
        Tensor that the pair unit takes its second operand from; it lies as ``source`` does.
    unit : isa.Unit
    loops : dict of str to :class:`Loop`
    first_row, first_column : int
        Position of the first step in the source; less than 0 where there is padding.
    source_words, target_bytes : int
        Where the first step reads and the first result is written, from the tensors' bases.
    height, row_bytes, padding, tap_rows, tap_words, second_zero_point : int
        See :class:`popmac.isa.Layer`.
    planes, plane_words, plane_log2, tail_bytes, tail_always, doubling, plane_bits_log2, \
    result_bits_log2 : int
        Planes of the binary engine, and what is in them; see :class:`popmac.isa.Layer`.
    bits : bool
        Results are bits.
    zero_point, low, high : int
    group : int
        Channels that are written per pixel and block: see ``channels_log2``.
    weights : ndarray of int8 (words, rows, columns), or of fewer columns
        None are needed where there are 0 words.
    parameters : ndarray of uint8 (rows of program memory, isa.ROW_BYTES)
    shared : bool
        All output-channel blocks use the same parameters.
    table : ndarray of int8 (TABLE_BYTES,), optional
        What results are replaced by.
    macs : int
        Multiply-accumulates of the model that this layer does.
    thresholds : Thresholds, optional
        Those of the whole node, if they may be replaced.
    sum_bits : int
        Results are whole sums of so many bits, found with changing parameters; 0 if not.
    runs : int
        How often the layer runs.
    """

    node:         str
    op:           str
    source:       str
    target:       str
    second:       str | None = None
    unit:         isa.Unit
    loops:        dict
    first_row:    int = 0
    first_column: int = 0
    source_words: int = 0
    target_bytes: int = 0
    height:       int
    row_bytes:    int
    padding:      int = 0
    tap_rows:     int = 0
    tap_words:    int = 0
    second_zero_point: int = 0
    planes:       int = 1
    plane_words:  int = 0
    plane_log2:   int = 0
    tail_bytes:   int = 0
    tail_always:  int = 0
    doubling:     int = 0
    plane_bits_log2:  int = 0
    result_bits_log2: int = 0
    bits:         bool = False
    zero_point:   int
    low:          int
    high:         int
    group:        int
    weights:      np.ndarray = field(repr=False)
    parameters:   np.ndarray = field(repr=False)
    shared:       bool = False
    table:        np.ndarray | None = field(repr=False, default=None)
    macs:         int = 0
    thresholds:   Thresholds | None = None
    sum_bits:     int = 0
    runs:         int = 1

    def with_table(self, table):
        """The same, with results replaced by entries of a table."""
        return replace(self, table=table)

    def split(self, limit, rows_limit):
        """Plans of some output-channel blocks each.

        Their weights are at most ``limit`` words, and their parameters ``rows_limit`` rows.

        Raises
        ------
        FitError
            If those of one block are more.
        """
        if len(self.weights) <= limit and len(self.parameters) <= rows_limit:
            return [self]
        loop  = self.loops["output_block"]
        words = loop.strides["weight"]
        if not 0 < words <= limit or self.shared:
            raise FitError([0], f"it takes {words or len(self.weights)} weight words, but "
                           f"{limit} fit")
        rows    = len(self.parameters) // loop.count
        at_once = min(limit // words, rows_limit // rows)
        return [self.part(first, min(at_once, loop.count - first))
                for first in range(0, loop.count, at_once)]

    def part(self, first, count):
        """Plan of some output-channel blocks."""
        loop  = self.loops["output_block"]
        words = loop.strides["weight"]
        rows  = len(self.parameters) // loop.count
        return replace(
            self, loops={**self.loops,
                         "output_block": Loop(count, output=loop.output, **loop.strides)},
            source_words=self.source_words + first * loop.strides["word"],
            target_bytes=self.target_bytes + first * loop.output,
            weights=self.weights[first * words:(first + count) * words],
            parameters=self.parameters[first * rows:(first + count) * rows],
            macs=self.macs * (first + count) // loop.count - self.macs * first // loop.count)

    def phases(self, arch):
        """Cycles that the requantiser takes for a pixel."""
        if self.bits or self.unit == isa.Unit.BINARY:
            return self.planes * arch.phases
        return -(-self.group // arch.lanes)

    @property
    def steps_per_pixel(self):
        """Steps of the three inner loops."""
        return int(np.prod([self.loops[name].count for name in isa.LEVELS[:3]
                            if name in self.loops]))

    @property
    def pixels_per_block(self):
        """Iterations of the loops over columns and rows."""
        return int(np.prod([self.loops[name].count for name in ("column", "row")
                            if name in self.loops]))

    @property
    def blocks(self):
        """Iterations of the loop over output-channel blocks."""
        return self.loops["output_block"].count if "output_block" in self.loops else 1
