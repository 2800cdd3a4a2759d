"""Pools and softmax."""

import math

import numpy as np

from ..quantized_onnx_values import Codes, Input, Real
from .convolution import IMAGE
from .movement import on_codes
from .registry import codes_of, reader, require, scale_of, window, zero_of


def _image(loader, value, last):
    require(isinstance(value, Codes) and len(value.shape) == 4 and value.shape[0] == 1,
            "its input is not one quantised image", "quantise it; use a batch of 1")
    return loader.arranged(value, IMAGE[bool(last)])


def _shape(axes, sizes):
    shape = [0] * 4
    for axis, size in zip(axes, sizes):
        shape[axis] = size
    return shape


@reader("QLinearAveragePool")
def _average_pool(loader, node, label, operands):
    x, x_scale, x_zero, y_scale, y_zero = operands
    attrs = loader.attributes(node)
    x     = _image(loader, codes_of(loader, x, x_scale, x_zero), attrs.get("channels_last"))
    _, *sizes, channels = x.tensor.shape
    kernel = tuple(attrs["kernel_shape"])
    sizes, options = window(attrs, sizes, kernel)
    require(options.pop("dilation") == (1, 1), "it has dilation")
    y_zero, offset = zero_of(y_zero)
    made  = loader.result(node, _shape(x.axes, (1, *sizes, channels)), x.axes,
                          scale_of(y_scale), y_zero, offset)
    loader.add("AveragePool2D", label, [x.tensor], [made.tensor], kernel=kernel, activation="none",
               rounding="single", count_padding=bool(attrs.get("count_include_pad")),
               offset=offset, **options)
    return made


@reader("QLinearGlobalAveragePool")
def _global_average_pool(loader, node, label, operands):
    x, x_scale, x_zero, y_scale, y_zero = operands
    x = _image(loader, codes_of(loader, x, x_scale, x_zero),
               loader.attributes(node).get("channels_last"))
    y_zero, offset = zero_of(y_zero)
    made = loader.result(node, _shape(x.axes, (1, 1, 1, x.tensor.shape[3])), x.axes,
                         scale_of(y_scale), y_zero, offset)
    loader.add("Mean", label, [x.tensor], [made.tensor], axes=(1, 2), keep_dims=True,
               rounding="single")
    return made


@reader("MaxPool", "NhwcMaxPool")
def _max_pool(loader, node, label, operands):
    x = operands[0]
    if isinstance(x, Real):
        return on_codes(_max_pool, loader, node, label, operands)
    if isinstance(x, Input) and x.dtype != "float32":
        x = loader.quantised_input(x, np.float32(1), 0, x.dtype)
    attrs = loader.attributes(node)
    x     = _image(loader, x, node.op_type == "NhwcMaxPool")
    _, *sizes, channels = x.tensor.shape
    kernel = tuple(attrs["kernel_shape"])
    sizes, options = window(attrs, sizes, kernel)
    require(options.pop("dilation") == (1, 1), "it has dilation")
    require(len(node.output) == 1, "it tells where the greatest values are")
    made  = loader.result(node, _shape(x.axes, (1, *sizes, channels)), x.axes, x.tensor.scale[0],
                          x.tensor.zero_point[0] + x.offset, x.offset)
    loader.add("MaxPool2D", label, [x.tensor], [made.tensor], kernel=kernel, activation="none",
               **options)
    return made


@reader("QLinearSoftmax")
def _softmax(loader, node, label, operands):
    x, x_scale, x_zero, y_scale, y_zero = operands
    attrs = loader.attributes(node)
    x     = codes_of(loader, x, x_scale, x_zero)
    x     = loader.arranged(x, range(len(x.shape)))
    rank  = len(x.shape)
    axis  = attrs.get("axis", -1 if attrs["opset"] >= 13 else 1) % rank
    behind = math.prod(x.shape[axis + 1:]) if attrs["opset"] < 13 else 1 + (rank - 1 - axis)
    require(behind == 1, f"it is along axis {axis} of {rank}", "move this axis to the end")
    y_zero, offset = zero_of(y_zero)
    made  = loader.result(node, x.shape, x.axes, scale_of(y_scale), y_zero, offset)
    loader.add("Softmax", label, [x.tensor], [made.tensor], beta=1.0, rounding="single")
    return made
