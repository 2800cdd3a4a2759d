"""Roundings with gradients: straight-through estimators."""

import torch


__all__ = ["Rounding", "Sign", "StepAbove", "round_through", "sign_through", "step_above"]


class Sign(torch.autograd.Function):
    """-1 below 0, +1 from 0 on; the gradient is that of the argument where this is in -1 to 1.

    Courbariaux et al., "Binarized Neural Networks", 2016. Both zeros become +1, as QONNX has it.
    """

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(context, gradient):
        x, = context.saved_tensors
        return gradient * (x.abs() <= 1)


class StepAbove(torch.autograd.Function):
    """1 where ``x > 0``, else 0; the gradient is half of that of the argument in -1 to 1."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(context, gradient):
        x, = context.saved_tensors
        return gradient * 0.5 * (x.abs() <= 1)


class Rounding(torch.autograd.Function):
    """Nearest integer, half to even; the gradient is that of the argument."""

    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


sign_through, step_above, round_through = Sign.apply, StepAbove.apply, Rounding.apply
