"""Convolutions and fully connected layers."""

import math

import tflite

from .call import UnknownFormError, given, reader, window


@reader("CONV_2D")
def _conv_2d(call):
    options = call.options(tflite.Conv2DOptions)
    x, weights, bias = call.operands(2, 3)
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=0, rank=4)
    channels, *kernel, weights_depth = weights.shape
    call.bias(bias, channels)
    if depth != weights_depth and depth % weights_depth == 0:
        raise UnknownFormError("its channels are in groups")
    call.require(depth == weights_depth,
                 f"its weights are for {weights_depth} channels, not {depth}")
    strides  = options.StrideH(), options.StrideW()
    dilation = options.DilationHFactor(), options.DilationWFactor()
    sizes, padding = window(call, sizes, kernel, strides, options.Padding(), dilation)
    call.makes((batch, *sizes, channels))
    return "Conv2D", given(x, weights, bias), {
        "strides": strides, "dilation": dilation, "padding": padding,
        "activation": call.activation(options)}


@reader("DEPTHWISE_CONV_2D")
def _depthwise_conv_2d(call):
    options = call.options(tflite.DepthwiseConv2DOptions)
    x, weights, bias = call.operands(2, 3)
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=3, rank=4)
    one, *kernel, channels = weights.shape
    call.bias(bias, channels)
    call.require(one == 1 and channels % depth == 0,
                 f"its weights have shape {weights.shape} for {depth} channels")
    strides  = options.StrideH(), options.StrideW()
    dilation = options.DilationHFactor(), options.DilationWFactor()
    sizes, padding = window(call, sizes, kernel, strides, options.Padding(), dilation)
    call.makes((batch, *sizes, channels))
    return "DepthwiseConv2D", given(x, weights, bias), {
        "strides": strides, "dilation": dilation, "padding": padding,
        "activation": call.activation(options), "depth_multiplier": channels // depth}


@reader("TRANSPOSE_CONV")
def _transpose_conv(call):
    options = call.options(tflite.TransposeConvOptions)
    shape, weights, x, bias = call.operands(3, 4)
    shape = call.constant(shape, "output shape")
    batch, *sizes, depth = call.image(x).shape
    call.weights(weights, axis=0, rank=4)
    channels, *kernel, weights_depth = weights.shape
    call.bias(bias, channels)
    call.require(depth == weights_depth,
                 f"its weights are for {weights_depth} channels, not {depth}")
    call.require(len(shape) == 4 and min(shape) > 0 and (shape[0], shape[3]) == (batch, channels),
                 f"its output shape is {shape}")
    strides = options.StrideH(), options.StrideW()
    # The padding is that of the convolution that goes the other way.
    new_sizes, padding = window(call, shape[1:3], kernel, strides, options.Padding())
    call.require(new_sizes == sizes,
                 f"its input has shape {x.shape}, which does not suit its output's, {shape}")
    call.makes(shape)
    return "TransposeConv", given(x, weights, bias), {
        "strides": strides, "padding": padding, "activation": call.activation(options)}


@reader("FULLY_CONNECTED")
def _fully_connected(call):
    options = call.options(tflite.FullyConnectedOptions)
    x, weights, bias = call.operands(2, 3)
    call.weights(weights, axis=0, rank=2)
    if options.WeightsFormat() != 0:
        raise UnknownFormError("its weights are shuffled")
    channels, depth = weights.shape
    call.bias(bias, channels)
    size = math.prod(x.shape)
    call.require(size > 0 and size % depth == 0,
                 f"its input has shape {x.shape}, its weights have {weights.shape}")
    if options.KeepNumDims():
        call.require(x.shape[-1:] == (depth,),
                     f"its input has shape {x.shape}, its weights have {weights.shape}")
        call.makes((*x.shape[:-1], channels))
    else:
        call.makes((size // depth, channels))
    return "FullyConnected", given(x, weights, bias), {"activation": call.activation(options)}
