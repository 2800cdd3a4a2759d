"""What the readers of operators have in common."""

import math

import numpy as np
import tflite

from ....errors import ModelFormatError


__all__ = ["READERS", "Call", "UnknownFormError", "given", "reader", "window"]


#: Functions by operator: from :class:`Call` to the node's ``op``, inputs and attributes.
READERS = {}

ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE:         "none",
    tflite.ActivationFunctionType.RELU:         "relu",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
    tflite.ActivationFunctionType.RELU6:        "relu6",
}


class UnknownFormError(Exception):
    """An operator in a form that popmac has not; the message says what stands in the way."""


class Call:
    """One operator of a file, for its reader.

    Parameters
    ----------
    model, name : str
        Of the model and of the operator, for messages.
    op : str
        Name of the operator in files.
    inputs, outputs : list of Tensor
        Inputs that are left out are ``None``.
    table : tflite.Operator
    charge : callable
        Called with the size of what is copied from the file.
    """

    def __init__(self, model, name, op, inputs, outputs, table, charge):
        self.op      = op
        self.inputs  = inputs
        self.outputs = outputs
        self._model  = model
        self._name   = name
        self._table  = table
        self._charge = charge

    @property
    def output(self):
        """The only output."""
        self.require(len(self.outputs) == 1, f"it has {len(self.outputs)} outputs instead of one")
        return self.outputs[0]

    def require(self, condition, message):
        """Refuse the file unless ``condition`` holds."""
        if not condition:
            raise ModelFormatError(f"{self._model}: {self._name}: {message}")

    def operands(self, least, most=None):
        """The inputs, of which the last ``most - least`` may be left out."""
        most   = least if most is None else most
        inputs = self.inputs + [None] * (most - len(self.inputs))
        self.require(len(inputs) == most and None not in inputs[:least],
                     f"it has {len(self.inputs)} inputs instead of {least}"
                     + (f" to {most}" if most > least else ""))
        return inputs

    def options(self, kind):
        """Table of options, of the class ``kind`` of the schema."""
        expected = getattr(tflite.BuiltinOptions, kind.__name__)
        union    = self._table.BuiltinOptions()
        self.require(union is not None and self._table.BuiltinOptionsType() == expected,
                     f"it has no {kind.__name__}")
        options = kind()
        options.Init(union.Bytes, union.Pos)
        return options

    def constant(self, tensor, what):
        """Whole numbers that are known when the file is read."""
        if not tensor.is_constant:
            raise UnknownFormError(f"its {what} is computed at run time")
        self.require(tensor.dtype in ("int32", "int64"), f"its {what} is of type {tensor.dtype}")
        self._charge(8 * tensor.data.size)
        return tuple(tensor.data.ravel().tolist())

    def weights(self, tensor, axis, rank):
        """Check that ``tensor`` can be weights whose output channels are along ``axis``."""
        if not tensor.is_constant:
            raise UnknownFormError("its weights are computed at run time")
        self.require(len(tensor.shape) == rank and min(tensor.shape) > 0,
                     f"its weights have shape {tensor.shape}")
        if tensor.scale is not None:
            self.require(not np.any(tensor.zero_point), "its weights have a zero point")
            self.require(tensor.axis in (None, axis),
                         f"its weights have scales along axis {tensor.axis}, not {axis}")

    def bias(self, tensor, channels):
        """Check that ``tensor`` can be the bias of ``channels`` channels."""
        if tensor is not None:
            if not tensor.is_constant:
                raise UnknownFormError("its bias is computed at run time")
            self.require(math.prod(tensor.shape) == channels,
                         f"its bias has shape {tensor.shape} for {channels} channels")

    def activation(self, options):
        """Name of the fused activation."""
        code = options.FusedActivationFunction()
        if code not in ACTIVATIONS:
            raise UnknownFormError(f"its fused activation has number {code}")
        return ACTIVATIONS[code]

    def image(self, tensor):
        """Check that ``tensor`` has shape (batch, height, width, channels)."""
        self.require(len(tensor.shape) == 4 and min(tensor.shape) > 0,
                     f"its input has shape {tensor.shape}")
        return tensor

    def axis(self, axis, rank):
        """An axis, counted from the front."""
        self.require(-rank <= axis < rank, f"it has axis {axis} of {rank}")
        return axis % rank

    def makes(self, *shapes):
        """Check the shapes of the outputs."""
        self.require(len(self.outputs) == len(shapes),
                     f"it has {len(self.outputs)} outputs instead of {len(shapes)}")
        for tensor, shape in zip(self.outputs, shapes):
            self.require(tensor.shape == tuple(shape),
                         f"it makes {tuple(shape)}, but its output has shape {tensor.shape}")

    def copies(self, tensor):
        """Check that the outputs have the type of ``tensor``."""
        for output in self.outputs:
            self.require(output.dtype == tensor.dtype,
                         f"it makes {output.dtype} from {tensor.dtype}")

    def keeps_quantization(self, *tensors):
        """Check that ``tensors`` have the scale and zero point of the output."""
        for tensor in dict.fromkeys(tensors):
            for one, other in ((tensor.scale, self.outputs[0].scale),
                               (tensor.zero_point, self.outputs[0].zero_point)):
                self.require(np.array_equal(one, other) if one is not None else other is None,
                             f"{tensor.name!r} and its output are quantised differently")


def reader(*names):
    """Register a function as the reader of the operators ``names``."""
    def register(function):
        for name in names:
            READERS[name] = function
        return function
    return register


def window(call, sizes, kernel, strides, padding, dilation=(1, 1)):
    """Output sizes, and padding as ((top, bottom), (left, right))."""
    for values, what in ((kernel, "kernel"), (strides, "stride"), (dilation, "dilation")):
        call.require(min(values) > 0, f"it has a {what} of {values}")
    call.require(padding in (tflite.Padding.SAME, tflite.Padding.VALID),
                 f"it has padding {padding}")
    new_sizes, pads = [], []
    for size, taps, stride, rate in zip(sizes, kernel, strides, dilation):
        extent = (taps - 1) * rate + 1
        same   = padding == tflite.Padding.SAME
        new    = -(-size // stride) if same else (size - extent) // stride + 1
        call.require(new > 0, f"its kernel of {kernel} does not fit into {tuple(sizes)}")
        total  = max((new - 1) * stride + extent - size, 0) if same else 0
        new_sizes.append(new)
        pads.append((total // 2, total - total // 2))
    return new_sizes, tuple(pads)


def given(*tensors):
    """``tensors`` without those at the end that are left out."""
    return [tensor for tensor in tensors if tensor is not None]
