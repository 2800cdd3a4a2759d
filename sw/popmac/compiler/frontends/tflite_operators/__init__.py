"""The operators of TensorFlow Lite files: what they may look like, and their attributes.

Each reader checks one operator's operands, as its kernel does when tensors are allocated, and
that the shapes in the file are those that it computes. What comes out can be computed.
"""

from . import (
    convolution as convolution,
    elementwise as elementwise,
    movement as movement,
    pooling as pooling,
    resize as resize,
)
from .call import READERS, Call, UnknownFormError


__all__ = ["READERS", "Call", "UnknownFormError"]
