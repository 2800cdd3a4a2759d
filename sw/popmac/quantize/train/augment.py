"""Changes of images that do not change what they show."""

import math

import torch
from torch.nn import functional


__all__ = ["jitter"]


def jitter(images, generator, *, shift=0.0, angle=0.0, zoom=0.0):
    """Images that are moved, turned and scaled a little, each in its own way.

    Parameters
    ----------
    images : Tensor of float32 (samples, channels, height, width)
        What comes in from outside is 0.
    generator : torch.Generator
    shift : float
        Greatest distance, in pixels.
    angle : float
        Greatest angle, in degrees.
    zoom : float
        Greatest share by which they grow or shrink.
    """
    count, _, height, width = images.shape

    def uniform(most):
        return (torch.rand(count, generator=generator) * 2 - 1) * most

    turn, size = uniform(math.radians(angle)), 1 + uniform(zoom)
    cos, sin   = torch.cos(turn) / size, torch.sin(turn) / size
    dx, dy     = uniform(2 * shift / width), uniform(2 * shift / height)
    maps = torch.stack([torch.stack([cos, -sin, dx], dim=1), torch.stack([sin, cos, dy], dim=1)],
                       dim=1)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
