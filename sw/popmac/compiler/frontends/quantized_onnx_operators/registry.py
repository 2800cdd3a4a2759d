"""What the readers of operators have in common."""

import numpy as np

from ..quantized_onnx_values import Codes, Constant


__all__ = ["READERS", "RefusedError", "codes_of", "number", "reader", "require", "scale_of",
           "window", "zero_of"]


#: Functions by operator; see the package.
READERS = {}

#: Of the scales that are accepted; the largest is its reciprocal. The runtime's float32 holds
#: what can be made of three of them.
SMALLEST_SCALE = 2.0**-40


class RefusedError(Exception):
    """A node cannot be loaded: reason and remedy."""


def reader(*names):
    """Register a function as the reader of the operators ``names``."""
    def register(function):
        for name in names:
            READERS[name] = function
        return function
    return register


def require(condition, reason, remedy="change the model, or compute this part elsewhere"):
    """Refuse the node unless ``condition`` holds."""
    if not condition:
        raise RefusedError(reason, remedy)


def number(value, what):
    """The only entry of a constant."""
    require(isinstance(value, Constant) and value.values.size == 1,
            f"its {what} is not one constant number", "quantise activations with one scale")
    return value.values.reshape(-1)[0]


def scale_of(value):
    """A scale, with which float32 numbers stay finite."""
    scale = number(value, "scale")
    require(SMALLEST_SCALE <= scale <= 1 / SMALLEST_SCALE, f"its scale is {scale}", # not NaN either
            "quantise the model again")
    return scale


def zero_of(value, unsigned=True):
    """Zero point, and the offset of its type: 128 for uint8."""
    if value is None: # left out
        return 0, 128 * unsigned
    zero = number(value, "zero point")
    require(zero.dtype in (np.uint8, np.int8), f"its codes are {zero.dtype}",
            "quantise activations to 8 bits")
    return int(zero), 128 * (zero.dtype == np.uint8)


def codes_of(loader, value, scale, zero):
    """Codes of an operand, read with the scale and zero point that the operator says."""
    scale = scale_of(scale)
    zero, offset = zero_of(zero)
    if not isinstance(value, Codes):
        value = loader.quantised_input(value, scale, zero, "uint8" if offset else "int8")
    require(value.offset == offset, "its operands are of different types")
    return loader.scaled(value, scale, zero)


def window(attrs, sizes, kernel):
    """Output sizes, and strides, dilation and padding ((top, bottom), (left, right)).

    Parameters
    ----------
    attrs : dict
        Of the node.
    sizes, kernel : (int, int)
    """
    strides  = tuple(attrs.get("strides") or (1, 1))
    dilation = tuple(attrs.get("dilations") or (1, 1))
    require(len(strides) == len(dilation) == len(kernel) == len(sizes) == 2
            and min(*strides, *dilation, *kernel) > 0, "it has no two dimensions",
            "reshape it to images")
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    mode   = (attrs.get("auto_pad") or b"NOTSET").decode()
    pads   = list(attrs.get("pads") or (0, 0, 0, 0))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, s, e in zip(sizes, strides, extent)]
        first  = [total // 2 if mode == "SAME_UPPER" else total - total // 2 for total in totals]
        pads   = [*first, *(total - before for total, before in zip(totals, first))]
    elif mode == "VALID":
        pads = [0, 0, 0, 0]
    require(len(pads) == 4 and min(pads) >= 0, f"it has padding {pads}")
    padding = (pads[0], pads[2]), (pads[1], pads[3])
    spaces  = [n + sum(p) - e for n, p, e in zip(sizes, padding, extent)]
    require(min(spaces) >= 0, f"its kernel of {tuple(kernel)} does not fit into {tuple(sizes)}")
    require(not attrs.get("ceil_mode") or all(s % t == 0 for s, t in zip(spaces, strides)),
            "its output sizes are rounded up", "pad the image instead")
    return [space // stride + 1 for space, stride in zip(spaces, strides)], {
        "strides": strides, "dilation": dilation, "padding": padding}
