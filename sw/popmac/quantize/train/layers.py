"""Layers of few bits, to be put into ``torch.nn.Sequential`` beside PyTorch's own."""

import torch
from torch import nn
from torch.nn import functional

from ...errors import InputError
from .estimators import round_through, sign_through
from .weights import weight_quantiser


__all__ = ["BinaryActivation", "InputCodes", "IntegerActivation", "QuantConv2d", "QuantLinear"]


class InputCodes(nn.Module):
    """The network's input, rounded to integers of some bits: ``clip(round(x / step))``.

    Parameters
    ----------
    bits : int
        1 to 8. Codes begin at 0; with 1 bit, they are -1 below ``step`` and +1 from there on.
    step : float
        What a code stands for.
    """

    def __init__(self, bits, step=1.0):
        super().__init__()
        if bits not in range(1, 9) or not step > 0:
            raise InputError(f"inputs have 1 to 8 bits and a step above 0, not {bits} and {step}")
        self.bits, self.step = bits, step

    def forward(self, x):
        if self.bits == 1:
            return torch.where(x >= self.step, 1.0, -1.0)
        return (x / self.step).round().clamp(0, 2**self.bits - 1) * self.step


class BinaryActivation(nn.Module):
    """-1 below a threshold per channel, which is learnt, +1 from there on.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels):
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return sign_through(x - self.threshold.reshape(1, -1, *[1] * (x.ndim - 2)))


class IntegerActivation(nn.Module):
    """Integers from 0 on, times a scale that is learnt: ReLU and rounding in one (LSQ).

    Parameters
    ----------
    bits : int
        2 or 4.
    """

    def __init__(self, bits):
        super().__init__()
        if bits not in (2, 4):
            raise InputError(f"activations have 2 or 4 bits, not {bits}; BinaryActivation has 1")
        self.bits  = bits
        self.scale = nn.Parameter(torch.tensor(2.0 / (2**bits - 1)))

    def forward(self, x):
        share = 1 / (x[0].numel() * (2**self.bits - 1))**0.5
        scale = (self.scale * share + (self.scale * (1 - share)).detach()).abs() + 1e-8
        return round_through((x / scale).clamp(0, 2**self.bits - 1)) * scale


class _QuantWeights:
    """What both kinds of layers do."""

    def codes(self):
        """Integer weights, output channel first, and their scales: detached tensors."""
        with torch.no_grad():
            codes, scale = self.quantiser(self.weight)
        return codes, scale

    def _rounded(self):
        codes, scale = self.quantiser(self.weight)
        return codes * scale.reshape(-1, *[1] * (codes.ndim - 1))


class QuantLinear(nn.Linear, _QuantWeights):
    """``nn.Linear`` whose weights are of a kind: ``binary``, ``ternary``, ``int2/4/8``."""

    def __init__(self, inputs, outputs, weights, bias=False):
        super().__init__(inputs, outputs, bias=bias)
        self.quantiser = weight_quantiser(weights, outputs)

    def forward(self, x):
        return functional.linear(x, self._rounded(), self.bias)


class QuantConv2d(nn.Conv2d, _QuantWeights):
    """``nn.Conv2d`` without groups, whose weights are of such a kind."""

    def __init__(self, inputs, outputs, size, weights, *, stride=1, padding=0, bias=False):
        super().__init__(inputs, outputs, size, stride=stride, padding=padding, bias=bias)
        self.quantiser = weight_quantiser(weights, outputs)

    def forward(self, x):
        return functional.conv2d(x, self._rounded(), self.bias, self.stride, self.padding)
