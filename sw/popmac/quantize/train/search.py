"""Chooses a precision for each layer: how much each of them bears, and what it gains."""

import copy
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from ...compiler import compile_model
from ...compiler.frontends.onnx_file import load_onnx
from ...errors import InputError
from ...progress import progress
from .export import export
from .training import accuracy
from .weights import WEIGHTS, weight_quantiser


__all__ = ["Choice", "choose", "sensitivities"]


#: From the most precise to the least.
LADDER = ("int8", "int4", "int2", "ternary", "binary")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What :func:`choose` chose.

    ``kinds`` are those of the layers' weights, ``cycles`` what the compiler predicts, ``bytes``
    those of the weights at their own width. ``accuracy`` is that of the float network with rounded
    weights, before any training. ``steps`` are the kinds, cycles, bytes and accuracies on the way.
    """

    kinds:    tuple
    cycles:   int
    bytes:    int
    accuracy: float
    noises:   tuple # of each layer, by kind: power of the error of the scores over theirs
    steps:    tuple


def _linear(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _rounded(network, kinds):
    """A copy whose weights are rounded; those of kind ``None`` are left."""
    copied = copy.deepcopy(network).eval()
    with torch.no_grad():
        for layer, kind in zip(_linear(copied), kinds):
            if kind is not None:
                codes, scale = weight_quantiser(kind, len(layer.weight))(layer.weight)
                layer.weight.copy_(codes * scale.reshape(-1, *[1] * (codes.ndim - 1)))
    return copied


def sensitivities(network, images, kinds=LADDER):
    """What rounding the weights of one layer, and no other's, does to the scores.

    Parameters
    ----------
    network : torch.nn.Module
        A float network, trained.
    images : Tensor of float32 (samples, ...)
    kinds : sequence of str

    Returns
    -------
    tuple of dict of str to float
        For each convolution and fully connected layer, in order: power of the error of the scores
        in relation to that of the scores, by kind.
    """
    if unknown := set(kinds) - set(WEIGHTS):
        raise InputError(f"weights are {', '.join(WEIGHTS)}, not {', '.join(sorted(unknown))}")
    count  = len(_linear(network))
    result = [{} for _ in range(count)]
    with torch.no_grad():
        expected = network.eval()(images)
        for index in progress(range(count), "sensitivities"):
            for kind in kinds:
                only   = [kind if i == index else None for i in range(count)]
                actual = _rounded(network, only)(images)
                result[index][kind] = float((actual - expected).square().sum()
                                            / expected.square().sum())
    return tuple(result)


def choose(network, make, images, labels, target, *, cycles=None, size=None, least=None,
           free_ends=False):
    """Lower the precision of one layer after the other, each time where it costs least.

    All layers begin with INT8 weights. In each step, every layer may go to the next kinds of
    :data:`LADDER`; the change is taken that saves most per error that it adds. It goes on until the
    budgets are kept, or, if there is only a least accuracy, as long as it is kept.

    Parameters
    ----------
    network : torch.nn.Module
        A float network, trained.
    make : callable
        From kinds, one for each convolution and fully connected layer of ``network`` in order, to
        a network that :func:`export` takes.
    images, labels : Tensor
        Samples that errors and accuracies are measured on.
    target : str or ArchConfig
        What cycles are predicted for, by compiling each candidate.
    cycles, size : int, optional
        Budgets: cycles of a sample, bytes of weights.
    least : float, optional
        Least accuracy with rounded weights, before they are trained.
    free_ends : bool
        Also change the first and the last layer, which else stay INT8.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If there is no budget, or it cannot be kept.
    """
    if cycles is None and size is None and least is None:
        raise InputError("give a budget: cycles, size, or a least accuracy")
    count  = len(_linear(network))
    noises = sensitivities(network, images)
    counts = [layer.weight.numel() for layer in _linear(network)]
    shape  = tuple(images.shape[1:])

    def octets(kinds):
        return -(-sum(n * weight_quantiser(k, 1).bits for n, k in zip(counts, kinds)) // 8)

    @cache
    def predicted(kinds):
        program = compile_model(load_onnx(export(make(kinds), shape), "candidate"), target)
        return sum(layer.cycles for layer in program.layers)

    def saving(before, after):
        """Share of what is saved of the costs that a budget is for; of bytes if there is none."""
        measures = [measure for measure, most in ((predicted, cycles), (octets, size))
                    if most is not None] or [octets]
        return sum(1 - measure(after) / measure(before) for measure in measures)

    def judged(kinds):
        return accuracy(_rounded(network, kinds), images, labels)

    def kept(kinds):
        return (cycles is None or predicted(kinds) <= cycles) and \
            (size is None or octets(kinds) <= size)

    kinds = (LADDER[0],) * count
    steps = [(kinds, predicted(kinds), octets(kinds), judged(kinds))]
    while least is not None and cycles is None and size is None or not kept(kinds):
        options = []
        for index in range(count):
            if not free_ends and index in (0, count - 1):
                continue
            for kind in LADDER[LADDER.index(kinds[index]) + 1:]:
                changed = (*kinds[:index], kind, *kinds[index + 1:])
                saved   = saving(kinds, changed)
                added   = max(noises[index][kind] - noises[index][kinds[index]], 1e-12)
                if saved > 0:
                    options.append((saved / added, changed))
        options = [changed for _, changed in sorted(options, reverse=True)]
        if least is not None:
            options = (changed for changed in options if judged(changed) >= least)
        changed = next(iter(options), None)
        if changed is None:
            break
        kinds = changed
        steps.append((kinds, predicted(kinds), octets(kinds), judged(kinds)))
    if not kept(kinds) or least is not None and steps[-1][-1] < least:
        raise InputError(f"no choice keeps the budget; the last one takes {steps[-1][1]:,} cycles "
                         f"and {steps[-1][2]:,} bytes with {steps[-1][3]:.2%} accuracy "
                         f"({', '.join(kinds)})")
    return Choice(kinds=kinds, cycles=steps[-1][1], bytes=steps[-1][2], accuracy=steps[-1][3],
                  noises=noises, steps=tuple(steps))
