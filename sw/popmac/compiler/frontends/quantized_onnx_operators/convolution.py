"""Convolutions and matrix products."""

import numpy as np

from ..quantized_onnx_values import Constant
from .registry import codes_of, reader, require, scale_of, window, zero_of


IMAGE = {True: (0, 1, 2, 3), False: (0, 2, 3, 1)}


def _weights(loader, label, weights, scale, zero, axis):
    """Weights less their zero points as int8, and a scale per output channel.

    ``axis`` is that of the output channels in the file; they come first in what is returned.
    """
    require(isinstance(weights, Constant) and isinstance(scale, Constant)
            and (zero is None or isinstance(zero, Constant)), "its weights are computed",
            "use constant weights")
    values = weights.values
    require(values.dtype in (np.int8, np.uint8), f"its weights are {values.dtype}",
            "quantise the weights to 8 bits")
    values = np.moveaxis(values.astype(np.int64), axis, 0)
    count  = len(values)
    def spread(numbers):
        flat = numbers.reshape(-1)
        require(flat.size in (1, count), f"it has {flat.size} scales or zero points for {count} "
                                         "channels", "quantise per tensor or per channel")
        return np.broadcast_to(flat, (count,))
    zeros  = spread(np.zeros(1, np.int64) if zero is None else zero.values.astype(np.int64))
    values = values - zeros.reshape(-1, *[1] * (values.ndim - 1))
    require(values.size and values.min() >= -128 and values.max() <= 127,
            "its weights less their zero points do not fit in 8 bits",
            "quantise the weights symmetrically, to int8")
    scales = spread(scale.values.astype(np.float32))
    require(np.all(np.isfinite(scales) & (scales > 0)), "a scale of its weights is not positive",
            "quantise the model again")
    return values.astype(np.int8), scales


def _add(loader, op, label, node, x, kernel, scales, axis, bias, made, **attrs):
    scales = scales[:1] if np.all(scales == scales[0]) else scales
    weights = loader.constant(f"{label} weights", np.ascontiguousarray(kernel), scale=scales,
                              zero_point=np.zeros(len(scales), np.int64),
                              axis=None if len(scales) == 1 else axis)
    inputs = [x.tensor, weights]
    if bias is not None:
        require(isinstance(bias, Constant) and bias.values.dtype == np.int32
                and bias.values.size in (1, kernel.shape[axis]), "its bias is not constant int32",
                "quantise the bias")
        values = np.broadcast_to(bias.values.reshape(-1), kernel.shape[axis:axis + 1])
        inputs.append(loader.constant(f"{label} bias", np.ascontiguousarray(values)))
    loader.add(op, label, inputs, [made.tensor], activation="none", rounding="single", **attrs)
    return made


@reader("QLinearConv")
def _convolution(loader, node, label, operands):
    x, x_scale, x_zero, weights, scale, zero, y_scale, y_zero, *bias = operands
    attrs  = loader.attributes(node)
    x      = codes_of(loader, x, x_scale, x_zero)
    require(len(x.shape) == 4 and x.shape[0] == 1, f"its input has shape {x.shape}",
            "use images and a batch of 1")
    axes   = IMAGE[bool(attrs.get("channels_last"))]
    x      = loader.arranged(x, axes)
    _, height, width, depth = x.tensor.shape
    kernel, scales = _weights(loader, label, weights, scale, zero, 0)
    groups = attrs.get("group", 1)
    require(kernel.ndim == 4 and groups > 0 and len(kernel) % groups == 0
            and kernel.shape[1] * groups == depth,
            f"its weights have shape {kernel.shape} for {depth} channels in {groups} groups")
    sizes, options = window(attrs, (height, width), kernel.shape[2:])
    channels = len(kernel)
    shape    = [0] * 4
    for axis, size in zip(axes, (1, *sizes, channels)):
        shape[axis] = size
    y_zero, offset = zero_of(y_zero)
    made   = loader.result(node, shape, axes, scale_of(y_scale), y_zero, offset)
    bias   = bias[0] if bias else None
    kernel = kernel.transpose(0, 2, 3, 1)
    if groups == depth and groups > 1:
        return _add(loader, "DepthwiseConv2D", label, node, x, kernel.transpose(3, 1, 2, 0), scales,
                    3, bias, made, depth_multiplier=channels // groups, **options)
    if groups > 1: # the products with other groups' channels are with weights of 0
        wide = np.zeros((*kernel.shape[:3], groups, depth // groups), np.int8)
        of   = np.arange(channels) // (channels // groups)
        wide[np.arange(channels), :, :, of] = kernel
        kernel = wide.reshape(*kernel.shape[:3], depth)
    return _add(loader, "Conv2D", label, node, x, kernel, scales, 0, bias, made, **options)


def _product(loader, node, label, x, kernel, scales, bias, y_scale, y_zero):
    """A fully connected layer with ``kernel`` (output, input)."""
    require(len(x.shape) >= 2 and x.shape[-1] == kernel.shape[1] and kernel.ndim == 2,
            f"it multiplies {x.shape} by weights {kernel.T.shape}", "use matrices")
    if x.unflattened is not None:
        moved = np.empty_like(kernel)
        moved[:, x.order] = kernel
        kernel = moved
    else:
        x = loader.arranged(x, range(len(x.shape)))
    shape  = (*x.shape[:-1], len(kernel))
    y_zero, offset = zero_of(y_zero)
    made   = loader.result(node, shape, tuple(range(len(shape))), scale_of(y_scale), y_zero,
                           offset)
    return _add(loader, "FullyConnected", label, node, x, kernel, scales, 0, bias, made)


@reader("QGemm")
def _gemm(loader, node, label, operands):
    x, x_scale, x_zero, weights, scale, zero, bias, y_scale, y_zero = \
        [*operands, *[None] * (9 - len(operands))]
    attrs = loader.attributes(node)
    require(attrs.get("alpha", 1.0) == 1.0 and not attrs.get("transA"),
            "it has a factor, or its input is transposed", "fold them into the weights")
    require(y_scale is not None, "its result is not quantised", "quantise its output")
    x = codes_of(loader, x, x_scale, x_zero)
    kernel, scales = _weights(loader, label, weights, scale, zero, 0 if attrs.get("transB") else 1)
    return _product(loader, node, label, x, kernel, scales, bias, y_scale, y_zero)


@reader("QLinearMatMul")
def _matrix_product(loader, node, label, operands):
    x, x_scale, x_zero, weights, scale, zero, y_scale, y_zero = operands
    x = codes_of(loader, x, x_scale, x_zero)
    require(isinstance(weights, Constant) and weights.values.ndim == 2,
            "it multiplies two computed tensors, or more than matrices",
            "use constant weights with two axes")
    kernel, scales = _weights(loader, label, weights, scale, zero, 1)
    return _product(loader, node, label, x, kernel, scales, None, y_scale, y_zero)
