"""Sums with thresholds, of bits on the binary engine and of bytes on the systolic array."""

from dataclasses import replace

import numpy as np

from ... import isa
from ...arch import ACCUMULATOR_BITS, TABLE_BYTES
from ...golden.array import engine_excess, wrap
from ...thresholds import Thresholds
from ..cycles import predict
from ..digits import Digits
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..requantize import OFFSET_MAX, OFFSET_MIN, SHIFT_MAX, FitError, fit, prove
from .binary import bit_words, engine_fields, output_words
from .convolution import weight_words, window_loops


__all__ = ["SEGMENTS", "SUMS", "THRESHOLDS", "LayerSums", "fits_engine", "lower_segments",
           "lower_thresholds", "sums_cost"]


THRESHOLDS = ("ThresholdConv2D", "ThresholdFullyConnected")
SEGMENTS   = ("SegmentConv2D", "SegmentFullyConnected")
SUMS       = (*THRESHOLDS, *SEGMENTS)

_OFFSETS   = ("offset_positive", "offset_negative")


def fits_engine(graph, node, storages, arch):
    """Whether the binary engine can compute a node whose input is bits."""
    return not np.any(node.attrs.get("padding", 0)) \
        and LayerSums(graph, node, storages, arch).engine is not None


def sums_cost(graph, node, storages, arch):
    """Predicted cycles of the layers of a node, and the weight words that they take."""
    sums   = LayerSums(graph, node, storages, arch, copies=node.attrs.get("segments", 1))
    plan   = sums.outline()
    return sum(predict(part, arch) for part in sums.placed(plan)), \
        plan.blocks * plan.loops["output_block"].strides["weight"]


def _kernel(graph, node, source, target):
    """Weights as (height, width, input channels, output channels)."""
    weights = graph.tensors[node.inputs[1]].data
    if weights.ndim == 4:
        return weights.transpose(1, 2, 3, 0)
    whole = target.width == 1 and target.height == 1
    shape = (source.height, source.width, source.channels) if whole else (1, 1, source.channels)
    return weights.T.reshape(*shape, len(weights))


def lower_thresholds(graph, node, storages, arch):
    """Layers of a ``ThresholdConv2D`` or ``ThresholdFullyConnected`` node."""
    target = storages[node.output].layout
    sums   = LayerSums(graph, node, storages, arch)
    values = graph.tensors[node.inputs[2]].data
    levels = node.attrs["levels"]
    low, high, table = levels[0], levels[-1], None
    if target.bits: # indices of codes
        low, high = 0, len(levels) - 1
    elif len(levels) > 2 and np.any(np.diff(levels) != 1): # codes of their indices
        low, high = 0, len(levels) - 1
        table = np.zeros(TABLE_BYTES, np.int8)
        table[128:128 + len(levels)] = levels
    replaceable = None
    limits = np.clip(sums.units(values.astype(np.int64)), sums.low[:, None], sums.high[:, None] + 1)
    if len(levels) == 2:
        # One threshold: as many levels as it takes above it, and limited to the two.
        count = len(limits)
        fields = {"multiplier": np.full(count, high - low), "shift": np.zeros(count),
                  "offset_positive": np.full(count, high), "offset_negative": np.full(count, high),
                  "bias": -sums.counts(limits[:, 0])}
        replaceable = sums.thresholds(values[:, 0])
    else:
        span   = np.maximum(limits[:, -1] - limits[:, 0], 1)

        def reference(acc, channel):
            return low + np.sum(np.expand_dims(acc, -1) >= limits[channel], axis=-1)

        fitted = fit(reference, sums.low, sums.high, (high - low - 1) / span, zero_point=0,
                     low=low, high=high)
        fields = _of_counts(fitted, sums.factor)
        prove(replace(fitted, **{name: fields[name] // sums.factor for name in _OFFSETS}),
              reference, sums.low, sums.high, low=low, high=high)
        fields["bias"] = np.where(fitted.is_constant, 0, -sums.counts(fitted.origin))
    plans = [replace(plan, thresholds=replaceable) for plan in sums.plans(fields, low, high)]
    return plans if table is None else [plan.with_table(table) for plan in plans]


def _of_counts(fitted, factor):
    """Parameters for ``factor`` times what was fitted, and one bit of the shift more for that.

    For such counts, ``(factor * x * multiplier + offset) >> shift + 1`` is just
    ``(x * multiplier + offset // factor) >> shift``.
    """
    shift = fitted.shift + (factor - 1)
    if np.any(shift > SHIFT_MAX):
        raise FitError(np.flatnonzero(shift > SHIFT_MAX), "its counts take too great a shift")
    # Offsets that are as far out as can be are meant to.
    offsets = {name: np.clip(getattr(fitted, name) * factor, OFFSET_MIN, OFFSET_MAX)
               for name in _OFFSETS}
    return {"multiplier": fitted.multiplier, "shift": shift, **offsets}


def lower_segments(graph, node, storages, arch):
    """Layers of a ``SegmentConv2D`` or ``SegmentFullyConnected`` node."""
    attrs  = node.attrs
    weights = graph.tensors[node.inputs[1]].data
    count  = attrs["segments"]
    sums   = LayerSums(graph, node, storages, arch, copies=count)
    # Counts times ``gap``, less a constant, are ``unit`` times what is in the segments.
    unit   = sums.factor * attrs["step"]
    least  = (np.repeat(np.arange(count) * -255, len(weights)) - 128) * unit
    offset = least + sums.factor * (sums.constant - attrs["first"])
    return sums.plans({"multiplier": np.full(len(least), sums.gap),
                       "shift": np.full(len(least), unit.bit_length() - 1),
                       "bias": -sums.counts(np.zeros(len(least), np.int64)),
                       "offset_positive": offset, "offset_negative": offset}, -128, 127)


def _codes(graph, name):
    """Least and greatest code that a tensor can have.

    A channel with thresholds for all codes that a quantiser knows has none beyond the sums of
    those that it gives: what bytes could make besides would not be a straight line.
    """
    producer = graph.producer(name)
    while producer is not None and producer.op in ("MaxPool2D", "Reshape", "Transpose"):
        producer = graph.producer(producer.inputs[0])
    levels = (-128, 127) if producer is None else producer.attrs.get("levels", (-128, 127))
    return min(levels), max(levels)


class LayerSums:
    """What a layer of sums is made of, in units of what its engine counts.

    The sums of the model are ``gap * units + constant``, where units are the sums of weights and
    indices of codes on the binary engine, and the sums themselves on the array. What the engine
    counts is ``factor * units``, and more by a number that depends on the channel.

    Parameters
    ----------
    copies : int
        How many times there are all output channels.
    """

    def __init__(self, graph, node, storages, arch, copies=1):
        self.node, self.arch = node, arch
        self.source, self.target = (storages[name].layout for name in (node.inputs[0],
                                                                       node.output))
        self.x      = graph.tensors[node.inputs[0]]
        self.kernel = np.tile(_kernel(graph, node, self.source, self.target), copies)
        self.macs   = self.target.height * self.target.width * self.kernel.size // copies
        self.zero   = int(self.x.zero_point[0])
        self.strides  = node.attrs.get("strides", (1, 1))
        self.dilation = node.attrs.get("dilation", (1, 1))
        self.on_engine = self.source.bits > 0
        flat  = self.kernel.reshape(-1, self.kernel.shape[-1]).astype(np.int64)
        total = flat.sum(axis=0)
        if self.on_engine:
            self.digits = Digits.of(self.kernel)
            self.engine = engine_fields(
                self.kernel.shape[:3], self.digits, self.source, self.target, arch,
                strides=self.strides, dilation=self.dilation)
            self.gap, self.factor = self.source.code_step, self.digits.factor
            most = (1 << self.source.code_bits) - 1
            self.constant = (self.source.lowest - self.zero) * total
            # Where all activations are 0, the engine counts the signs that are -1.
            self.least = most * (len(flat) * self.digits.total - self.factor * total) // 2
            ends = np.stack([flat * most, np.zeros_like(flat)])
        else:
            self.gap, self.factor = 1, 1
            self.constant = self.least = np.zeros_like(total)
            least, most = _codes(graph, node.inputs[0])
            ends = np.stack([flat * (least - self.zero), flat * (most - self.zero),
                             np.zeros_like(flat)])
        self.low, self.high = ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0)

    def units(self, sums):
        """Least units that make at least these sums, an array (channels, number)."""
        return -((self.constant[:, None] - sums) // self.gap)

    def counts(self, units):
        """What the engine counts."""
        return self.least + self.factor * units

    def thresholds(self, values):
        """Thresholds of two levels, as they may be replaced."""
        low, high = (self.gap * ends + self.constant for ends in (self.low, self.high))
        return Thresholds(values=values.astype(np.int32), low=low.astype(np.int32),
                          high=high.astype(np.int32), step=self.gap, scale=self.factor,
                          block=self._block)

    def plans(self, fields, low, high):
        """Plans with requantiser parameters ``fields``, arrays with an entry per channel."""
        arch, source = self.arch, self.source
        channels = self.kernel.shape[-1]
        bias     = np.asarray(fields["bias"], np.int64)
        blocks   = self._output_blocks()
        if self.on_engine:
            words = bit_words(self.kernel, self.digits, source, arch, blocks)
        else:
            words = weight_words(self.kernel, source, arch, dilated=self.dilation[1] > 1)
            bias  = bias - engine_excess(words, arch).sum(axis=(1, 2, 3)).reshape(-1)[:channels] \
                - self.zero * self.kernel.sum(axis=(0, 1, 2), dtype=np.int64)
            words = np.pad(words, [(0, blocks - len(words))] + [(0, 0)] * (words.ndim - 1))
        fields = {name: np.pad(np.asarray(values, np.int64), (0, blocks * self._block - channels))
                  for name, values in {**fields, "bias": wrap(bias, ACCUMULATOR_BITS)}.items()}
        return self.placed(replace(
            self.outline(), low=int(low), high=int(high),
            weights=words.reshape(-1, *words.shape[-2:]),
            parameters=parameter_rows(isa.ChannelParameters, arch.columns, block=self._block,
                                      **fields)))

    @property
    def _block(self):
        """Channels of an output block: the array has a column for each, or more than needed."""
        return self.arch.columns if self.target.bits or self.on_engine else self.arch.rows

    def _output_blocks(self):
        if not self.target.bits:
            return -(-self.kernel.shape[-1] // self._block)
        blocks, words = output_words(self.target, self.arch)
        return blocks * words

    def outline(self):
        """Plan without weights and parameters, of all output channels as if they were in one piece.
        """
        node, arch, source, target = self.node, self.arch, self.source, self.target
        (top, _), (left, _) = node.attrs.get("padding", ((0, 0), (0, 0)))
        if self.on_engine:
            steps  = int(np.prod(self.kernel.shape[:2])) * source.blocks * self.digits.count
            fields = {"unit": isa.Unit.BINARY, **self.engine}
            loops  = dict(fields.pop("loops"))
        else:
            shape  = np.broadcast_to(np.int8(0), (*self.kernel.shape[:3], 1))
            taps   = weight_words(shape, source, arch, dilated=self.dilation[1] > 1).shape[1:4]
            steps  = int(np.prod(taps))
            fields = {"unit": isa.Unit.ARRAY}
            loops  = window_loops(source, target, taps, strides=self.strides,
                                  dilation=self.dilation)
        if target.bits:
            loops["output_block"] = Loop(self._output_blocks(), weight=steps,
                                         output=arch.columns // arch.bits_per_byte)
        else:
            loops["output_block"] = Loop(target.blocks, weight=steps,
                                         output=target.block_pitch * target.word_bytes)
        return LayerPlan(
            node=node.name, op=node.op, source=node.inputs[0], target=node.output,
            loops=loops, first_row=-top, first_column=-left * source.pixel_bytes,
            source_words=-top * source.row_pitch, height=source.height,
            row_bytes=source.row_bytes, padding=self.zero, zero_point=0, low=0, high=0,
            group=target.group, bits=bool(target.bits),
            weights=np.zeros((0, arch.rows, arch.columns), np.int8),
            parameters=np.zeros((0, isa.ROW_BYTES), np.uint8), macs=self.macs, **fields)

    def placed(self, plan):
        """A plan per word of the target's pixels, and per bit where these come one by one."""
        target = self.target
        if not target.bits or target.code_bits == 1:
            return [plan]
        blocks, words = output_words(target, self.arch)
        plans = []
        for word in range(words):
            part   = plan.part(word * blocks, blocks)
            behind = word * target.block_pitch * target.word_bytes
            if plan.result_bits_log2:
                plans.append(replace(part, target_bytes=behind))
                continue
            for bit in range(target.code_bits):
                place = (target.code_bits - 1 - bit) * target.bit_pitch * target.word_bytes
                table = (np.arange(TABLE_BYTES) - 128 >> bit & 1).astype(np.int8)
                plans.append(replace(part, target_bytes=behind + place, table=table,
                                     macs=0 if bit else part.macs))
        return plans
