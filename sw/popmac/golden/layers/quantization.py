"""Between codes of different types, and between codes and real numbers."""

import numpy as np

from ..arithmetic import quantize_multiplier, real_multiplier, rescale, round_away, saturate
from .registry import operator


__all__ = ["dequantize", "quantize", "quantize_even"]


@operator("Quantize", "float32 -> int8", "float32 -> uint8", "int8 -> int8", "int8 -> uint8",
          "uint8 -> int8", "uint8 -> uint8")
def quantize(output, x):
    """``y = clamp(round(x / sy) + zy)``, or ``y = clamp(rescale(x - zx, sx / sy) + zy)``.

    The first, halves away from zero and in single precision, for real ``x``; the second for
    codes. TensorFlow Lite's ``reference_ops::AffineQuantize`` and ``Requantize``.
    """
    if x.values.dtype == np.float32:
        # What does not fit in 32 bits is undefined in the kernel; it is clamped here. NaN is 0.
        with np.errstate(over="ignore"):
            codes = np.clip(np.nan_to_num(x.values / output.scale[0]), -2.0**30, 2.0**30)
        codes = round_away(codes).astype(np.int64)
    else:
        codes = rescale(x.centred, *quantize_multiplier(
            real_multiplier(x.scale, divisor=output.scale[0])))
    return saturate(codes + output.zero_point[0], output.dtype)


@operator("Dequantize", "int8 -> float32", "uint8 -> float32")
def dequantize(output, x):
    """``y = sx * (x - zx)``, computed in double precision and rounded.

    TensorFlow Lite's ``reference_ops::Dequantize``.
    """
    with np.errstate(over="ignore"):
        return (np.float64(x.scale) * x.centred).astype(np.float32)


@operator("QuantizeEven", "float32 -> int8", "float32 -> uint8")
def quantize_even(output, x):
    """``y = clamp(rint(x / sy) + zy)`` in single precision, halves to even.

    ONNX ``QuantizeLinear``.
    """
    with np.errstate(over="ignore"):
        whole = np.clip(np.rint(x.values / output.scale[0]), -2.0**30, 2.0**30)
    return saturate(whole.astype(np.int64) + output.zero_point[0], output.dtype)
