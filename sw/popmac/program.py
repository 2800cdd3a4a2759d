"""Compiled programs."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import isa
from .arch import ArchConfig
from .errors import InputError, ModelFormatError
from .graph import Graph


__all__ = ["Program", "Layer", "Page", "DeviceSegment", "SumSegment", "HostSegment",
           "Fallback"]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the program, for reports.

    ``node`` and ``op`` are those of the graph; ``tensors`` are those that the layer writes, the
    same elements in several shapes; ``weight_words`` are those that no layer before it uses.
    """

    node:         str
    op:           str
    tensors:      tuple
    macs:         int
    weight_words: int
    cycles:       int # predicted


@dataclass(frozen=True, kw_only=True)
class Page:
    """Layers ``first`` to ``last``, whose weights and tables are on the device at the same time.

    They are ``words`` words from ``first_word`` on, and ``tables`` tables from ``first_table`` on,
    of those of the program; and ``rows`` rows of parameters from ``first_row`` on, which are 0
    where the parameters of all pages are on the device at the same time.
    """

    first:       int
    last:        int
    first_word:  int
    words:       int
    first_table: int
    tables:      int
    first_row:   int
    rows:        int


@dataclass(frozen=True, kw_only=True)
class DeviceSegment:
    """Layers ``first`` to ``last`` of the device, and the tensors that go in and come out.

    ``reshaped`` are the names of inputs in other shapes, each with the input's name.
    """

    first:    int
    last:     int
    inputs:   tuple
    outputs:  tuple
    reshaped: dict


@dataclass(frozen=True, kw_only=True)
class SumSegment(DeviceSegment):
    """Layers that read a vector of the last axis of an input, and whose output are whole sums.

    Sums are between ``-2**(bits - 1)`` and ``2**(bits - 1) - 1``. The driver runs the layers
    several times per vector, each time with parameters for eight further bits of the sums.
    """

    bits: int

    @property
    def shifts(self):
        """By how many bits sums are shifted in each run, the highest bits first."""
        return [max(self.bits - 8 * n, 0) for n in range(1, -(-self.bits // 8) + 1)]


@dataclass(frozen=True, kw_only=True)
class HostSegment:
    """Nodes that the host computes, by name."""

    nodes: tuple


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """A node that the host computes, why, and how the device could."""

    node:   str
    op:     str
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A network for one configuration of the accelerator.

    Parameters
    ----------
    arch : ArchConfig
    graph : Graph
        Tensors, inputs and outputs of the model; of its nodes those that the host computes.
    segments : tuple of DeviceSegment and HostSegment
        In the order in which they run.
    layers : tuple of Layer
    layouts : dict of str to Layout
        Tensors on the device. Several may have the same place, one after the other.
    fallbacks : tuple of Fallback
    macs, macs_on_device : int
        Multiply-accumulates of the model, and of these the device's.
    pages : tuple of Page
        Parts of the program, in order, if its weights do not fit on the device at the same time.
        Usually there is one.
    weights : ndarray of int8 (words, rows, columns)
        Those of a page are written to word 0 and on.
    tables : ndarray of int8 (tables, TABLE_BYTES)
        Those of a page are written to table 0 and on.
    rows : ndarray of uint8 (rows, isa.ROW_BYTES)
        Program memory from row 0 on; behind the layers, the parameters of one page take the place
        of those of the one before, unless the pages' ``rows`` are 0.
    thresholds : dict of str to Thresholds
        Those that may be replaced, by name of the node.
    """

    arch:           ArchConfig
    graph:          Graph
    segments:       tuple
    layers:         tuple
    layouts:        dict
    fallbacks:      tuple
    macs:           int
    macs_on_device: int
    pages:          tuple
    weights:        np.ndarray = field(repr=False)
    tables:         np.ndarray = field(repr=False)
    rows:           np.ndarray = field(repr=False)
    thresholds:     dict = field(repr=False, default_factory=dict)

    def descriptor(self, index):
        """Descriptor of a layer: an :class:`popmac.isa.Layer`."""
        first = index * isa.LAYER_ROWS
        return isa.Layer.decode(int.from_bytes(
            self.rows[first:first + isa.COUNTER_ROW].tobytes(), "little"))

    def threshold_rows(self, name):
        """Indices of the rows with the parameters of the channels of a node, in order."""
        return np.concatenate([self.parameter_rows(index) for index, layer
                               in enumerate(self.layers) if layer.node == name])

    def page_of(self, index):
        """Page with a layer."""
        return next(page for page in self.pages if page.first <= index <= page.last)

    def parameter_rows(self, index):
        """Indices of the rows with the parameters of the channels of a layer, in order."""
        page  = self.page_of(index)
        moved = page.first_row - len(self.layers) * isa.LAYER_ROWS if page.rows else 0
        layer = self.descriptor(index)
        count = (layer.output_block.last + 1) * self.arch.columns // 2
        return np.arange(count) + layer.parameters + moved

    def with_thresholds(self, name, values):
        """The same program with other thresholds in a layer of bits.

        Parameters
        ----------
        name : str
            A key of ``thresholds``.
        values : array_like of int (channels,)
            In the units of the model's sums; see :class:`popmac.thresholds.Thresholds`.

        Raises
        ------
        InputError
            If there are no such thresholds, or as many.
        """
        if name not in self.thresholds:
            raise InputError(f"{name!r} has no thresholds that can be replaced; "
                             f"{', '.join(self.thresholds) or 'no layer'} has")
        old    = self.thresholds[name]
        values = old.checked(values, name)
        rows   = self.rows.copy()
        where  = self.threshold_rows(name)
        rows[where] = old.replaced(rows[where], values, self.arch.columns)
        return replace(self, rows=rows,
                       thresholds=self.thresholds | {name: replace(old, values=values)})

    def page_bytes(self, page):
        """Weights, tables and parameters of a page, as they are written to the device."""
        return tuple(array[first:first + count].tobytes() for array, first, count in [
            (self.weights, page.first_word, page.words),
            (self.tables, page.first_table, page.tables),
            (self.rows, page.first_row, page.rows)])

    @property
    def loaded_rows(self):
        """Rows that are written when it is loaded, and stay: all, or those of the layers."""
        paged = any(page.rows for page in self.pages)
        return len(self.layers) * isa.LAYER_ROWS if paged else len(self.rows)

    @property
    def resident_rows(self):
        """Rows that it takes on the device."""
        return self.loaded_rows + max((page.rows for page in self.pages), default=0)

    @property
    def resident_words(self):
        """Weight words that it takes on the device."""
        return max((page.words for page in self.pages), default=0)

    @property
    def resident_tables(self):
        """Tables that it takes on the device."""
        return max((page.tables for page in self.pages), default=0)

    @property
    def bytes_per_run(self):
        """Bytes of weights, tables and parameters that each run writes; 0 if all stay there."""
        return sum(len(part) for page in self.pages for part in self.page_bytes(page)) \
            if len(self.pages) > 1 else 0

    @property
    def fingerprint(self):
        """Fingerprint of the configuration that it was compiled for."""
        return self.arch.fingerprint(isa.ISA_VERSION)

    def report(self):
        """What runs where and what it takes, as text."""
        from .report import program_report
        return program_report(self)

    def to_bytes(self):
        """Program as the contents of a file."""
        from .program_file import write_program
        return write_program(self)

    @staticmethod
    def from_bytes(data, name="program"):
        """Program from the contents of a file.

        Raises
        ------
        ModelFormatError
            If it is damaged, or no program, or of another version of popmac.
        """
        from .program_file import read_program
        return read_program(data, name)

    def save(self, path):
        """Write the program to a file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path):
        """Program from a file; see :meth:`from_bytes`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ModelFormatError(f"{path}: {error.strerror}") from None
        return cls.from_bytes(data, str(path))
