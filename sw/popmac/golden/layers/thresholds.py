"""Sums of products that become codes by thresholds: binary networks, and others of few bits."""

import numpy as np

from .registry import operator
from .windows import taps


__all__ = ["channel_table", "join_segments", "segment_conv_2d", "segment_fully_connected",
           "threshold", "threshold_conv_2d", "threshold_fully_connected"]


def _conv_sums(x, weights, strides, dilation, padding):
    channels, *kernel, _ = weights.values.shape
    columns = np.concatenate(taps(x.centred.astype(np.float64), kernel, strides=strides,
                                  padding=padding, dilation=dilation), axis=-1)
    # Exact: doubles hold all integers up to 2**53.
    return (columns @ weights.values.reshape(channels, -1).T.astype(np.float64)).astype(np.int64)


def _fully_connected_sums(x, weights):
    flat = x.centred.reshape(-1, weights.values.shape[1]).astype(np.float64)
    return (flat @ weights.values.T.astype(np.float64)).astype(np.int64)


def _codes(values, thresholds, levels):
    """``levels[number of thresholds that a value has reached]``, channel by channel."""
    reached = np.zeros(values.shape, np.int64)
    for limits in np.moveaxis(thresholds, -1, 0):
        reached += values >= limits
    return np.asarray(levels, np.int8)[reached]


@operator("Threshold", "float32 float32 -> int8")
def threshold(output, x, thresholds, *, levels):
    """``levels[number of thresholds <= x]``; thresholds are (1, number), and NaN reaches none."""
    return _codes(x.values, thresholds.values[0], levels)


def _segments(sums, first, step, segments):
    units = (sums - first) // step
    return np.concatenate([np.clip(units - 255 * s, 0, 255) - 128 for s in range(segments)],
                          axis=-1).astype(np.int8)


@operator("SegmentConv2D", "int8 int8 -> int8")
def segment_conv_2d(output, x, weights, *, strides, dilation, padding, first, step, segments):
    """Sums that do not fit in a byte, in several: all channels once per segment.

    Segment ``s`` is ``clamp((sum((x - zx) * w) - first) / step - 255 * s, 0, 255) - 128``, so that
    the segments of a sum add up to it.
    """
    return _segments(_conv_sums(x, weights, strides, dilation, padding), first, step, segments)


@operator("SegmentFullyConnected", "int8 int8 -> int8")
def segment_fully_connected(output, x, weights, *, first, step, segments):
    """As :func:`segment_conv_2d`; weights are (output channel, input)."""
    return _segments(_fully_connected_sums(x, weights), first, step, segments) \
        .reshape(output.shape)


@operator("JoinSegments", "int8 -> int32")
def join_segments(output, x, *, first, step, segments):
    """The sums that :func:`segment_conv_2d` has split."""
    parts = np.split(x.values.astype(np.int32) + 128, segments, axis=-1)
    return np.asarray(first + step * sum(parts), np.int32)


@operator("ThresholdConv2D", "int8 int8 int32 -> int8")
def threshold_conv_2d(output, x, weights, thresholds, *, strides, dilation, padding, levels):
    """``levels[number of thresholds <= sum((x - zx) * w)]``; taps outside of the image add 0.

    Thresholds are (output channel, number), ascending. QONNX ``MultiThreshold`` on ``Conv``.
    """
    sums = _conv_sums(x, weights, strides, dilation, padding)
    return _codes(sums, thresholds.values, levels)


@operator("ThresholdFullyConnected", "int8 int8 int32 -> int8")
def threshold_fully_connected(output, x, weights, thresholds, *, levels):
    """As :func:`threshold_conv_2d`; weights are (output channel, input)."""
    sums = _fully_connected_sums(x, weights)
    return _codes(sums, thresholds.values, levels).reshape(output.shape)


@operator("ChannelTable", "int32 float32 -> float32")
def channel_table(output, x, table, *, first, step):
    """``table[channel, (x - first) / step]``: any function of sums, evaluated for all of them."""
    index = (x.values.astype(np.int64) - first) // step
    return table.values[np.arange(table.values.shape[0]), index]
