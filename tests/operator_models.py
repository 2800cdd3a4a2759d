"""Random models of one operator each, for comparing and for fuzzing."""

import numpy as np
from tflite_models import (
    ModelBuilder,
    random_bias,
    random_codes,
    random_scale,
    random_zero_point,
)


__all__ = ["MODELS", "random_inputs", "random_model"]


#: Functions that add one operator to a :class:`ModelBuilder`, by the ``op`` of its node.
MODELS = {}


def random_model(op, rng):
    """File of a model with one operator, and the sizes and scales of it at random."""
    builder = ModelBuilder()
    outputs = MODELS[op](builder, rng)
    builder.output(*(outputs if isinstance(outputs, tuple) else (outputs,)))
    return builder.build()


def random_inputs(graph, rng):
    """Inputs for a graph: codes with extremes among them, or real numbers."""
    inputs = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if tensor.dtype == "float32":
            inputs[name] = rng.normal(0, 10.0**rng.uniform(-3, 3),
                                      tensor.shape).astype(np.float32)
        else:
            inputs[name] = random_codes(rng, tensor.shape, tensor.dtype)
    return inputs


def _model(op):
    def register(function):
        MODELS[op] = function
        return function
    return register


def _input(builder, rng, shape, dtype="int8"):
    zero_point = random_zero_point(rng) + 128 * (dtype == "uint8")
    return builder.input(shape, dtype, scale=random_scale(rng), zero_point=zero_point)


def _image(builder, rng, most=12, channels=None):
    height, width = rng.integers(1, most + 1, 2)
    channels = channels or int(rng.choice([1, 2, 3, 4, 5, 8, 15, 16, 17, rng.integers(1, 71)]))
    return _input(builder, rng, (rng.choice([1, 1, 1, 2]), height, width, channels))


def _window(rng, x, extended=True):
    """Kernel, strides, dilation and padding that fit ``x``."""
    kernel   = tuple(rng.integers(1, 8, 2).tolist())
    strides  = tuple(rng.integers(1, 4, 2).tolist())
    dilation = tuple(rng.integers(1, 4, 2).tolist()) if extended and rng.random() < 0.3 else (1, 1)
    fits     = all((k - 1) * d < n for k, d, n in zip(kernel, dilation, x.shape[1:3]))
    padding  = rng.choice(["same", "valid"]) if fits else "same"
    return kernel, {"strides": strides, "padding": padding}, {"dilation": dilation}


def _output_scale(rng, real):
    """Scale that spreads results of about ``real`` over the codes, or saturates or crowds them."""
    spread = rng.uniform(-2.2, -1) if rng.random() < 0.7 else rng.uniform(-4, 0.5)
    return float(np.float32(max(real * 10.0**spread, 1e-8)))


def _activation(rng):
    return str(rng.choice(["none", "relu", "relu6", "relu_n1_to_1"], p=[0.4, 0.3, 0.2, 0.1]))


def _products(rng, x, weights_shape, channels, axis, depth):
    """Arguments that all layers with weights have."""
    weights = random_codes(rng, weights_shape)
    scales  = random_scale(rng)
    if rng.random() < 0.6:
        scales = [random_scale(rng, scales / 20, scales) for _ in range(channels)]
    product = x.scale * np.max(scales)
    scale   = _output_scale(rng, product * 6000 * np.sqrt(depth))
    if rng.random() < 0.2: # many sums are halfway between two codes
        scale = float(np.float32(product * 2.0**np.round(np.log2(scale / product))))
    size = int(2**rng.uniform(0, 14 if rng.random() < 0.8 else 30))
    return {"weights": weights, "bias": random_bias(rng, channels, size),
            "weight_scale": scales, "zero_point": random_zero_point(rng), "scale": scale,
            "activation": _activation(rng)}


@_model("Conv2D")
def _conv_2d(builder, rng):
    x = _image(builder, rng)
    kernel, window, dilation = _window(rng, x)
    channels = int(rng.choice([1, 2, 3, 8, 16, rng.integers(1, 71)]))
    return builder.conv_2d(x, **window, **dilation, **_products(
        rng, x, (channels, *kernel, x.shape[3]), channels, 0, np.prod(kernel) * x.shape[3]))


@_model("DepthwiseConv2D")
def _depthwise_conv_2d(builder, rng):
    x = _image(builder, rng)
    kernel, window, dilation = _window(rng, x)
    channels = x.shape[3] * int(rng.choice([1, 1, 1, 2, 3]))
    return builder.depthwise_conv_2d(x, **window, **dilation, **_products(
        rng, x, (1, *kernel, channels), channels, 3, np.prod(kernel)))


@_model("TransposeConv")
def _transpose_conv(builder, rng):
    x = _image(builder, rng, most=6)
    kernel, window, _ = _window(rng, x, extended=False)
    channels = int(rng.integers(1, 20))
    sizes = [n * s - rng.integers(s) if window["padding"] == "same" else
             (n - 1) * s + k + rng.integers(s)
             for n, s, k in zip(x.shape[1:3], window["strides"], kernel)]
    return builder.transpose_conv(
        x, shape=(x.shape[0], *sizes, channels), **window, **_products(
            rng, x, (channels, *kernel, x.shape[3]), channels, 0, np.prod(kernel) * x.shape[3]))


@_model("FullyConnected")
def _fully_connected(builder, rng):
    depth    = int(rng.integers(1, 301))
    channels = int(rng.integers(1, 71))
    shape    = [(1, depth), (3, depth), (1, 2, depth)][rng.integers(3)]
    x = _input(builder, rng, shape)
    return builder.fully_connected(x, keep_dims=len(shape) == 3 and rng.random() < 0.5,
                                   **_products(rng, x, (channels, depth), channels, 0, depth))


@_model("AveragePool2D")
def _average_pool_2d(builder, rng):
    return _pool_2d("AVERAGE_POOL_2D", builder, rng)


@_model("MaxPool2D")
def _max_pool_2d(builder, rng):
    return _pool_2d("MAX_POOL_2D", builder, rng)


def _pool_2d(name, builder, rng):
    x = _image(builder, rng)
    kernel, window, _ = _window(rng, x)
    if rng.random() < 0.2:
        kernel, window = x.shape[1:3], {"padding": "valid"}
    return builder.pool_2d(name, x, kernel, activation=_activation(rng), **window)


@_model("Mean")
def _mean(builder, rng):
    x = _image(builder, rng, most=30)
    axes = [(1, 2), (2, 1), (1,), (2,), (-1,), (3, 1), (1, 2, 3), (2, 3)][rng.integers(8)]
    scale = x.scale if rng.random() < 0.5 else _output_scale(rng, 20 * x.scale)
    return builder.reduce("MEAN", x, axes, keep_dims=rng.random() < 0.5, scale=scale,
                          zero_point=random_zero_point(rng))


@_model("ReduceMax")
def _reduce_max(builder, rng):
    axes = [(1, 2), (1,), (-1,), (1, 2, 3)][rng.integers(4)]
    return builder.reduce("REDUCE_MAX", _image(builder, rng), axes, keep_dims=rng.random() < 0.5)


@_model("ReduceMin")
def _reduce_min(builder, rng):
    axes = [(1, 2), (1,), (-1,), (1, 2, 3)][rng.integers(4)]
    return builder.reduce("REDUCE_MIN", _image(builder, rng), axes, keep_dims=rng.random() < 0.5)


def _second(builder, rng, first):
    """Second operand: a tensor, a constant, or one value per channel or for all."""
    shape = [first.shape, (1, 1, 1, first.shape[3]), (first.shape[3],), (),
             (first.shape[0], 1, 1, first.shape[3])][rng.choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1])]
    scale = first.scale if rng.random() < 0.2 else random_scale(rng, first.scale / 50,
                                                                first.scale * 50)
    options = {"scale": scale, "zero_point": random_zero_point(rng)}
    if rng.random() < 0.5 or shape == ():
        return builder.tensor(shape, data=random_codes(rng, shape), **options)
    return builder.input(shape, **options)


@_model("Add")
def _add(builder, rng):
    return _sum("ADD", builder, rng)


@_model("Sub")
def _sub(builder, rng):
    return _sum("SUB", builder, rng)


def _sum(name, builder, rng):
    first  = _image(builder, rng)
    second = _second(builder, rng, first)
    scale  = rng.choice([first.scale, second.scale,
                         _output_scale(rng, 100 * max(first.scale, second.scale))])
    return builder.binary(name, first, second, scale=scale, zero_point=random_zero_point(rng),
                          activation=_activation(rng))


@_model("Mul")
def _mul(builder, rng):
    first  = _image(builder, rng)
    second = _second(builder, rng, first)
    return builder.binary("MUL", first, second, zero_point=random_zero_point(rng),
                          scale=_output_scale(rng, 5000 * first.scale * second.scale),
                          activation=_activation(rng))


@_model("Minimum")
def _minimum(builder, rng):
    first = _image(builder, rng)
    return builder.binary("MINIMUM", first, builder.input(first.shape, scale=first.scale,
                                                          zero_point=first.zero_point))


@_model("Maximum")
def _maximum(builder, rng):
    first = _image(builder, rng)
    return builder.binary("MAXIMUM", first, builder.input((first.shape[3],), scale=first.scale,
                                                          zero_point=first.zero_point))


@_model("Prelu")
def _prelu(builder, rng):
    x = _image(builder, rng)
    shape = [(1, 1, x.shape[3]), x.shape[1:]][rng.integers(2)]
    slope = builder.tensor(shape, data=random_codes(rng, shape), scale=random_scale(rng, 1e-3, 1),
                           zero_point=random_zero_point(rng))
    return builder.binary("PRELU", x, slope, scale=_output_scale(rng, 70 * x.scale),
                          zero_point=random_zero_point(rng))


def _unary(name, **options):
    def build(builder, rng):
        x = _image(builder, rng)
        return builder.unary(name, x, scale=_output_scale(rng, 70 * x.scale),
                             zero_point=random_zero_point(rng), **options)
    return build


MODELS["Relu"]      = _unary("RELU")
MODELS["Relu6"]     = _unary("RELU6")
MODELS["ReluN1To1"] = _unary("RELU_N1_TO_1")
MODELS["Relu0To1"]  = _unary("RELU_0_TO_1")


@_model("LeakyRelu")
def _leaky_relu(builder, rng):
    return _unary("LEAKY_RELU", alpha=float(rng.choice([0.3, 0.01, rng.uniform(0, 1.5)])))(
        builder, rng)


@_model("Logistic")
def _logistic(builder, rng):
    return builder.unary("LOGISTIC", _image(builder, rng), scale=1 / 256, zero_point=-128)


@_model("Tanh")
def _tanh(builder, rng):
    return builder.unary("TANH", _image(builder, rng), scale=1 / 128, zero_point=0)


@_model("HardSwish")
def _hard_swish(builder, rng):
    x = _input(builder, rng, (1, 5, 6, 10))
    return builder.unary("HARD_SWISH", x, scale=x.scale * rng.choice([1, rng.uniform(0.01, 2)]),
                         zero_point=random_zero_point(rng))


@_model("Softmax")
def _softmax(builder, rng):
    shape = [(1, 2), (1, 10), (1, 12), (3, 7), (1, 300), (1, 4, 5, 6)][rng.integers(6)]
    x = _input(builder, rng, shape)
    return builder.softmax(x, beta=float(rng.choice([1.0, 1.0, rng.uniform(0.1, 3)])))


@_model("Quantize")
def _quantize(builder, rng):
    source, result = [("float32", "int8"), ("float32", "uint8"), ("int8", "int8"),
                      ("int8", "uint8"), ("uint8", "int8")][rng.integers(5)]
    x = _input(builder, rng, (1, 6, 7, 8), source)
    zero_point = random_zero_point(rng) + 128 * (result == "uint8")
    scale = _output_scale(rng, 70 * (x.scale or 1))
    if {source, result} == {"int8", "uint8"} and rng.random() < 0.5:
        scale, zero_point = x.scale, x.zero_point + (128 if result == "uint8" else -128)
    y = builder.tensor(x.shape, result, scale=scale, zero_point=zero_point)
    return builder.operator("QUANTIZE", [x], [y])


@_model("Dequantize")
def _dequantize(builder, rng):
    x = _input(builder, rng, (1, 6, 7, 8), rng.choice(["int8", "uint8"]))
    return builder.unary("DEQUANTIZE", x, dtype="float32")


@_model("Reshape")
def _reshape(builder, rng):
    x = _image(builder, rng)
    batch, height, width, channels = x.shape
    shapes = [(batch, height * width * channels), (batch * height, width, channels),
              (batch, width, height, channels)]
    return builder.reshape(x, shapes[rng.integers(3)])


@_model("ExpandDims")
def _expand_dims(builder, rng):
    x    = _input(builder, rng, (3, 4, 5))
    axis = int(rng.integers(4))
    y    = builder.like(x, (*x.shape[:axis], 1, *x.shape[axis:]))
    return builder.operator("EXPAND_DIMS", [x, builder.constant(axis)], [y])


@_model("Squeeze")
def _squeeze(builder, rng):
    x = _input(builder, rng, (1, 1, 4, 5))
    return builder.operator("SQUEEZE", [x], [builder.like(x, (1, 4, 5))], squeezeDims=[1])


@_model("Broadcast")
def _broadcast(builder, rng):
    height, width, channels = rng.integers(1, 9, 3).tolist()
    shape = (1, height, width, channels)
    small = [n if rng.random() < 0.5 else 1 for n in shape]
    if rng.random() < 0.5:
        small = [1, 1, 1, channels]
    x = _input(builder, rng, small)
    return builder.operator("BROADCAST_TO", [x, builder.constant(shape)],
                            [builder.like(x, shape)])


@_model("Transpose")
def _transpose(builder, rng):
    return builder.transpose(_image(builder, rng), rng.permutation(4).tolist())


@_model("Pad")
def _pad(builder, rng):
    padding = [(0, 0), *rng.integers(0, 4, (2, 2)).tolist(), rng.integers(0, 2, 2).tolist()]
    value   = None if rng.random() < 0.5 else int(rng.integers(-128, 128))
    return builder.pad(_image(builder, rng), padding, value)


@_model("MirrorPad")
def _mirror_pad(builder, rng):
    x = _input(builder, rng, (1, 5, 6, 3))
    padding = [(0, 0), *rng.integers(0, 5, (2, 2)).tolist(), (0, 0)]
    y = builder.like(x, [n + sum(pair) for n, pair in zip(x.shape, padding)])
    return builder.operator("MIRROR_PAD", [x, builder.constant(padding)], [y],
                            mode=int(rng.integers(2)))


@_model("Concatenation")
def _concatenation(builder, rng):
    x    = _image(builder, rng)
    axis = int(rng.integers(1, 4))
    others = []
    for _ in range(rng.integers(1, 4)):
        shape = list(x.shape)
        shape[axis] = rng.integers(1, 6)
        others.append(builder.input(shape, scale=x.scale, zero_point=x.zero_point))
    return builder.concatenation([x, *others], axis)


@_model("Pack")
def _pack(builder, rng):
    x    = _input(builder, rng, (3, 4, 5))
    axis = int(rng.integers(4))
    y    = builder.like(x, (*x.shape[:axis], 2, *x.shape[axis:]))
    other = builder.input(x.shape, scale=x.scale, zero_point=x.zero_point)
    return builder.operator("PACK", [x, other], [y], axis=axis, valuesCount=2)


@_model("Unpack")
def _unpack(builder, rng):
    x    = _input(builder, rng, (2, 3, 4, 5))
    axis = int(rng.integers(4))
    outputs = tuple(builder.like(x, x.shape[:axis] + x.shape[axis + 1:])
                    for _ in range(x.shape[axis]))
    builder.operator("UNPACK", [x], outputs, axis=axis, num=x.shape[axis])
    return outputs


@_model("Split")
def _split(builder, rng):
    x    = _input(builder, rng, (1, 6, 12, 18))
    axis = int(rng.integers(1, 4))
    if rng.random() < 0.5:
        count   = int(rng.choice([1, 2, 3, 6]))
        sizes   = [x.shape[axis] // count] * count
    else:
        sizes   = [1, 2, x.shape[axis] - 3]
    outputs = tuple(builder.like(x, (*x.shape[:axis], n, *x.shape[axis + 1:])) for n in sizes)
    if len(set(sizes)) == 1:
        builder.operator("SPLIT", [builder.constant(axis), x], outputs, numSplits=len(sizes))
    else:
        builder.operator("SPLIT_V", [x, builder.constant(sizes), builder.constant(axis)],
                         outputs, numSplits=len(sizes))
    return outputs


@_model("StridedSlice")
def _strided_slice(builder, rng):
    x = _input(builder, rng, (1, 7, 8, 9))
    if rng.random() < 0.3:
        begin = [0, *rng.integers(0, 4, 3).tolist()]
        size  = [1, *rng.integers(1, 4, 3).tolist()]
        return builder.operator("SLICE", [x, builder.constant(begin), builder.constant(size)],
                                [builder.like(x, size)])
    begin   = [0, *rng.integers(-3, 3, 3).tolist()]
    strides = [1, *rng.choice([1, 1, 2, 3], 3).tolist()]
    end     = [1, *rng.integers(4, 12, 3).tolist()]
    masks   = [int(rng.choice([0, rng.integers(16)])) for _ in range(2)]
    if rng.random() < 0.2:
        begin[1], end[1], strides[1] = 6, 0, -2
    shrink  = int(rng.choice([0, 0, 2, 8]))
    if shrink:
        masks = [0, 0]
    shape   = []
    for axis, size in enumerate(x.shape):
        first, last = (None if mask >> axis & 1 else values[axis]
                       for mask, values in zip(masks, (begin, end)))
        if not shrink >> axis & 1:
            shape.append(len(range(*slice(first, last, strides[axis]).indices(size))))
        else:
            strides[axis] = 1
    if 0 in shape:
        return _strided_slice(builder, rng)
    parameters = [builder.constant(values) for values in (begin, end, strides)]
    return builder.operator("STRIDED_SLICE", [x, *parameters], [builder.like(x, shape)],
                            beginMask=masks[0], endMask=masks[1], shrinkAxisMask=shrink)


@_model("ResizeBilinear")
def _resize_bilinear(builder, rng):
    return _resize("RESIZE_BILINEAR", builder, rng)


@_model("ResizeNearestNeighbor")
def _resize_nearest_neighbor(builder, rng):
    return _resize("RESIZE_NEAREST_NEIGHBOR", builder, rng)


def _resize(name, builder, rng):
    mode = rng.integers(3)
    x    = _image(builder, rng)
    size = rng.integers(1, 30, 2)
    if rng.random() < 0.5: # by whole numbers
        size = x.shape[1:3] * rng.integers(1, 4, 2)
    return builder.resize(name, x, tuple(size.tolist()),
                          alignCorners=bool(mode == 1), halfPixelCenters=bool(mode == 2))


@_model("SpaceToDepth")
def _space_to_depth(builder, rng):
    x = _input(builder, rng, (1, 6, 12, int(rng.integers(1, 5))))
    block = int(rng.choice([1, 2, 3]))
    y = builder.like(x, (1, 6 // block, 12 // block, x.shape[3] * block**2))
    return builder.operator("SPACE_TO_DEPTH", [x], [y], blockSize=block)


@_model("DepthToSpace")
def _depth_to_space(builder, rng):
    block = int(rng.choice([1, 2, 3]))
    x = _input(builder, rng, (1, 3, 4, block**2 * int(rng.integers(1, 5))))
    y = builder.like(x, (1, 3 * block, 4 * block, x.shape[3] // block**2))
    return builder.operator("DEPTH_TO_SPACE", [x], [y], blockSize=block)


@_model("ArgMax")
def _argument_max(builder, rng):
    x    = _image(builder, rng)
    axis = int(rng.integers(1, 4))
    y    = builder.tensor(x.shape[:axis] + x.shape[axis + 1:], "int32")
    return builder.operator("ARG_MAX", [x, builder.constant(axis)], [y],
                            outputType=2)
