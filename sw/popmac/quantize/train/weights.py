"""Quantisers of weights: from real weights to integers and a scale per output channel."""

import torch
from torch import nn

from ...errors import InputError
from .estimators import round_through, sign_through, step_above


__all__ = ["WEIGHTS", "BinaryWeights", "IntegerWeights", "TernaryWeights", "weight_quantiser"]


_LEAST = 1e-8


def _per_channel(values, like):
    return values.reshape(-1, *[1] * (like.ndim - 1))


class BinaryWeights(nn.Module):
    """-1 and +1, times the mean magnitude of the channel's weights (XNOR-Net, 2016)."""

    bits = 1

    def __init__(self, channels):
        super().__init__()

    def forward(self, weights):
        """Integers, and scales (channels,), both with gradients."""
        scale = weights.flatten(1).abs().mean(dim=1).clamp(min=_LEAST)
        return sign_through(weights), scale


class TernaryWeights(nn.Module):
    """-1, 0 and +1: 0 up to a threshold that is learnt, a share of the mean magnitude.

    It begins at 0.7 (Li and Liu, "Ternary Weight Networks", 2016). The scale is the mean magnitude
    of the weights that are not 0.
    """

    bits = 2

    def __init__(self, channels):
        super().__init__()
        self.share = nn.Parameter(torch.full((channels,), 0.7))

    def forward(self, weights):
        """Integers, and scales (channels,), both with gradients."""
        mean  = weights.flatten(1).abs().mean(dim=1).clamp(min=_LEAST)
        limit = _per_channel(self.share.clamp(0, 2) * mean, weights)
        unit  = _per_channel(mean, weights)
        codes = step_above((weights - limit) / unit) - step_above((-weights - limit) / unit)
        kept  = codes.detach().abs().flatten(1)
        scale = (weights.abs().flatten(1) * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        return codes, scale.clamp(min=_LEAST)


class IntegerWeights(nn.Module):
    """Integers of some bits, with a scale per channel that is learnt (LSQ; Esser et al., 2020).

    Parameters
    ----------
    channels : int
    bits : int
        2, 4 or 8. Codes are symmetric, but for 2 bits: -2 to 1.
    """

    def __init__(self, channels, bits):
        super().__init__()
        self.bits  = bits
        self.low   = -2 if bits == 2 else 1 - 2**(bits - 1)
        self.high  = 2**(bits - 1) - 1
        self.scale = nn.Parameter(torch.zeros(channels)) # 0: not set yet

    def forward(self, weights):
        """Integers, and scales (channels,), both with gradients."""
        flat = weights.detach().flatten(1)
        if not self.scale.any():
            first = 2 * flat.abs().mean(dim=1) / self.high**0.5 if self.bits < 8 else \
                flat.abs().amax(dim=1) / self.high
            with torch.no_grad():
                self.scale.copy_(first.clamp(min=_LEAST))
        # The gradient of the scale is that of many weights together.
        share  = 1 / (flat.shape[1] * self.high)**0.5
        scale  = (self.scale * share + (self.scale * (1 - share)).detach()).abs() + _LEAST
        ratio  = weights / _per_channel(scale, weights)
        return round_through(ratio.clamp(self.low, self.high)), scale


#: Kinds of weights, and what makes a quantiser for a number of output channels.
WEIGHTS = {
    "binary":  BinaryWeights,
    "ternary": TernaryWeights,
    "int2":    lambda channels: IntegerWeights(channels, 2),
    "int4":    lambda channels: IntegerWeights(channels, 4),
    "int8":    lambda channels: IntegerWeights(channels, 8),
}


def weight_quantiser(kind, channels):
    """Quantiser of a kind.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if kind not in WEIGHTS:
        raise InputError(f"weights are {', '.join(WEIGHTS)}, not {kind!r}")
    return WEIGHTS[kind](channels)
