"""Whole sums from a requantiser whose results have eight bits.

The requantiser limits results to a byte, so that only the highest eight bits of a sum can be had at
once. But its parameters may change from run to run: what is known about a sum is subtracted by the
bias of its channel, and the next run gives the next eight bits. With ``known`` below all that the
sum can be, at first ``-2**(bits - 1)``, each run computes

    ``y = (sum - known - (128 << shift)) >> shift``, between -128 and 127,

and ``known += (y + 128) << shift``, until the shift is 0. Nothing is rounded.
"""

from dataclasses import fields

import numpy as np

from .. import isa
from ..arch import ACCUMULATOR_BITS
from .counters import counters_of


__all__ = ["Sums"]


#: Vectors that are posted at once.
_AT_ONCE = 16

_SIZE = isa.ROW_BYTES // 2 # bytes of the parameters of a channel


def _place(name):
    """Where a field of the parameters of a channel begins, in bits."""
    names = [field.name for field in fields(isa.ChannelParameters)]
    return sum(field.metadata["width"] for field in
               fields(isa.ChannelParameters)[:names.index(name)])


_BIAS, _SHIFT = _place("bias"), _place("shift")
_MASK = (1 << ACCUMULATOR_BITS) - 1

assert _BIAS + ACCUMULATOR_BITS <= 64


class Sums:
    """A :class:`popmac.program.SumSegment` of a program on a device.

    Parameters
    ----------
    loaded : LoadedProgram
    segment : SumSegment

    Attributes
    ----------
    counted : list of LayerCounters
        What the device counted for the last sample, layer by layer, over all runs.
    """

    def __init__(self, loaded, segment):
        self.segment  = segment
        self.counted  = []
        self._loaded  = loaded
        program       = loaded.program
        self._source, = segment.inputs
        self._target, = segment.outputs
        self._layers, first = [], 0
        for index in range(segment.first, segment.last + 1):
            rows    = program.rows[program.parameter_rows(index)]
            columns = program.arch.columns
            block   = min(columns, program.arch.rows) # channels, of parameters for all columns
            blocks  = 2 * len(rows) // columns
            count   = min(blocks * block, program.layouts[self._target].channels - first)
            places  = (np.arange(blocks)[:, None] * columns + np.arange(block)).reshape(-1)[:count]
            self._layers.append((index, rows, places, slice(first, first + count)))
            first  += count

    def run(self, batch):
        """Compute the sums of a batch of samples, and add them to its values."""
        loaded  = self._loaded
        x       = batch.values[self._source]
        layouts = [loaded.program.layouts[name] for name in (self._source, self._target)]
        octets  = layouts[0].pack(x.reshape(-1, 1, 1, x.shape[-1]))
        known   = np.full((len(octets), layouts[1].channels), -1 << self.segment.bits - 1, np.int64)
        last    = len(octets) - len(octets) // len(batch) # first vector of the last sample
        self.counted = []
        for index, rows, places, channels in self._layers:
            counts = dict.fromkeys((f.name for f in fields(isa.LayerCounters)), 0)
            for shift in self.segment.shifts:
                for first in range(0, len(octets), _AT_ONCE):
                    part   = slice(first, first + _AT_ONCE)
                    posted = [self._post(index, vector, parameters) for vector, parameters in
                              zip(octets[part], _parameters(rows, places, known[part, channels],
                                                            shift))]
                    read   = [self._wait(batch, pending, counts, number >= last)
                              for number, pending in enumerate(posted, first)]
                    codes  = np.frombuffer(b"".join(read), np.int8).reshape(len(read), -1)
                    codes  = layouts[1].unpack(codes).reshape(len(read), -1)[:, channels]
                    known[part, channels] += (codes.astype(np.int64) + 128) << shift
            self.counted.append(isa.LayerCounters(**counts))
        batch.values[self._target] = known.astype(np.int32).reshape(*x.shape[:-1], -1)

    def _post(self, index, vector, parameters):
        loaded  = self._loaded
        writes  = [*loaded.post_page(loaded.program.page_of(index)),
                   loaded.post_write(self._source, vector),
                   loaded.post_parameters(index, parameters.tobytes())]
        runs, _ = loaded.post_layers(index, index)
        return [*writes, *runs, loaded.post_counters(index), loaded.post_read(self._target)]

    def _wait(self, batch, pending, counts, count):
        results = [posted.result() for posted in pending]
        if count:
            counted = counters_of(pending[-2])
            batch.cycles         += counted.cycles
            batch.bytes_sent     += sum(posted.bytes_sent for posted in pending)
            batch.bytes_received += sum(posted.bytes_received for posted in pending)
            for name in counts:
                counts[name] += getattr(counted, name)
        return results[-1]


def _parameters(rows, places, known, shift):
    """Parameters of a run, from those of shift 0 and sum 0.

    Parameters
    ----------
    rows : ndarray of uint8 (rows, isa.ROW_BYTES)
    places : ndarray of int (channels,)
        Of each channel among the parameters.
    known : ndarray of int64 (vectors, channels)
    shift : int

    Returns
    -------
    ndarray of uint8 (vectors, rows, isa.ROW_BYTES)
    """
    records = rows.reshape(-1, _SIZE)
    words   = records[places, :8].copy().view("<u8")[:, 0]
    bias    = (words >> np.uint64(_BIAS)).astype(np.int64) - known - (128 << shift)
    below   = words & np.uint64((1 << _BIAS) - 1) | np.uint64(shift << _SHIFT)
    above   = words & ~np.uint64((1 << _BIAS + ACCUMULATOR_BITS) - 1)
    words   = above | (bias & _MASK).astype(np.uint64) << np.uint64(_BIAS) | below
    result  = np.repeat(records[None], len(known), axis=0)
    result[:, places, :8] = words.astype("<u8").view(np.uint8).reshape(*known.shape, 8)
    return result.reshape(len(known), *rows.shape)
