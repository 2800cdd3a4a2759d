"""Reductions: over a moving window, or over whole axes."""

import math

import tflite

from .call import reader, window


@reader("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool_2d(call):
    options = call.options(tflite.Pool2DOptions)
    x, = call.operands(1)
    batch, *sizes, channels = call.image(x).shape
    kernel  = options.FilterHeight(), options.FilterWidth()
    strides = options.StrideH(), options.StrideW()
    sizes, padding = window(call, sizes, kernel, strides, options.Padding())
    call.makes((batch, *sizes, channels))
    op = {"AVERAGE_POOL_2D": "AveragePool2D", "MAX_POOL_2D": "MaxPool2D"}[call.op]
    return op, [x], {"kernel": kernel, "strides": strides, "padding": padding,
                     "activation": call.activation(options)}


@reader("MEAN", "REDUCE_MAX", "REDUCE_MIN")
def _reduce(call):
    options = call.options(tflite.ReducerOptions)
    x, axes = call.operands(2)
    rank = len(x.shape)
    axes = tuple(sorted({call.axis(axis, rank) for axis in call.constant(axes, "axis")}))
    call.require(math.prod(x.shape) > 0, f"its input has shape {x.shape}")
    keep = bool(options.KeepDims())
    call.makes([1 if axis in axes else size for axis, size in enumerate(x.shape)
                if keep or axis not in axes])
    op = {"MEAN": "Mean", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}[call.op]
    if op != "Mean":
        call.copies(x)
        call.keeps_quantization(x)
    return op, [x], {"axes": axes, "keep_dims": keep}


@reader("ARG_MAX")
def _argument_max(call):
    x, axis = call.operands(2)
    axis = call.constant(axis, "axis")
    call.require(len(axis) == 1, f"it has axes {axis}")
    axis = call.axis(axis[0], len(x.shape))
    call.require(math.prod(x.shape) > 0 and call.output.dtype in ("int32", "int64"),
                 f"it makes {call.output.dtype} from {x.shape}")
    call.makes(x.shape[:axis] + x.shape[axis + 1:])
    return "ArgMax", [x], {"axis": axis}
