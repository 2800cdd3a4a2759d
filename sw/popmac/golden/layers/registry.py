"""Which operators there are, and for which types of tensors."""

from dataclasses import dataclass

import numpy as np

from ...graph import Tensor


__all__ = ["OPERATORS", "SIGNATURES", "Operand", "operator"]


#: Functions by the ``op`` of the nodes that they compute; see :func:`operator`.
OPERATORS  = {}

#: Types that the tensors of a node may have, by ``op``; empty where any will do.
SIGNATURES = {}


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor and its values.

    Parameters
    ----------
    tensor : Tensor
    values : ndarray
        Of the tensor's shape and type.
    """

    tensor: Tensor
    values: np.ndarray

    @property
    def scale(self):
        """Scale of a tensor that has one for all of its values."""
        return self.tensor.scale[0]

    @property
    def zero_point(self):
        """Zero point of a tensor that has one for all of its values."""
        return int(self.tensor.zero_point[0])

    @property
    def centred(self):
        """Values less their zero point, as int64."""
        return self.values.astype(np.int64) - self.zero_point


def operator(name, *signatures):
    """Register a function as the meaning of the nodes whose ``op`` is ``name``.

    The function is called with the first output, a :class:`popmac.graph.Tensor` (whose values are
    to be computed), with an :class:`Operand` or ``None`` per input of the node, and with the
    node's attributes by name. It returns the values of the output, or of each output, as a tuple.

    Parameters
    ----------
    name : str
    signatures : str
        Such as ``"int8 int8 int32 -> int8"``; the last operand may be left out if a shorter
        signature is given too. Tensors of one or two bytes in signatures must be quantised with
        one scale; weights, ``"weights"``, are int8 with one scale, or one per output channel.
    """
    def register(function):
        OPERATORS[name]  = function
        SIGNATURES[name] = tuple(tuple(side.split() for side in s.split("->"))
                                 for s in signatures)
        return function
    return register
