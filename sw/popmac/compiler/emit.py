"""Plans to encoded layers, weights and parameters with addresses."""

from dataclasses import dataclass

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES, TABLES
from ..program import Page
from .nest import loop_fields


__all__ = ["Image", "emit", "weight_capacity"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """Contents of the memories, and what each layer added to the weights.

    Parameters
    ----------
    pages : tuple of Page
    weights : ndarray of int8 (words, rows, columns)
    tables : ndarray of int8 (tables, TABLE_BYTES)
    rows : ndarray of uint8 (rows, isa.ROW_BYTES)
    new_words : list of int
        Weight words that no layer of the same page before had, per layer.
    """

    pages:     tuple
    weights:   np.ndarray
    tables:    np.ndarray
    rows:      np.ndarray
    new_words: list


class _Pool:
    """Arrays one behind the other; equal ones are stored once, unless they may change."""

    def __init__(self, first=0):
        self.size   = first
        self.arrays = []
        self._where = {}

    def add(self, array, *, changes=False):
        key = self.size if changes else array.tobytes()
        if key not in self._where:
            self._where[key] = self.size
            self.arrays.append(array)
            self.size += len(array)
        return self._where[key]

    def needs(self, array):
        """Size with an array."""
        return self.size + (0 if array.tobytes() in self._where else len(array))


def weight_capacity(plan, arch):
    """Weight words that a layer can read: the binary engine has none in distributed RAM."""
    return arch.weight_words if plan.unit == isa.Unit.BINARY else arch.all_weight_words


def emit(plans, storages, arch):
    """Contents of weight and program memory for ``plans``, in order.

    A new page begins where the weights or the tables of a layer do not fit behind those of the
    layers before. Those of one layer must fit.

    Parameters
    ----------
    plans : sequence of LayerPlan
    storages : dict of str to Storage
        With their final places.
    arch : ArchConfig

    Returns
    -------
    Image
    """
    parameters = _Pool(len(plans) * isa.LAYER_ROWS)
    pages      = [(0, _Pool(), _Pool())] # first layer, weights, tables
    layers, new_words = [], []
    for index, plan in enumerate(plans):
        words = np.zeros((len(plan.weights), arch.rows, arch.columns), np.int8)
        words[..., :plan.weights.shape[-1]] = plan.weights
        table = np.zeros((0, TABLE_BYTES), np.int8) if plan.table is None else plan.table[None]
        _, weights, tables = pages[-1]
        if weights.needs(words) > weight_capacity(plan, arch) or tables.needs(table) > TABLES:
            weights, tables = _Pool(), _Pool()
            pages.append((index, weights, tables))
        source, target = storages[plan.source].layout, storages[plan.target].layout
        before = weights.size
        loops  = dict(plan.loops)
        if plan.second is not None:
            loops["kernel_row"].strides["word"] = storages[plan.second].layout.base - source.base
        layers.append(isa.Layer(
            **loop_fields(loops),
            first_row=plan.first_row, first_column=plan.first_column,
            first_word=(source.base + plan.source_words) % 2**16,
            first_weight=weights.add(words) if len(words) else 0,
            height=plan.height, row_bytes=plan.row_bytes, padding=plan.padding,
            unit=plan.unit, tap_rows=plan.tap_rows, tap_words=plan.tap_words,
            plane_words=plan.plane_words, plane_log2=plan.plane_log2, tail_bytes=plan.tail_bytes,
            second_zero_point=plan.second_zero_point,
            parameters=parameters.add(plan.parameters, changes=plan.thresholds is not None),
            shared=int(plan.shared),
            zero_point=plan.zero_point, low=plan.low, high=plan.high,
            first_output=target.base * arch.word_bytes + plan.target_bytes,
            bits=int(plan.bits), last_phase=plan.phases(arch) - 1,
            channels_log2=0 if plan.bits else plan.group.bit_length() - 1,
            table=tables.add(table) if len(table) else 0,
            use_table=int(plan.table is not None)))
        new_words.append(weights.size - before)

    size = isa.COUNTER_ROW * isa.ROW_BYTES
    rows = np.zeros((parameters.size, isa.ROW_BYTES), np.uint8)
    for index, layer in enumerate(layers):
        first = index * isa.LAYER_ROWS
        rows[first:first + isa.COUNTER_ROW] = np.frombuffer(
            layer.encode().to_bytes(size, "little"), np.uint8).reshape(-1, isa.ROW_BYTES)
    if parameters.arrays:
        rows[len(plans) * isa.LAYER_ROWS:] = np.concatenate(parameters.arrays)
    words = np.concatenate([np.zeros((0, arch.rows, arch.columns), np.int8),
                            *(array for _, pool, _ in pages for array in pool.arrays)])
    entries = np.concatenate([np.zeros((0, TABLE_BYTES), np.int8),
                              *(array for _, _, pool in pages for array in pool.arrays)])
    ends, described, first_word, first_table = [first for first, *_ in pages[1:]], [], 0, 0
    for (first, weights, tables), end in zip(pages, [*ends, len(plans)]):
        described.append(Page(first=first, last=end - 1, first_word=first_word, words=weights.size,
                              first_table=first_table, tables=tables.size))
        first_word, first_table = first_word + weights.size, first_table + tables.size
    return Image(pages=tuple(described) if plans else (), weights=words, tables=entries, rows=rows,
                 new_words=new_words)
