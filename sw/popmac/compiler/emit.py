"""Plans to encoded layers, weights and parameters with addresses."""

from dataclasses import dataclass

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES, TABLES
from ..program import Page
from .nest import loop_fields


__all__ = ["Image", "emit", "parameter_capacity", "weight_capacity"]


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

    @property
    def resident_rows(self):
        """Rows of program memory that are needed at the same time."""
        paged = sum(page.rows for page in self.pages)
        return len(self.rows) - paged + max((page.rows for page in self.pages), default=0)


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

    def needs(self, array, *, changes=False):
        """Size with an array."""
        return self.size + (0 if not changes and array.tobytes() in self._where else len(array))


def weight_capacity(plan, arch):
    """Weight words that a layer can read: the binary engine has none in distributed RAM."""
    return arch.weight_words if plan.unit == isa.Unit.BINARY else arch.all_weight_words


def parameter_capacity(arch):
    """Rows of parameters that a layer can have: the other half of the memory is for layers."""
    return arch.program_rows // 2


def emit(plans, storages, arch):
    """Contents of weight and program memory for ``plans``, in order.

    A new page begins where the weights or the tables of a layer do not fit behind those of the
    layers before. Parameters belong to pages only if those of all layers do not fit. What one layer
    needs must fit.

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
    image = _emit(plans, storages, arch, paged=False)
    return _emit(plans, storages, arch, paged=True) if image is None else image


def _emit(plans, storages, arch, *, paged):
    """Image with the parameters in pages, or not; ``None`` if they do not fit without."""
    fixed = len(plans) * isa.LAYER_ROWS
    pages = [(0, _Pool(), _Pool(), _Pool(fixed))] # first layer, weights, tables, parameters
    layers, new_words = [], []
    for index, plan in enumerate(plans):
        words = np.zeros((len(plan.weights), arch.rows, arch.columns), np.int8)
        words[..., :plan.weights.shape[-1]] = plan.weights
        table = np.zeros((0, TABLE_BYTES), np.int8) if plan.table is None else plan.table[None]
        _, weights, tables, parameters = pages[-1]
        changes = plan.thresholds is not None or plan.sum_bits > 0
        full    = parameters.needs(plan.parameters, changes=changes) > arch.program_rows
        if full and not paged:
            return None
        if full or weights.needs(words) > weight_capacity(plan, arch) \
                or tables.needs(table) > TABLES:
            weights, tables = _Pool(), _Pool()
            if paged:
                parameters = _Pool(fixed)
            pages.append((index, weights, tables, parameters))
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
            tail_always=plan.tail_always, doubling=plan.doubling,
            plane_bits_log2=plan.plane_bits_log2, result_bits_log2=plan.result_bits_log2,
            second_zero_point=plan.second_zero_point,
            parameters=parameters.add(plan.parameters, changes=changes),
            shared=int(plan.shared),
            zero_point=plan.zero_point, low=plan.low, high=plan.high,
            first_output=target.base * arch.word_bytes + plan.target_bytes,
            bits=int(plan.bits), last_phase=plan.phases(arch) - 1,
            channels_log2=0 if plan.bits else plan.group.bit_length() - 1,
            table=tables.add(table) if len(table) else 0,
            use_table=int(plan.table is not None)))
        new_words.append(weights.size - before)

    descriptors = np.zeros((fixed, isa.ROW_BYTES), np.uint8)
    size = isa.COUNTER_ROW * isa.ROW_BYTES
    for index, layer in enumerate(layers):
        first = index * isa.LAYER_ROWS
        descriptors[first:first + isa.COUNTER_ROW] = np.frombuffer(
            layer.encode().to_bytes(size, "little"), np.uint8).reshape(-1, isa.ROW_BYTES)
    ends, described = [first for first, *_ in pages[1:]] + [len(plans)], []
    word, table, row = 0, 0, fixed
    for (first, weights, tables, parameters), end in zip(pages, ends):
        rows = parameters.size - fixed if paged else 0
        described.append(Page(first=first, last=end - 1, first_word=word, words=weights.size,
                              first_table=table, tables=tables.size, first_row=row, rows=rows))
        word, table, row = word + weights.size, table + tables.size, row + rows
    pools = list(zip(*pages))
    return Image(
        pages=tuple(described) if plans else (),
        weights=_contents(np.zeros((0, arch.rows, arch.columns), np.int8), pools[1]),
        tables=_contents(np.zeros((0, TABLE_BYTES), np.int8), pools[2]),
        rows=_contents(descriptors, dict.fromkeys(pools[3])), new_words=new_words)


def _contents(first, pools):
    """An array, and those of pools behind it."""
    return np.concatenate([first, *(array for pool in pools for array in pool.arrays)])
