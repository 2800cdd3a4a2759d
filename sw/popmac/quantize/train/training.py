"""The loop that trains."""

import hashlib
import math
import os
from pathlib import Path

import torch
from torch.nn import functional

from ...errors import InputError, ModelFormatError
from ...progress import progress_bar
from .weights import BinaryWeights


__all__ = ["accuracy", "train"]


def train(network, images, labels, *, epochs, seed, batch=64, rate=3e-3, teacher=None,
          temperature=4.0, share=0.7, augment=None, checkpoint=None, threads=1):
    """Train a network on the cross-entropy, by Adam with a rate that falls as a cosine.

    Parameters
    ----------
    network : torch.nn.Module
        Samples to scores; is changed.
    images : Tensor of float32 (samples, ...)
    labels : Tensor of int64 (samples,)
    epochs, batch : int
    seed : int
        Of the order of the samples and of ``augment``. Initial weights are the caller's.
    rate : float
        Of the first epoch.
    teacher : torch.nn.Module, optional
        A network whose scores are to be learnt, too (Hinton et al., 2015).
    temperature, share : float
        What the scores of both are divided by, and the share of that in the loss.
    augment : callable, optional
        From images and a ``torch.Generator`` to images.
    checkpoint : path, optional
        File with the state behind the last epoch. If it is there, training goes on from it, with
        the same result as without the interruption.
    threads : int
        Of PyTorch: sums of several threads are rounded in another order.

    Returns
    -------
    float
        Mean loss of the last epoch.

    Raises
    ------
    InputError
        If the checkpoint is of another network or another training.
    ModelFormatError
        If the checkpoint is damaged.
    """
    if len(images) != len(labels) or not len(images):
        raise InputError(f"there are {len(images)} images and {len(labels)} labels")
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    identity  = _identity(network, images, labels, (epochs, seed, batch, rate, temperature, share,
                                                    teacher is None, augment is None))
    steps = max(1, len(images) // batch)
    if teacher is not None:
        teacher.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed) # of layers that drop values
        first, loss = 0, math.nan
        if checkpoint is not None and Path(checkpoint).exists():
            first, loss = _restore(checkpoint, identity, network, optimiser, generator)
        with progress_bar((epochs - first) * steps, "training") as advance:
            for epoch in range(first, epochs):
                loss = _epoch(network, images, labels, optimiser, generator, advance, batch=batch,
                              steps=steps, augment=augment, teaching=(teacher, temperature, share),
                              rates=[rate * 0.5 * (1 + math.cos(
                                  math.pi * (epoch + step / steps) / epochs))
                                  for step in range(steps)])
                if checkpoint is not None:
                    _save(checkpoint, identity, network, optimiser, generator, epoch + 1, loss)
    network.eval()
    return loss


def _epoch(network, images, labels, optimiser, generator, advance, *, batch, steps, augment,
           teaching, rates):
    """Mean loss of an epoch; ``rates`` are those of its steps."""
    network.train()
    order = torch.randperm(len(images), generator=generator)
    total = 0.0
    for step, rate in zip(range(steps), rates):
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = order[step * batch:(step + 1) * batch]
        x, y   = images[chosen], labels[chosen]
        if augment is not None:
            x = augment(x, generator)
        value = _loss(network, x, y, *teaching)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        _limit(network)
        total += value.item()
        advance(1)
    return total / steps


def _limit(network):
    """Keep the weights behind signs where their gradients are not 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(getattr(layer, "quantiser", None), BinaryWeights):
                layer.weight.clamp_(-1, 1)


def _loss(network, x, y, teacher, temperature, share):
    scores = network(x)
    loss   = functional.cross_entropy(scores, y)
    if teacher is None:
        return loss
    with torch.no_grad():
        wanted = functional.softmax(teacher(x) / temperature, dim=1)
    found = functional.log_softmax(scores / temperature, dim=1)
    close = functional.kl_div(found, wanted, reduction="batchmean") * temperature**2
    return share * close + (1 - share) * loss


def _identity(network, images, labels, options):
    """What a checkpoint has to agree with."""
    shapes = [(name, tuple(v.shape)) for name, v in network.state_dict().items()]
    digest = hashlib.sha256(repr((str(network), shapes, options)).encode())
    for values in (images, labels):
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _save(path, identity, network, optimiser, generator, epoch, loss):
    """Write a checkpoint; an interruption leaves the one before it."""
    beside = f"{path}.part"
    torch.save({"identity": identity, "epoch": epoch, "loss": loss,
                "network": network.state_dict(), "optimiser": optimiser.state_dict(),
                "generator": generator.get_state(), "global": torch.get_rng_state()}, beside)
    os.replace(beside, path)


def _restore(path, identity, network, optimiser, generator):
    try:
        state = torch.load(path, weights_only=True)
        found = state["identity"]
    except Exception as error: # whatever is wrong with the file
        raise ModelFormatError(f"{path}: is no checkpoint "
                               f"({' '.join(str(error).split())[:120]})") from None
    if found != identity:
        raise InputError(f"{path}: is a checkpoint of another network, other data or other "
                         "options; remove it to begin anew")
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["global"])
    return state["epoch"], state["loss"]


def accuracy(network, images, labels, batch=500):
    """Share of images whose greatest score is at the label."""
    network.eval()
    with torch.no_grad():
        found = torch.cat([network(part).argmax(dim=1) for part in images.split(batch)])
    return float((found == labels).float().mean())
