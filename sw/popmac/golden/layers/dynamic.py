"""Matrices of codes whose scale is found in each run, and the real numbers around them."""

import numpy as np

from .registry import operator


__all__ = ["centred_sums", "dynamic_quantize", "real", "sum_fully_connected"]


@operator("SumFullyConnected", "int8 weights -> int32")
def sum_fully_connected(output, x, weights):
    """``sum(x * w)`` over the last axis, as it is; weights are (output channel, input)."""
    # Exact: doubles hold all integers up to 2**53.
    sums = x.values.astype(np.float64) @ weights.values.T.astype(np.float64)
    return sums.astype(np.int64).astype(np.int32)


@operator("CentredSums", "int32 int8 uint8 int32 int32 -> int32",
          "int32 int8 int8 int32 int32 -> int32")
def centred_sums(output, sums, x, zero_point, weight_sums, weight_zero):
    """Sums of ``(x - zero) * (w - weight_zero)`` from those of ``x * w``, wrapped to 32 bits.

    ``x`` and ``w`` are int8. Where ``zero_point`` is uint8, it is of codes that are 128 more.
    ``weight_sums`` are those of ``w`` per output channel. ONNX ``MatMulInteger``.
    """
    count  = x.values.shape[-1]
    zero   = zero_point.values.astype(np.int64) - 128 * (zero_point.values.dtype == np.uint8)
    other  = weight_zero.values.astype(np.int64)
    own    = x.values.sum(axis=-1, keepdims=True, dtype=np.int64)
    result = sums.values.astype(np.int64) - zero * weight_sums.values - own * other \
        + count * zero * other
    return result.astype(np.int32)


@operator("DynamicQuantize", "float32 -> int8 float32 uint8")
def dynamic_quantize(output, x):
    """Codes less 128, scale and zero point of uint8, from the values' own range and 0.

    ``s = (max - min) / 255``, ``z = rint(clip(-min / s, 0, 255))``,
    ``q = clip(rint(x / s) + z, 0, 255)``, in single precision; ``s`` is 1 where all values are 0.
    ONNX ``DynamicQuantizeLinear``.
    """
    low   = np.minimum(x.values.min(), np.float32(0))
    high  = np.maximum(x.values.max(), np.float32(0))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = np.float32(1) if low == high else (high - low) / np.float32(255)
        zero  = np.rint(np.clip(np.float32(0) - low / scale, 0, 255))
        codes = np.clip(np.nan_to_num(np.rint(x.values / scale)) + zero, 0, 255)
    return ((codes - 128).astype(np.int8), np.asarray(scale, np.float32).reshape(()),
            np.asarray(zero).astype(np.uint8).reshape(()))


_FUNCTIONS = {
    "Abs": np.abs, "Add": np.add, "Div": np.divide, "Max": np.maximum, "Min": np.minimum,
    "Mul": np.multiply, "Neg": np.negative, "Sub": np.subtract,
    "Relu": lambda x: np.maximum(x, np.float32(0)),
    "Cast": lambda x: x.astype(np.float32),
}


@operator("Real")
def real(output, *operands, function):
    """A function that IEEE 754 defines to the last bit, of numbers in single precision."""
    with np.errstate(all="ignore"): # infinity and NaN are results like others
        return np.asarray(_FUNCTIONS[function](*(o.values for o in operands)), np.float32)
