"""The machine: what encoded programs do. This is the definition of the instruction set."""

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES, TABLES, ArchConfig
from .array import combined_planes, engine_excess, equal_bits, tap_sums
from .loops import steps
from .requantize import requantize, requantize_pair


__all__ = ["Machine"]


class Machine:
    """Memories of the accelerator, and the execution of layers from them.

    What is left out is time: there are no cycles, and a layer reads all of its input before it
    writes any of its output. Programs must not depend on that; a layer may overwrite at most
    what a pixel has read by the results of the same pixel.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Attributes
    ----------
    activations : ndarray of int8 (activation_bytes,)
    weights : ndarray of int8 (all_weight_words, rows, columns)
    tables : ndarray of int8 (TABLES, TABLE_BYTES)
    weight_space : ndarray of int8
        Both, one behind the other, as the host sees them.
    program : ndarray of uint8 (program_rows, ROW_BYTES)
    """

    def __init__(self, arch: ArchConfig):
        self.arch        = arch
        self.activations = np.zeros(arch.activation_bytes, np.int8)
        # In the host's address space, the tables lie behind the weights.
        size = arch.all_weight_words * arch.weight_word_bytes
        self.weight_space = np.zeros(arch.weight_space_bytes, np.int8)
        self.weights     = self.weight_space[:size].reshape(-1, arch.rows, arch.columns)
        self.tables      = self.weight_space[size:].reshape(TABLES, TABLE_BYTES)
        self.program     = np.zeros((arch.program_rows, isa.ROW_BYTES), np.uint8)

    def layer(self, index):
        """Descriptor of layer ``index``, decoded from program memory."""
        row = index * isa.LAYER_ROWS
        return isa.Layer.decode(_integer(self.program[row:row + isa.COUNTER_ROW]))

    def run(self, first, last):
        """Execute layers ``first`` to ``last``, both included."""
        for index in range(first, last + 1):
            self.execute(self.layer(index))

    def execute(self, layer):
        """Execute one layer."""
        nest   = steps(layer)
        blocks = len(nest.output)
        unit   = isa.Unit(layer.unit)
        reader = {isa.Unit.DEPTHWISE: self._taps, isa.Unit.BINARY: self._planes}.get(
            unit, self._windows)
        read   = [reader(layer, nest, block) for block in range(blocks)]
        for block, windows in enumerate(read):
            # (pixels, steps of a pixel, ..., rows)
            pixels     = nest.output[block].size
            windows    = windows.reshape(pixels, -1, *windows.shape[len(isa.LEVELS) - 1:])
            parameters = self._parameters(layer, 0 if layer.shared else block)
            limits     = {"zero_point": layer.zero_point, "low": layer.low, "high": layer.high}
            words      = nest.weight[block].reshape(windows.shape[:2]) % 2**16
            match unit:
                case isa.Unit.ARRAY:
                    results = requantize(self._column_sums(windows, words), parameters, **limits)
                case isa.Unit.DEPTHWISE:
                    results = requantize(self._channel_sums(windows, words), parameters, **limits)
                case isa.Unit.BINARY:
                    sums    = equal_bits(windows, self.weights[words], _factors(layer))
                    sums    = combined_planes(sums, 1 << layer.plane_bits_log2)
                    results = requantize(sums, parameters, **limits)
                case isa.Unit.UNION:
                    union   = np.bitwise_or.reduce(windows, axis=1)
                    results = requantize_pair(union, 0, parameters, **limits)
                case isa.Unit.PAIR:
                    results = requantize_pair(windows[:, 0], windows[:, -1], parameters, **limits)
                case isa.Unit.DIFFERENCE:
                    results = requantize_pair(windows[:, 0], ~windows[:, -1], parameters, **limits)
                case isa.Unit.MAXIMUM:
                    results = requantize_pair(windows.max(axis=1), 0, parameters, **limits)
                case isa.Unit.PRODUCT:
                    first, last = (windows[:, i].astype(np.int64) for i in (0, -1))
                    products = (first - layer.padding) * (last - layer.second_zero_point)
                    results  = requantize(products, parameters, **limits)
            if layer.use_table:
                results = self.tables[layer.table][results.astype(np.int64) + 128]
            self._write(layer, nest.output[block].reshape(-1), results)

    def _windows(self, layer, nest, block):
        """Bytes that the steps of an output block read, with a last axis of ``rows``."""
        rows    = self.arch.rows
        lane    = np.arange(rows)
        column  = nest.column[block][..., None] + lane
        inside  = (nest.row[block] >= 0)[..., None] & (nest.row[block] < layer.height)[..., None] \
            & (column >= 0) & (column < layer.row_bytes)
        address = (nest.word[block][..., None] * rows + column) % self.arch.activation_bytes
        return np.where(inside, self.activations[address], np.int8(layer.padding))

    def _taps(self, layer, nest, block):
        """Bytes that the steps of an output block read, with last axes (words, rows)."""
        rows, taps = self.arch.rows, np.arange(self.arch.tap_columns)
        down   = np.arange(2)[:, None]
        row    = nest.row[block][..., None, None] + down * layer.tap_rows
        column = nest.column[block][..., None, None] + taps * rows
        word   = nest.word[block][..., None, None] + down * layer.tap_words + column // rows
        inside = (row >= 0) & (row < layer.height) & (column >= 0) & (column < layer.row_bytes)
        words  = self.activations.reshape(-1, rows)[word % self.arch.activation_words]
        values = np.where(inside[..., None], words, np.int8(layer.padding))
        return values.reshape(*values.shape[:-3], -1, rows)

    def _planes(self, layer, nest, block):
        """Bytes that the steps of an output block read, with last axes (planes, rows)."""
        rows   = self.arch.rows
        planes = (layer.last_phase + 1) // self.arch.phases
        word   = nest.word[block][..., None] + nest.column[block][..., None] // rows \
            + np.arange(planes) * layer.plane_words
        values = self.activations.reshape(-1, rows)[word % self.arch.activation_words]
        if layer.tail_always:
            values[..., layer.tail_bytes:] = 0
        values[..., -1, :, layer.tail_bytes:] = 0 # of the last input block
        return values

    def _channel_sums(self, taps, words):
        """Sums of taps (pixels, steps, words, rows) times the weight words (pixels, steps)."""
        weights = self.weights[words]
        return (tap_sums(taps, weights) + engine_excess(weights, self.arch)).sum(axis=1)

    def _column_sums(self, windows, words):
        """Sums of windows (pixels, steps, rows) times the weight words (pixels, steps)."""
        if (words == words[0]).all():
            weights = self.weights[words[0]]
            # Exact: the sums of products stay far below 2**53.
            sums    = windows.reshape(len(windows), -1).astype(np.float64) \
                @ weights.reshape(-1, self.arch.columns).astype(np.float64)
            return sums.astype(np.int64) + engine_excess(weights, self.arch).sum(axis=0)
        return np.stack([self._column_sums(window[None], word[None])[0]
                         for window, word in zip(windows, words)])

    def _parameters(self, layer, block):
        """Parameters of an output block, as one array per field, with an entry per result."""
        pair     = isa.Unit(layer.unit).is_pair
        results  = self.arch.rows if pair or layer.unit == isa.Unit.PRODUCT else self.arch.columns
        record   = isa.PairParameters if pair else isa.ChannelParameters
        channels = self.arch.columns
        first    = layer.parameters + block * channels // 2
        rows     = self.program[np.arange(first, first + channels // 2) % self.arch.program_rows]
        records  = [record.decode(_integer(half)) for half in rows.reshape(channels, -1)]
        return {name: np.array([getattr(r, name) for r in records[:results]], np.int64)
                for name in vars(records[0])}

    def _write(self, layer, addresses, results):
        """Write results (pixels, columns) to the bytes that begin at ``addresses`` (pixels,).

        Or results (pixels, neighbouring pixels, columns).
        """
        target  = self.targets(layer, addresses)
        if layer.unit == isa.Unit.BINARY and layer.bits: # the highest bit of each result first
            bit     = np.arange(1 << layer.result_bits_log2)
            results = results[:, :, None].astype(np.int64) >> bit[::-1, None]
        results = results.reshape(*target.shape[:2], -1)
        if layer.bits:
            results = np.packbits((results & 1).astype(np.uint8).reshape(
                *target.shape[:2], -1, self.arch.bits_per_byte), axis=-1,
                bitorder="little")[..., 0].view(np.int8)
        self.activations[target] = results[..., :target.shape[2]]

    def targets(self, layer, addresses):
        """Addresses that a layer writes, of pixels whose first bytes are at ``addresses``.

        Returns
        -------
        ndarray of int64 (pixels, places of each, bytes)
        """
        behind, phases = np.zeros(1, np.int64), layer.last_phase + 1
        if layer.unit == isa.Unit.BINARY:
            planes, phases = phases // self.arch.phases, self.arch.phases
            behind = np.arange(planes >> layer.plane_bits_log2) << layer.plane_log2
            if layer.bits: # of each result, in neighbouring words
                bits   = np.arange(1 << layer.result_bits_log2)
                behind = (behind[:, None] | bits * self.arch.word_bytes).reshape(-1)
        size   = phases // self.arch.phases_per_byte if layer.bits else \
            min(1 << layer.channels_log2, phases * self.arch.lanes)
        places = addresses[:, None, None] + behind[:, None] + np.arange(size)
        return places % self.arch.activation_bytes


def _factors(layer):
    """How often each step of a pixel of the binary engine counts."""
    rows    = layer.kernel_row.last + 1
    steps   = (layer.input_block.last + 1) * (layer.kernel_column.last + 1)
    factors = [1] * rows
    for row in reversed(range(rows - 1)):
        doubled = layer.doubling == isa.Doubling.ALWAYS or (
            layer.doubling == isa.Doubling.BUT_LAST and row + 1 < rows - 1)
        factors[row] = factors[row + 1] << doubled
    return np.repeat(factors, steps)


def _integer(octets):
    return int.from_bytes(octets.tobytes(), "little")
