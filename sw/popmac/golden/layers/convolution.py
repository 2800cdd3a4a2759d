"""Convolutions and fully connected layers: sums of products, requantised per channel."""

import numpy as np

from ..arithmetic import (
    activation_range,
    quantize_multiplier,
    real_multiplier,
    rescale,
    round_away,
    single_multiplier,
    wrap32,
)
from ..single import part_codes, scale_codes
from .registry import operator
from .windows import taps


__all__ = ["conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv"]


CONVOLUTION = ("int8 weights int32 -> int8", "int8 weights -> int8")


def _add_bias(sums, bias):
    return wrap32(sums if bias is None else sums + bias.values)


def _clamp(codes, output, activation):
    low, high = activation_range(activation, output.scale[0], output.zero_point[0])
    return np.clip(codes + output.zero_point[0], low, high).astype(np.int8)


def _requantize(sums, output, x, weights, activation, rounding, part=None):
    """Codes of the int32 ``sums``, whose last axis is the output channel."""
    if rounding == "single":
        multiplier = single_multiplier(x.scale, weights.tensor.scale, divisor=output.scale[0])
        zero_point = int(output.zero_point[0])
        return part_codes(scale_codes(sums, multiplier, zero_point), zero_point, part)
    mantissa, exponent = quantize_multiplier(
        real_multiplier(x.scale, weights.tensor.scale, divisor=output.scale[0]))
    return _clamp(rescale(sums, mantissa, exponent), output, activation)


@operator("Conv2D", *CONVOLUTION)
def conv_2d(output, x, weights, bias=None, *, strides, dilation, padding, activation,
            rounding="fixed", part=None):
    """``y = clamp(rescale(bias + sum((x - zx) * w), sx * sw / sy) + zy)``.

    Taps outside of the image read ``zx``. Weights are (output channel, row, column, input
    channel). TensorFlow Lite's ``reference_integer_ops::ConvPerChannel``.

    With a ``rounding`` of ``"single"``, sums are requantised in float32, as onnxruntime does. A
    ``part`` of such a layer is :func:`popmac.golden.single.part_codes` of its results.
    """
    channels, *kernel, _ = weights.values.shape
    columns = np.concatenate(taps(x.centred.astype(np.float64), kernel, strides=strides,
                                  padding=padding, dilation=dilation), axis=-1)
    # Exact: doubles hold all integers up to 2**53, and the sums stay below 2**15 per product.
    sums = columns @ weights.values.reshape(channels, -1).T.astype(np.float64)
    return _requantize(_add_bias(sums.astype(np.int64), bias), output, x, weights, activation,
                       rounding, part)


@operator("DepthwiseConv2D", *CONVOLUTION)
def depthwise_conv_2d(output, x, weights, bias=None, *, strides, dilation, padding, activation,
                      depth_multiplier, rounding="fixed", part=None):
    """As :func:`conv_2d`, where output channel ``c`` reads input channel ``c // multiplier`` only.

    Weights are (1, row, column, output channel).
    TensorFlow Lite's ``reference_integer_ops::DepthwiseConvPerChannel``.
    """
    _, *kernel, channels = weights.values.shape
    views = taps(x.centred, kernel, strides=strides, padding=padding, dilation=dilation)
    sums  = np.zeros((*views[0].shape[:3], channels), np.int64)
    for view, row in zip(views, weights.values.reshape(-1, channels).astype(np.int64)):
        sums += view.repeat(depth_multiplier, axis=-1) * row
    return _requantize(_add_bias(sums, bias), output, x, weights, activation, rounding, part)


@operator("TransposeConv", *CONVOLUTION)
def transpose_conv(output, x, weights, bias=None, *, strides, padding, activation,
                   rounding="fixed"):
    """Each input value adds its products with a whole kernel to the output.

    ``sum[y * stride + ky - top, x * stride + kx - left] += (x - zx) * w[:, ky, kx]``, what falls
    outside is lost; then bias and requantisation as in :func:`conv_2d`.
    TensorFlow Lite's ``reference_integer_ops::TransposeConv``.
    """
    channels, *kernel, _ = weights.values.shape
    batch, height, width, _ = output.shape
    rows, columns = x.values.shape[1:3]
    (top, _), (left, _) = padding
    # Large enough for all that is lost, too.
    canvas = np.zeros((batch,
                       max((rows - 1) * strides[0] + kernel[0], top + height),
                       max((columns - 1) * strides[1] + kernel[1], left + width),
                       channels), np.int64)
    centred = x.centred.astype(np.float64)
    for y in range(kernel[0]):
        for z in range(kernel[1]):
            products = centred @ weights.values[:, y, z].T.astype(np.float64)
            canvas[:, y:y + (rows - 1) * strides[0] + 1:strides[0],
                   z:z + (columns - 1) * strides[1] + 1:strides[1]] += products.astype(np.int64)
    sums = canvas[:, top:top + height, left:left + width]
    return _requantize(_add_bias(sums, bias), output, x, weights, activation, rounding)


@operator("FullyConnected", *CONVOLUTION)
def fully_connected(output, x, weights, bias=None, *, activation, rounding="double", part=None):
    """``y = clamp(round(sum * (sx * sw / sy)) + zy)`` in double precision, halves away from zero.

    Weights are (output channel, input). TensorFlow Lite's
    ``reference_integer_ops::FullyConnected``, the form that takes its scales in floating point;
    older versions use the fixed-point rule of :func:`conv_2d`, and differ.
    """
    channels, depth = weights.values.shape
    sums = x.centred.reshape(-1, depth).astype(np.float64) @ weights.values.T.astype(np.float64)
    sums = _add_bias(sums.astype(np.int64), bias)
    if rounding == "single":
        codes = _requantize(sums, output, x, weights, activation, rounding, part)
        return codes.reshape(output.shape)
    real = real_multiplier(x.scale, weights.tensor.scale, divisor=output.scale[0])
    codes = np.clip(round_away(sums * real), -2.0**31, 2.0**31 - 1).astype(np.int64)
    return _clamp(codes, output, activation).reshape(output.shape)
