"""The operators of quantised ONNX files as onnxruntime executes them, one reader per operator.

A reader is called with the loader, the node, its label for messages, and what is known about its
operands. It adds nodes to the loader's graph, and returns what is known about the output then.
"""

from . import (
    convolution as convolution,
    elementwise as elementwise,
    movement as movement,
    pooling as pooling,
)
from .dynamic import DYNAMIC, is_dynamic
from .registry import READERS, RefusedError


__all__ = ["DYNAMIC", "READERS", "RefusedError", "is_dynamic"]
