"""Sums with thresholds, of bits on the binary engine and of bytes on the systolic array."""

from dataclasses import replace

import numpy as np

from ... import isa
from ...arch import ACCUMULATOR_BITS, BANKS
from ...golden.array import inner_product_excess, wrap
from ...layout import Layout
from ...thresholds import Thresholds
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..requantize import fit
from ..view import RESHAPES
from .convolution import weight_words, window_loops


__all__ = ["SEGMENTS", "SUMS", "THRESHOLDS", "bit_tensors", "bitwise", "lower_segments",
           "lower_thresholds", "spare_words"]


THRESHOLDS = ("ThresholdConv2D", "ThresholdFullyConnected")
SEGMENTS   = ("SegmentConv2D", "SegmentFullyConnected")
SUMS       = (*THRESHOLDS, *SEGMENTS)

BIPOLAR = (-1, 1)


def _is_bipolar(graph, name):
    """Whether all codes of a tensor are -1 or 1."""
    node = graph.producer(name)
    while node is not None and node.op in ("MaxPool2D", "Transpose", *RESHAPES):
        node = graph.producer(node.inputs[0])
    return node is not None and node.attrs.get("levels") == BIPOLAR


def _fits_engine(graph, node):
    """Whether the binary engine could compute a node whose input is bits."""
    weights = graph.tensors[node.inputs[1]]
    return node.op in SUMS and bool(np.all(np.abs(weights.data) == 1)) \
        and not np.any(node.attrs.get("padding", 0)) \
        and node.attrs.get("step", 2) == 2


def bit_tensors(graph, nodes, arch):
    """Tensors that are kept as bits: what the binary engine reads, and what that is made of.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of Node
        Those that run on the device.
    arch : ArchConfig

    Returns
    -------
    set of str
    """
    if not arch.planes or arch.rows != arch.columns:
        return set()
    bits = {name for node in nodes for name in (*node.inputs, *node.outputs)
            if name and not graph.tensors[name].is_constant and _is_bipolar(graph, name)}

    def allowed(node, name):
        if node.op in SUMS and name == node.inputs[0]:
            return _fits_engine(graph, node)
        if node.op in THRESHOLDS or node.op in RESHAPES:
            return name == node.output or node.output in bits
        pool = node.op == "MaxPool2D" and not np.any(node.attrs["padding"])
        return pool and {node.inputs[0], node.output} <= bits

    while True:
        wrong = {name for node in nodes for name in (*node.inputs, *node.outputs)
                 if name in bits and not allowed(node, name)}
        wrong |= {name for node in nodes if node.op in RESHAPES
                  for name in (node.inputs[0], node.output)
                  if (node.inputs[0] in bits) != (node.output in bits)}
        if not wrong & bits:
            return bits
        bits -= wrong


def bitwise(shape, arch):
    """Layout of bits: each pixel begins on a word, and has all of its channels side by side."""
    height, width, channels = shape
    words = -(-channels // (arch.bits_per_byte * arch.word_bytes))
    pitch = 1 << (words - 1).bit_length()
    return Layout(height=height, width=width, channels=channels, word_bytes=arch.word_bytes,
                  group=arch.word_bytes, pixel_pitch=pitch, row_pitch=width * pitch, block_pitch=1,
                  bits=arch.bits_per_byte)


def spare_words(layout, arch):
    """Words behind a tensor that the last planes of the binary engine may write to."""
    pixels = max(arch.planes - 1, 0) * max(layout.pixel_bytes, arch.columns)
    return -(-pixels // arch.word_bytes) + 1


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
    sums   = _Sums(graph, node, storages, arch)
    values = graph.tensors[node.inputs[2]].data
    limits = values.astype(np.int64)
    levels = node.attrs["levels"]
    replaceable = None
    gap    = levels[1] - levels[0]
    limits = np.clip(sums.units(limits), sums.low[:, None], sums.high[:, None] + 1)
    if len(levels) == 2:
        # One threshold: as many levels as it takes above it, and limited to the two.
        low, high = (0, 1) if target.bits else levels
        count = len(limits)
        fields = {"multiplier": np.full(count, high - low), "shift": np.zeros(count),
                  "offset_positive": np.full(count, high), "offset_negative": np.full(count, high),
                  "bias": -limits[:, 0]}
        replaceable = sums.thresholds(values[:, 0])
    else:
        low, high = levels[0], levels[-1]
        span   = np.maximum(limits[:, -1] - limits[:, 0], 1)

        def reference(acc, channel):
            return low + gap * np.sum(np.expand_dims(acc, -1) >= limits[channel], axis=-1)

        fitted = fit(reference, sums.low, sums.high, (high - low - gap) / span, zero_point=0,
                     low=low, high=high)
        fields = {name: getattr(fitted, name) for name in (
            "multiplier", "shift", "offset_positive", "offset_negative")}
        fields["bias"] = np.where(fitted.is_constant, 0, -fitted.origin)
    return [replace(sums.plan(fields, low, high), thresholds=replaceable)]


def lower_segments(graph, node, storages, arch):
    """Layers of a ``SegmentConv2D`` or ``SegmentFullyConnected`` node."""
    attrs  = node.attrs
    weights = graph.tensors[node.inputs[1]].data
    count  = attrs["segments"]
    sums   = _Sums(graph, node, storages, arch, copies=count)
    first  = sums.units(np.full((count * len(weights), 1), attrs["first"], np.int64))[:, 0]
    shift  = 0 if sums.on_engine else attrs["step"] - 1
    offset = (np.repeat(np.arange(count) * -255, len(weights)) - 128) << shift
    return [sums.plan({"multiplier": np.ones(len(first)), "shift": np.full(len(first), shift),
                       "bias": -first, "offset_positive": offset, "offset_negative": offset},
                      -128, 127)]


class _Sums:
    """What a layer of sums is made of, in units of what its engine counts.

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
        self.on_engine = self.source.bits > 0
        flat = self.kernel.reshape(-1, self.kernel.shape[-1]).astype(np.int64)
        self.count = len(flat)
        if self.on_engine:
            self.low  = np.zeros(flat.shape[1], np.int64)
            self.high = self.low + len(flat)
        else:
            ends = np.stack([flat * (-128 - self.zero), flat * (127 - self.zero),
                             np.zeros_like(flat)])
            self.low, self.high = ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0)

    def units(self, sums):
        """Least number of equal bits that makes at least these sums, on the binary engine."""
        return -((-sums - self.count) // 2) if self.on_engine else sums

    def thresholds(self, values):
        """Thresholds of two levels, as they may be replaced."""
        values = values.astype(np.int32)
        if self.on_engine:
            ends = np.full_like(values, self.count)
            return Thresholds(values=values, low=-ends, high=ends, step=2,
                              block=self.arch.columns)
        return Thresholds(values=values, low=self.low.astype(np.int32),
                          high=self.high.astype(np.int32), step=1, block=self.arch.rows)

    def plan(self, fields, low, high):
        """Plan with requantiser parameters ``fields``, arrays with an entry per channel."""
        node, arch, source, target = self.node, self.arch, self.source, self.target
        strides  = node.attrs.get("strides", (1, 1))
        dilation = node.attrs.get("dilation", (1, 1))
        (top, _), (left, _) = node.attrs.get("padding", ((0, 0), (0, 0)))
        channels = self.kernel.shape[-1]
        bias     = np.asarray(fields["bias"], np.int64)
        if self.on_engine:
            words = _bit_words(self.kernel, source, arch)
        else:
            words = weight_words(self.kernel, source, arch, dilated=dilation[1] > 1)
            bias  = bias - inner_product_excess(words).sum(axis=(1, 2, 3)).reshape(-1)[:channels] \
                - self.zero * self.kernel.sum(axis=(0, 1, 2), dtype=np.int64)
        loops = window_loops(source, target, words.shape[1:4], strides=strides, dilation=dilation)
        if target.bits:
            loops["output_block"] = Loop(
                -(-channels // arch.columns), weight=loops["output_block"].strides["weight"],
                output=arch.columns // arch.bits_per_byte)
        result = LayerPlan(
            node=node.name, op=node.op, source=node.inputs[0], target=node.output,
            unit=isa.Unit.ARRAY, loops=loops, first_row=-top,
            first_column=-left * source.pixel_bytes, source_words=-top * source.row_pitch,
            height=source.height, row_bytes=source.row_bytes, padding=self.zero, zero_point=0,
            low=int(low), high=int(high), group=target.group, bits=bool(target.bits),
            weights=words.reshape(-1, *words.shape[-2:]),
            parameters=parameter_rows(isa.ChannelParameters, arch.columns, block=words.shape[-1],
                                      **{**fields, "bias": wrap(bias, ACCUMULATOR_BITS)}),
            macs=self.macs)
        return self._in_planes(result, strides[1]) if self.on_engine else result

    def _in_planes(self, plan, stride):
        """The same on the binary engine, with as many pixels at once as there are."""
        source, target = self.source, self.target
        apart  = stride * source.pixel_pitch
        planes = min(self.arch.planes, target.width, (BANKS - 1) // apart + 1)
        if target.pixel_bytes.bit_length() > 8:
            planes = 1
        column = plan.loops["column"]
        loops  = plan.loops | {"column": Loop(
            -(-column.count // planes), column=column.strides["column"] * planes,
            output=column.output * planes)}
        return replace(plan, unit=isa.Unit.BINARY, loops=loops, planes=planes,
                       plane_words=apart % BANKS,
                       plane_log2=target.pixel_bytes.bit_length() - 1 if planes > 1 else 0,
                       tail_bytes=source.channel_bytes - (source.blocks - 1) * source.group)


def _bit_words(kernel, source, arch):
    """Weights of the binary engine, in the order of its steps: the bit of +1 is 1.

    Bits that belong to no channel are 1, so that they never equal the 0 that is read there.
    """
    height, width, inputs, outputs = kernel.shape
    blocks = -(-outputs // arch.columns)
    bits   = np.ones((height, width, source.blocks * arch.rows, 8, blocks * arch.columns), np.uint8)
    byte, bit = np.divmod(np.arange(inputs), source.bits)
    bits[:, :, byte, bit, :outputs] = kernel > 0
    octets = np.packbits(bits, axis=3, bitorder="little")[:, :, :, 0].view(np.int8)
    return octets.reshape(height, width, source.blocks, arch.rows, blocks, arch.columns) \
        .transpose(4, 0, 1, 2, 3, 5)
