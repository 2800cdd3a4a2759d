"""What goes into a session and comes out: shapes, types, and real values."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..golden.layers.registry import OPERATORS, Operand
from ..graph import DTYPES, Tensor


__all__ = ["TensorInfo", "Codec"]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    Parameters
    ----------
    name : str
    shape : tuple of int
        As in the model. A leading 1 may be left out of what goes in, and is left out of what
        comes out.
    dtype : str
        Of the model's own values.
    scale, zero_point : float and int, or None
        A code ``q`` stands for ``(q - zero_point) * scale``.
    """

    name:       str
    shape:      tuple
    dtype:      str
    scale:      float | None
    zero_point: int | None


class Codec:
    """Checks and converts the values of one input or output.

    Parameters
    ----------
    tensor : Tensor
    dialect : str
        Of its graph: how its reference rounds real values to codes.
    """

    def __init__(self, tensor: Tensor, dialect: str = "tflite"):
        self._rounding = "QuantizeEven" if dialect == "onnx" else "Quantize"
        self.tensor = tensor
        quantised   = tensor.scale is not None and tensor.scale.size == 1
        self.info   = TensorInfo(
            name=tensor.name, shape=tensor.shape, dtype=tensor.dtype,
            scale=float(tensor.scale[0]) if quantised else None,
            zero_point=int(tensor.zero_point[0]) if quantised else None)

    @property
    def sample_shape(self):
        """Shape without a leading 1."""
        shape = self.tensor.shape
        return shape[1:] if shape[:1] == (1,) else shape

    def encode(self, values):
        """Values of samples in the model's shape and type.

        Parameters
        ----------
        values : ndarray (samples, ...)
            Codes in the model's own type, or real values as float32.

        Returns
        -------
        ndarray (samples, ...)

        Raises
        ------
        InputError
            If shape or type are wrong.
        """
        info  = self.info
        shape = values.shape[1:]
        # Axes of size 1 say nothing: files of samples often lack them.
        if [n for n in shape if n != 1] != [n for n in info.shape if n != 1]:
            raise InputError(f"input {info.name!r} must have shape {info.shape}, its leading 1 "
                             f"optional, not {shape}")
        values = values.reshape(len(values), *info.shape)
        if values.dtype == DTYPES[info.dtype]:
            return values
        if values.dtype == np.float32 and info.scale is not None:
            if not np.all(np.isfinite(values)):
                raise InputError(f"input {info.name!r} contains values that are not finite")
            real = Tensor(name=info.name, shape=values.shape, dtype="float32")
            return OPERATORS[self._rounding](self.tensor, Operand(real, values))
        real = " (codes) or float32 (real values)" if info.scale is not None else ""
        raise InputError(f"input {info.name!r} must be {info.dtype}{real}, not {values.dtype}; "
                         "convert it with astype()")

    def decode(self, values, *, real):
        """Values of samples as the user gets them: without the leading 1; real values if so."""
        if real and self.info.scale is not None:
            output = Tensor(name=self.info.name, shape=values.shape, dtype="float32")
            values = OPERATORS["Dequantize"](output, Operand(self.tensor, values))
        return values.reshape(len(values), *self.sample_shape)
