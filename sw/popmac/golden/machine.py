"""The machine: what encoded programs do. This is the definition of the instruction set."""

import numpy as np

from .. import isa
from ..arch import ArchConfig
from .array import inner_product_excess
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
    program : ndarray of uint8 (program_rows, ROW_BYTES)
    """

    def __init__(self, arch: ArchConfig):
        self.arch        = arch
        self.activations = np.zeros(arch.activation_bytes, np.int8)
        self.weights     = np.zeros((arch.all_weight_words, arch.rows, arch.columns), np.int8)
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
        arch   = self.arch
        nest   = steps(layer)
        blocks = len(nest.output)
        read   = [self._windows(layer, nest, block) for block in range(blocks)]
        for block, windows in enumerate(read):
            # (pixels, steps of a pixel, rows)
            windows    = windows.reshape(nest.output[block].size, -1, arch.rows)
            parameters = self._parameters(layer, 0 if layer.shared else block)
            limits     = {"zero_point": layer.zero_point, "low": layer.low, "high": layer.high}
            match isa.Unit(layer.unit):
                case isa.Unit.ARRAY:
                    words   = nest.weight[block].reshape(windows.shape[:2]) % 2**16
                    results = requantize(self._column_sums(windows, words), parameters, **limits)
                case isa.Unit.PAIR:
                    results = requantize_pair(windows[:, 0], windows[:, -1], parameters, **limits)
                case isa.Unit.MAXIMUM:
                    results = requantize_pair(windows.max(axis=1), 0, parameters, **limits)
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

    def _column_sums(self, windows, words):
        """Sums of windows (pixels, steps, rows) times the weight words (pixels, steps)."""
        if (words == words[0]).all():
            weights = self.weights[words[0]]
            # Exact: the sums of products stay far below 2**53.
            sums    = windows.reshape(len(windows), -1).astype(np.float64) \
                @ weights.reshape(-1, self.arch.columns).astype(np.float64)
            return sums.astype(np.int64) + inner_product_excess(weights).sum(axis=0)
        return np.stack([self._column_sums(window[None], word[None])[0]
                         for window, word in zip(windows, words)])

    def _parameters(self, layer, block):
        """Parameters of an output block, as one array per field."""
        array    = layer.unit == isa.Unit.ARRAY
        record   = isa.ChannelParameters if array else isa.PairParameters
        channels = self.arch.columns
        first    = layer.parameters + block * channels // 2
        rows     = self.program[np.arange(first, first + channels // 2) % self.arch.program_rows]
        records  = [record.decode(_integer(half)) for half in rows.reshape(channels, -1)]
        return {name: np.array([getattr(r, name) for r in records], np.int64)
                for name in vars(records[0])}

    def _write(self, layer, addresses, results):
        """Write results (pixels, columns) to the bytes that begin at ``addresses`` (pixels,)."""
        lanes = self.arch.lanes
        group = min(1 << layer.channels_log2, lanes)
        for phase in range(layer.last_phase + 1):
            target = addresses[:, None] + phase * lanes + np.arange(group)
            self.activations[target % self.arch.activation_bytes] = \
                results[:, phase * lanes:phase * lanes + group]


def _integer(octets):
    return int.from_bytes(octets.tobytes(), "little")
