"""Random networks, with layers in the proportions in which people use them."""

import numpy as np
from tflite_models import ModelBuilder


__all__ = ["LAYERS", "random_network"]


#: Functions that add a layer to a network, by name; see :func:`random_network`.
LAYERS = {}

#: How far codes stray from their mean, about: weights are scaled to keep it so.
SPREAD = 40


def random_network(rng, length, *, layers=None, size=(16, 16), channels=3, classes=10):
    """File of a network for classification.

    Parameters
    ----------
    rng : numpy.random.Generator
    length : int
        Number of layers before the last three, which are a global pooling, a fully connected
        layer, and a softmax. Some layers are more than one operator.
    layers : sequence of str, optional
        Keys of :data:`LAYERS` to choose from; all of them if left out.
    size, channels, classes : (int, int), int, int
        Of the input and of the output.
    """
    builder = ModelBuilder()
    x       = builder.input((1, *size, channels), scale=1 / 128, zero_point=-1)
    history = [x]
    while len(history) <= length:
        layer = LAYERS[str(rng.choice(layers or list(LAYERS)))]
        y = layer(builder, rng, history)
        if y is not None:
            history.append(y)
    x = history[-1]
    if rng.random() < 0.5:
        x = builder.reduce("MEAN", x, (1, 2), scale=x.scale / 2, zero_point=x.zero_point)
    else:
        x = builder.reshape(builder.pool_2d("AVERAGE_POOL_2D", x, x.shape[1:3]), (1, x.shape[3]))
    x = builder.fully_connected(x, *_weights(rng, (classes, x.shape[1]), classes, x.shape[1]),
                                **_scales(rng, x, classes, x.shape[1]))
    builder.output(builder.softmax(x))
    return builder.build()


def _layer(function):
    LAYERS[function.__name__.strip("_")] = function
    return function


def _weights(rng, shape, channels, depth):
    """Weights and biases."""
    weights = np.clip(rng.normal(0, 40, shape), -128, 127).astype(np.int8)
    return weights, rng.normal(0, 40 * SPREAD * np.sqrt(depth), channels).astype(int)


def _scales(rng, x, channels, depth, activation="none"):
    """Scales of weights per channel, and of a result that keeps the spread of codes."""
    weight_scale = rng.uniform(0.5, 1, channels) / (40 * np.sqrt(depth))
    return {"weight_scale": weight_scale, "activation": activation,
            "scale": float(np.float32(x.scale * rng.uniform(0.7, 1.3))),
            "zero_point": int(rng.integers(-20, 20)) if activation == "none" else -128}


def _activation(rng):
    return str(rng.choice(["none", "relu", "relu", "relu6"]))


@_layer
def _convolution(builder, rng, history):
    x = history[-1]
    kernel   = (int(rng.choice([1, 1, 3, 3, 5])),) * 2
    channels = int(rng.choice([4, 8, 16, 24]))
    depth    = kernel[0] * kernel[1] * x.shape[3]
    stride   = 2 if min(x.shape[1:3]) >= 8 and rng.random() < 0.2 else 1
    padding  = "valid" if min(x.shape[1:3]) > kernel[0] and rng.random() < 0.1 else "same"
    return builder.conv_2d(x, *_weights(rng, (channels, *kernel, x.shape[3]), channels, depth),
                           **_scales(rng, x, channels, depth, _activation(rng)),
                           strides=(stride, stride), padding=padding)


@_layer
def _depthwise(builder, rng, history):
    x = history[-1]
    kernel   = (3, 3) if rng.random() < 0.8 else (5, 5)
    channels = x.shape[3]
    depth    = kernel[0] * kernel[1]
    stride   = 2 if min(x.shape[1:3]) >= 8 and rng.random() < 0.2 else 1
    return builder.depthwise_conv_2d(x, *_weights(rng, (1, *kernel, channels), channels, depth),
                                     **_scales(rng, x, channels, depth, _activation(rng)),
                                     strides=(stride, stride))


@_layer
def _padded_convolution(builder, rng, history):
    if min(history[-1].shape[1:3]) < 3:
        return None
    before = int(rng.choice([0, 1, 1, 1]))
    x = builder.pad(history[-1], [(0, 0), (before, 1), (before, 1), (0, 0)])
    channels = int(rng.choice([4, 8, 16]))
    return builder.conv_2d(x, *_weights(rng, (channels, 3, 3, x.shape[3]), channels,
                                        9 * x.shape[3]),
                           **_scales(rng, x, channels, 9 * x.shape[3], _activation(rng)),
                           padding="valid")


@_layer
def _addition(builder, rng, history):
    x = history[-1]
    partners = [y for y in history[:-1] if y.shape == x.shape]
    if not partners:
        return None
    partner = partners[rng.integers(len(partners))]
    return builder.binary("ADD", x, partner, scale=1.3 * max(x.scale, partner.scale),
                          zero_point=int(rng.choice([-128, 0])), activation="relu")


@_layer
def _max_pool(builder, rng, history):
    x = history[-1]
    if min(x.shape[1:3]) < 8:
        return None
    return builder.pool_2d("MAX_POOL_2D", x, (2, 2), strides=(2, 2), padding="same")


@_layer
def _average_pool(builder, rng, history):
    x = history[-1]
    if min(x.shape[1:3]) < 3:
        return None
    return builder.pool_2d("AVERAGE_POOL_2D", x, (3, 3),
                           padding=str(rng.choice(["same", "same", "valid"])))


@_layer
def _concatenation(builder, rng, history):
    x = history[-1]
    partners = [y for y in history[:-1] if y.shape[1:3] == x.shape[1:3]]
    if not partners or x.shape[3] > 24:
        return None
    partner = builder.unary("QUANTIZE", partners[rng.integers(len(partners))], scale=x.scale,
                            zero_point=x.zero_point)
    return builder.concatenation([x, partner], 3)


@_layer
def _function(builder, rng, history):
    x = history[-1]
    match rng.integers(3):
        case 0:
            return builder.unary("HARD_SWISH", x, scale=x.scale, zero_point=-100)
        case 1:
            return builder.unary("LEAKY_RELU", x, alpha=0.1, scale=x.scale * 0.8, zero_point=-50)
        case _:
            gate = builder.unary("LOGISTIC", x, scale=1 / 256, zero_point=-128)
            return builder.binary("MUL", x, gate, scale=x.scale * 0.8, zero_point=-30,
                                  activation="none")


@_layer
def _squeeze_and_excite(builder, rng, history):
    x = history[-1]
    squeezed = builder.reduce("MEAN", x, (1, 2), keep_dims=True, scale=x.scale,
                              zero_point=x.zero_point)
    for channels, activation in ((max(x.shape[3] // 4, 1), "relu"), (x.shape[3], "none")):
        depth    = squeezed.shape[3]
        squeezed = builder.conv_2d(
            squeezed, *_weights(rng, (channels, 1, 1, depth), channels, depth),
            **_scales(rng, squeezed, channels, depth, activation))
    gate = builder.unary("LOGISTIC", squeezed, scale=1 / 256, zero_point=-128)
    return builder.binary("MUL", x, gate, scale=x.scale * 0.7, zero_point=x.zero_point,
                          activation="none")


@_layer
def _subtraction(builder, rng, history):
    x = history[-1]
    partners = [y for y in history[:-1] if y.shape == x.shape]
    if not partners:
        return None
    partner = partners[rng.integers(len(partners))]
    return builder.binary("SUB", x, partner, scale=1.3 * max(x.scale, partner.scale),
                          zero_point=int(rng.integers(-20, 20)), activation="none")


@_layer
def _constant(builder, rng, history):
    x     = history[-1]
    shape = [(), (x.shape[3],), (1, 1, 1, x.shape[3])][rng.integers(3)]
    data  = rng.integers(20, 128, shape).astype(np.int8)
    name  = str(rng.choice(["ADD", "SUB", "MUL"]))
    scale = 1 / 64 if name == "MUL" else x.scale
    other = builder.tensor(shape, data=data, scale=scale, zero_point=int(rng.integers(-20, 20)))
    return builder.binary(name, x, other, scale=1.5 * x.scale,
                          zero_point=int(rng.integers(-20, 20)), activation=_activation(rng))


@_layer
def _halves(builder, rng, history):
    x = history[-1]
    if x.shape[3] % 2:
        return None
    half   = (*x.shape[:3], x.shape[3] // 2)
    halves = builder.like(x, half), builder.like(x, half)
    builder.operator("SPLIT", [builder.constant(3), x], halves, numSplits=2)
    depth  = half[3]
    scales = _scales(rng, x, depth, depth) | {"scale": x.scale, "zero_point": x.zero_point}
    left   = builder.conv_2d(halves[0], *_weights(rng, (depth, 1, 1, depth), depth, depth),
                             **scales)
    return builder.concatenation([left, halves[1]], 3)


@_layer
def _crop(builder, rng, history):
    x = history[-1]
    if min(x.shape[1:3]) < 6:
        return None
    begin = [0, *rng.integers(0, 2, 2).tolist(), 0]
    size  = [1, *(n - int(rng.integers(1, 3)) for n in x.shape[1:3]), x.shape[3]]
    return builder.operator("SLICE", [x, builder.constant(begin), builder.constant(size)],
                            [builder.like(x, size)])


@_layer
def _enlargement(builder, rng, history):
    x = history[-1]
    if max(x.shape[1:3]) > 6:
        return None
    name = str(rng.choice(["RESIZE_NEAREST_NEIGHBOR", "RESIZE_NEAREST_NEIGHBOR",
                           "RESIZE_BILINEAR"]))
    return builder.resize(name, x, tuple(2 * n for n in x.shape[1:3]), alignCorners=False,
                          halfPixelCenters=False)


@_layer
def _row_of_pixels(builder, rng, history):
    x = history[-1]
    batch, height, width, channels = x.shape
    row = builder.reshape(x, (batch, 1, height * width, channels))
    row = builder.conv_2d(row, *_weights(rng, (channels, 1, 5, channels), channels, 5 * channels),
                          **_scales(rng, x, channels, 5 * channels, _activation(rng)))
    return builder.reshape(row, x.shape)


@_layer
def _rectification(builder, rng, history):
    x    = history[-1]
    name = str(rng.choice(["RELU", "RELU6", "TANH", "QUANTIZE"]))
    if name == "TANH":
        return builder.unary(name, x, scale=1 / 128, zero_point=0)
    return builder.unary(name, x, scale=x.scale * rng.uniform(0.7, 1.3),
                         zero_point=-128 if name != "QUANTIZE" else int(rng.integers(-20, 20)))


@_layer
def _greatest(builder, rng, history):
    x = history[-1]
    partners = [y for y in history[:-1] if y.shape == x.shape]
    if not partners:
        return None
    partner = builder.unary("QUANTIZE", partners[rng.integers(len(partners))], scale=x.scale,
                            zero_point=x.zero_point)
    return builder.binary("MAXIMUM", x, partner)


@_layer
def _transposed_convolution(builder, rng, history):
    x = history[-1]
    if max(x.shape[1:3]) > 6:
        return None
    channels = int(rng.choice([4, 8]))
    depth    = 9 * x.shape[3] // 4
    return builder.transpose_conv(
        x, shape=(1, 2 * x.shape[1], 2 * x.shape[2], channels), strides=(2, 2), padding="same",
        **dict(zip(("weights", "bias"),
                   _weights(rng, (channels, 3, 3, x.shape[3]), channels, depth))),
        **_scales(rng, x, channels, depth, _activation(rng)))
