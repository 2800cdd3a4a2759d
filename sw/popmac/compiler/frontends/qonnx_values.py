"""What is known about a tensor of a QONNX file while its nodes are read."""

from dataclasses import dataclass

import numpy as np

from ...graph import Node, Tensor


__all__ = ["REMEDY", "Codes", "Constant", "Real", "Refused", "Sums"]


REMEDY = "change the model, or compute this part elsewhere"


class Refused(Exception):
    """A node cannot be loaded: reason and remedy."""


@dataclass(frozen=True, eq=False)
class Constant:
    """Known values; ``scale`` is that of the quantiser that they come from, if any."""
    values: np.ndarray
    scale:  np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Codes:
    """Values that a tensor of the graph has the codes of.

    ``shape`` is the shape in the file; images are (1, channels, height, width) there and
    (1, height, width, channels) in the graph. ``order`` is where in the flat graph tensor the
    elements of a flat file tensor are, ``None`` if in their places.
    """
    tensor: Tensor
    shape:  tuple
    levels: tuple
    order:  np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Sums:
    """Integer sums times ``scale``, on which ``nodes`` have been applied.

    ``low``, ``high`` and ``step`` say which sums can occur.
    """
    node:   Node       # op without its kind
    x:      Codes
    kernel: np.ndarray # (output channel, ...)
    scale:  np.ndarray # (output channels,)
    shape:  tuple
    low:    np.ndarray
    high:   np.ndarray
    step:   int
    source: str        # tensor in the file
    nodes:  tuple = ()


@dataclass(frozen=True, eq=False)
class Real:
    """An input of the model, on which ``nodes`` have been applied."""
    tensor: Tensor
    shape:  tuple
    source: str
    nodes:  tuple = ()
