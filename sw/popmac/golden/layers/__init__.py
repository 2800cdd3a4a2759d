"""What each operator means: the golden model of graphs, bit-exact with the reference runtime.

The operators of TensorFlow Lite are those of its ``BUILTIN_REF`` kernels. One file per family,
one function per operator; :data:`OPERATORS` has them all.
"""

from . import (
    activations as activations,
    convolution as convolution,
    dynamic as dynamic,
    elementwise as elementwise,
    movement as movement,
    pooling as pooling,
    quantization as quantization,
    resize as resize,
    softmax as softmax,
    thresholds as thresholds,
)
from .interpreter import compute, problems, run, table
from .registry import OPERATORS, Operand


__all__ = ["OPERATORS", "Operand", "compute", "problems", "run", "table"]
