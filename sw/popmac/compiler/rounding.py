"""How the reference rounds the sums of a layer, and which sums there can be."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..golden.arithmetic import (
    activation_range,
    divide_away,
    quantize_multiplier,
    real_multiplier,
    rescale,
    round_away,
    single_multiplier,
)
from ..golden.layers.pooling import mean_multiplier
from ..golden.single import multiply_codes, part_codes, scale_codes
from .requantize import FitError, fit


__all__ = ["Rounding", "average_rounding", "convolution_rounding", "fit_average", "fit_layer",
           "fit_mean", "fit_product", "fit_real_average", "fully_connected_rounding",
           "layer_rounding", "mean_rounding", "single_rounding", "static_range"]


INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """A reference's way from sums to codes.

    Parameters
    ----------
    reference : callable
        As :func:`popmac.compiler.requantize.fit` takes it.
    ratio : ndarray of float64, shape (channels,)
        About how much a code rises as a sum rises by one.
    limit : ndarray of int64, shape (channels,)
        Sums of greater magnitude overflow in the reference, which is not monotone then.
    zero_point, low, high : int
        Of the codes.
    """

    reference:  Any
    ratio:      np.ndarray
    limit:      np.ndarray
    zero_point: int
    low:        int
    high:       int

    def fit(self, acc_low, acc_high):
        """Requantiser parameters for sums in a range.

        Where the codes of a layer begin at the zero point, as after a ReLU, and the multiplier
        has hardly enough bits, it takes both offsets to reach them all. Offsets are small only
        near the zero point: it is moved to the middle of the codes then.

        Raises
        ------
        FitError
            With all channels that have no fit.
        """
        acc_low, acc_high = np.atleast_1d(acc_low), np.atleast_1d(acc_high)
        beyond = (acc_low < -self.limit) | (acc_high > self.limit)
        if np.any(beyond):
            raise FitError(np.flatnonzero(beyond), "sums overflow in the reference")
        middle = (self.low + self.high + 1) // 2
        errors = []
        for zero_point in (self.zero_point, middle, (self.zero_point + middle) // 2):
            try:
                return fit(self.reference, acc_low, acc_high, self.ratio, zero_point=zero_point,
                           low=self.low, high=self.high)
            except FitError as error:
                errors.append(error)
        raise min(errors, key=lambda error: len(error.channels))


def _rescaling(mantissa, exponent, ratio, zero_point, low, high):
    """Rounding by :func:`popmac.golden.arithmetic.rescale`."""
    def reference(acc, channel):
        codes = rescale(acc, mantissa[channel], exponent[channel]) + zero_point
        return np.clip(codes, low, high)

    return Rounding(reference=reference, ratio=ratio, zero_point=zero_point, low=low, high=high,
                    limit=INT32.max >> np.maximum(exponent, 0))


def single_rounding(multiplier, zero_point, part=None):
    """Rounding by one multiplication in single precision.

    Parameters
    ----------
    multiplier : ndarray of float32, shape (channels,)
    zero_point : int
        Of the output.
    part : (int, int) or None
        As :func:`popmac.golden.single.part_codes` takes it.
    """
    ends  = part_codes(np.array([-128, 127], np.int8), zero_point, part)
    count  = 1 if part is None else part[1]
    middle = (zero_point + 128) // count - 128 // count
    ratio  = multiplier.astype(np.float64) / count

    def reference(acc, channel):
        codes = scale_codes(acc, multiplier[channel], zero_point)
        return part_codes(codes, zero_point, part).astype(np.int64)

    return Rounding(reference=reference, ratio=ratio, zero_point=middle, low=int(ends[0]),
                    high=int(ends[1]), limit=np.full(multiplier.shape, INT32.max))


def convolution_rounding(x_scale, weight_scales, scale, zero_point, activation="none"):
    """Rounding of ``Conv2D``, ``DepthwiseConv2D`` and ``TransposeConv``.

    Parameters
    ----------
    x_scale, scale : float32
        Of the input and of the output.
    weight_scales : ndarray of float32, shape (channels,)
    zero_point : int
        Of the output.
    activation : str
        Key of :data:`popmac.golden.arithmetic.ACTIVATIONS`.
    """
    real = real_multiplier(x_scale, weight_scales, divisor=scale)
    return _rescaling(*quantize_multiplier(real), real, zero_point,
                      *activation_range(activation, scale, zero_point))


def fully_connected_rounding(x_scale, weight_scales, scale, zero_point, activation="none"):
    """Rounding of ``FullyConnected``; parameters as for :func:`convolution_rounding`."""
    real = real_multiplier(x_scale, weight_scales, divisor=scale)
    low, high = activation_range(activation, scale, zero_point)

    def reference(acc, channel):
        codes = np.clip(round_away(acc * real[channel]), INT32.min, INT32.max)
        return np.clip(codes.astype(np.int64) + zero_point, low, high)

    return Rounding(reference=reference, ratio=real, zero_point=zero_point, low=low, high=high,
                    limit=np.full(real.shape, INT32.max))


def average_rounding(count, *, zero_point=0, low=-128, high=127):
    """Rounding of ``AveragePool2D`` from sums of ``count`` codes.

    ``zero_point`` is that of the hardware's layer; it has no influence on the codes.
    """
    def reference(acc, channel):
        return np.clip(divide_away(acc, count), low, high)

    return Rounding(reference=reference, ratio=np.array([1 / count]), zero_point=zero_point,
                    low=low, high=high, limit=np.array([INT32.max]))


def mean_rounding(count, x_scale, scale, zero_point):
    """Rounding of ``Mean`` from sums of ``count`` codes, less as many zero points."""
    real = real_multiplier(x_scale, divisor=scale)
    mantissa, exponent = (np.array([part]) for part in mean_multiplier(real, count))
    return _rescaling(mantissa, exponent, np.array([real / count]), zero_point, -128, 127)


def fit_average(count, *, zero_point=0, low=-128, high=127):
    """Requantiser parameters, of one channel, for averages of ``count`` codes."""
    rounding = average_rounding(count, zero_point=zero_point, low=low, high=high)
    return rounding.fit(-128 * count, 127 * count)


def fit_mean(count, x_scale, x_zero_point, scale, zero_point, *, rounding="fixed", part=None):
    """Requantiser parameters, of one channel, for ``Mean`` over ``count`` codes.

    The bias is ``-count * x_zero_point``.
    """
    if rounding == "single":
        multiplier = single_multiplier(x_scale, divisor=scale * np.float32(count))
        rounding   = single_rounding(np.array([multiplier]), zero_point, part)
    else:
        rounding = mean_rounding(count, x_scale, scale, zero_point)
    return rounding.fit((-128 - x_zero_point) * count, (127 - x_zero_point) * count)


def fit_real_average(count, divisor, x, output, offset):
    """Requantiser parameters, of one channel, for averages of real values that codes stand for.

    The reference sums up rounded real numbers, so that its results may depend on more than the sum
    of the codes. Where a sum is so close to a threshold that they could, there is no fit.

    Parameters
    ----------
    count, divisor : int
        Values in the sum, and what it is divided by.
    x, output : (float32, int)
        Scales and zero points.
    offset : int
        Of the codes in the file.

    Raises
    ------
    FitError
    """
    (scale, zero), (new_scale, new_zero) = x, output
    first = (-128 - zero) * count
    sums  = np.arange(first, (127 - zero) * count + 1)
    ratio = float(scale) / float(new_scale) / divisor
    real  = sums * ratio + new_zero + offset
    # Each of the steps is off by at most half a unit in the last place of numbers up to this.
    error = (255 * count * ratio + 256) * (count + 4) * 2.0**-24
    codes, others = (np.clip(np.rint(real + sign * error) - offset, -128, 127).astype(np.int64)
                     for sign in (-1, 1))
    if np.any(codes != others):
        raise FitError([0], "the reference's results depend on the order of its summation")
    rounding = Rounding(
        reference=lambda acc, channel: codes[np.asarray(acc) - first], ratio=np.array([ratio]),
        limit=np.array([INT32.max]), zero_point=new_zero, low=-128, high=127)
    return rounding.fit(first, first + len(codes) - 1)


def fit_product(graph, node):
    """Requantiser parameters, of one channel, for a ``Mul`` of two tensors less their zero points.
    """
    tensors   = [graph.tensors[name] for name in (*node.inputs, node.output)]
    first, second, output = ((tensor.scale[0], int(tensor.zero_point[0])) for tensor in tensors)
    real      = single_multiplier(first[0], second[0], divisor=output[0])
    if node.attrs.get("rounding") == "single":
        scales   = first[0], second[0], output[0]
        rounding = Rounding(
            reference=lambda acc, channel: multiply_codes(
                np.asarray(acc), scales, output[1], node.attrs["offset"]).astype(np.int64),
            ratio=np.array([float(real)]), limit=np.array([INT32.max]), zero_point=output[1],
            low=-128, high=127)
    else:
        mantissa, exponent = (np.array([part]) for part in quantize_multiplier(real))
        rounding = _rescaling(mantissa, exponent, np.array([float(real)]), output[1],
                              *activation_range(node.attrs["activation"], *output))
    products  = [a * b for a in (-128 - first[1], 127 - first[1])
                 for b in (-128 - second[1], 127 - second[1])]
    return rounding.fit(min(products), max(products))


def static_range(weights, zero_point, bias=None):
    """Least and greatest sum of each channel, for any input.

    Parameters
    ----------
    weights : ndarray of int8, shape (channels, products)
    zero_point : int
        Of the input: the sum is of ``(x - zero_point) * weight``.
    bias : ndarray of int, shape (channels,), optional
        Added to the sums.

    Returns
    -------
    low, high : ndarray of int64, shape (channels,)
    """
    weights  = weights.astype(np.int64)
    positive = np.maximum(weights, 0).sum(axis=1)
    negative = np.minimum(weights, 0).sum(axis=1)
    bias     = 0 if bias is None else bias.astype(np.int64)
    least, greatest = -128 - zero_point, 127 - zero_point
    return positive * least + negative * greatest + bias, \
        positive * greatest + negative * least + bias


#: Axis of the output channels of the weights.
CHANNEL_AXES = {"Conv2D": 0, "TransposeConv": 0, "FullyConnected": 0, "DepthwiseConv2D": 3}


def fit_layer(graph, node):
    """Requantiser parameters of a convolution or fully connected layer.

    Returns
    -------
    Requantization

    Raises
    ------
    FitError
        With all channels that have no fit.
    """
    rounding, low, high = layer_rounding(graph, node)
    return rounding.fit(low, high)


def layer_rounding(graph, node):
    """Rounding of a convolution or fully connected layer, and its least and greatest sums."""
    x, weights, *bias = (graph.tensors[name] for name in node.inputs)
    output  = graph.tensors[node.output]
    axis    = CHANNEL_AXES[node.op]
    columns = np.moveaxis(weights.data, axis, 0).reshape(weights.shape[axis], -1)
    scales  = np.broadcast_to(weights.scale, columns.shape[:1])
    zero    = int(output.zero_point[0])
    if node.attrs.get("rounding") == "single":
        rounding = single_rounding(
            single_multiplier(x.scale[0], scales, divisor=output.scale[0]), zero,
            node.attrs.get("part"))
    else:
        make = fully_connected_rounding if node.op == "FullyConnected" else convolution_rounding
        rounding = make(x.scale[0], scales, output.scale[0], zero, node.attrs["activation"])
    return rounding, *static_range(columns, int(x.zero_point[0]),
                                   bias[0].data.ravel() if bias else None)
