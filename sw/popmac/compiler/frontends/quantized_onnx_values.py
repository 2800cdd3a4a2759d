"""What is known about a tensor of a quantised ONNX file while its nodes are read."""

from dataclasses import dataclass

import numpy as np

from ...graph import Tensor


__all__ = ["Codes", "Computed", "Constant", "DynamicCodes", "Input", "Real"]


@dataclass(frozen=True, eq=False)
class Constant:
    """Known values."""
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Input:
    """A real input of the model, on which operators have been applied that only move values."""
    name:  str
    shape: tuple
    dtype: str
    moves: tuple = ()


@dataclass(frozen=True, eq=False)
class Codes:
    """Values that a tensor of the graph has the codes of.

    Parameters
    ----------
    tensor : Tensor
        int8.
    shape : tuple of int
        In the file.
    axes : tuple of int
        Axis ``i`` of the graph's tensor is axis ``axes[i]`` of the file's.
    offset : int
        128 if the file has uint8: its codes are greater by that.
    file_name : str
        Of the tensor in the file.
    unflattened : Codes, optional
        The image of which these are the elements, in the order of the graph's tensor instead of
        the file's.
    order : ndarray of int, optional
        Where the elements of the file's tensor are then.
    """
    tensor:      Tensor
    shape:       tuple
    axes:        tuple
    offset:      int
    file_name:   str               = ""
    unflattened: object            = None
    order:       np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Real:
    """Codes that were made real numbers, on which ``nodes`` have been applied value by value.

    ``chain`` are all nodes from the codes, called ``source`` in the file, to the last one.
    """
    codes:  Codes
    source: str
    chain:  tuple

    @property
    def nodes(self):
        """Nodes behind the one that makes real numbers."""
        return self.chain[1:]


@dataclass(frozen=True, eq=False)
class Computed:
    """Numbers that the host computes in each run."""
    tensor: Tensor


@dataclass(frozen=True, eq=False)
class DynamicCodes:
    """Codes, less 128, or the zero point, of a range that is found in each run."""
    tensor: Tensor
