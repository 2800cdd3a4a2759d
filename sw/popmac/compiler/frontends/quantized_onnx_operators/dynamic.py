"""Dynamic quantisation: matrix products whose scales are computed, and what lies between them.

Numbers in single precision that are computed on the host are exact where IEEE 754 says what the
result is: sums, products, quotients, limits. Other functions differ between processors; they can
be functions of codes, between QuantizeLinear and QuantizeLinear, which are tabulated.
"""

import numpy as np

from ..quantized_onnx_values import Codes, Computed, Constant, DynamicCodes, Input, Real
from .movement import _constant
from .registry import RefusedError, number, require, scale_of, zero_of


__all__ = ["DYNAMIC", "is_dynamic"]


#: Functions by operator, as READERS, for operands of which one is computed in each run.
DYNAMIC = {}

_KINDS = (Computed, DynamicCodes)


def is_dynamic(node, operands):
    """Whether a node computes with numbers whose scale is not known before."""
    return node.op_type in ("DynamicQuantizeLinear", "MatMulInteger") \
        or any(isinstance(value, _KINDS) for value in operands) \
        or (node.op_type in ("Add", "Div", "Max", "Min", "Mul", "Sub") and len({
            id(value) for value in operands if isinstance(value, (Real, Input))}) > 1)


def _reader(*names):
    def register(function):
        DYNAMIC.update(dict.fromkeys(names, function))
        return function
    return register


def _made(loader, node, dtype, shape, index=0):
    return Computed(loader.tensor(node.output[index], shape, dtype))


def _real(loader, value):
    """Tensor of float32, whatever ``value`` is."""
    if isinstance(value, Computed):
        return value.tensor
    if isinstance(value, Constant):
        require(value.values.dtype == np.float32, f"an operand is {value.values.dtype}")
        return loader.constant("constant", value.values)
    if isinstance(value, Input):
        require(value.dtype == "float32" and not value.moves,
                f"its input is {value.dtype}, or moved", "quantise it")
        known = loader.tensors.get(value.name)
        require(known is None or known.scale is None, f"input {value.name!r} is used with a scale "
                "and without", "quantise it in one way")
        return known or loader.tensor(value.name, value.shape, "float32")
    require(isinstance(value, Real), "its operand is not real", "check the model")
    codes = loader.arranged(value.codes, range(len(value.codes.shape)))
    table = loader.table(codes, value.chain, value.source, value.chain[-1].output[0])
    name  = f"{value.chain[-1].output[0]} (real)"
    known = loader.tensors.get(name)
    if known is None:
        known = loader.tensor(name, codes.shape, "float32")
        loader.add("Lookup", name, [codes.tensor, loader.constant(
            f"{name} table", table.astype(np.float32))], [known])
    return known


@_reader("DynamicQuantizeLinear")
def _quantize(loader, node, label, operands):
    x     = _real(loader, operands[0])
    codes = loader.coded(f"{node.output[0]} (int8)", x.shape, np.float32(1), 0)
    scale = loader.tensor(node.output[1], (), "float32")
    zero  = loader.coded(node.output[2], (), np.float32(1), 0, "uint8")
    loader.add("DynamicQuantize", label, [x], [codes, scale, zero])
    loader.made(Codes(codes, x.shape, tuple(range(len(x.shape))), 128), node.output[0])
    return DynamicCodes(codes), Computed(scale), DynamicCodes(zero)


@_reader("MatMulInteger")
def _product(loader, node, label, operands):
    x, weights, zero, weight_zero = [*operands, None, None][:4]
    require(isinstance(weights, Constant) and weights.values.ndim == 2 and weights.values.size,
            "it multiplies two computed tensors, or more than matrices",
            "use constant weights with two axes")
    if isinstance(x, Input):
        require(x.dtype in ("int8", "uint8") and not x.moves, "its input is no tensor of codes")
        codes = loader.quantised_input(x, np.float32(1), 0, x.dtype).tensor
        dtype = x.dtype
    else:
        require(isinstance(x, DynamicCodes), "its codes have a scale that is known before",
                "quantise this layer statically, with its output, or dynamically")
        codes, dtype = x.tensor, "uint8"
    require(codes.shape and codes.shape[-1] == len(weights.values),
            f"it multiplies {codes.shape} by {weights.values.shape}", "use matrices")
    if not isinstance(zero, DynamicCodes):
        start = np.zeros((), dtype) if zero is None else zero.values if \
            isinstance(zero, Constant) else None
        require(start is not None and start.size == 1, "its zero point is no number")
        zero = Computed(loader.constant(
            f"{label} zero point", start.reshape(()).astype(dtype), scale=np.ones(1, np.float32),
            zero_point=np.zeros(1, np.int64)))
    values = weights.values
    require(values.dtype in (np.int8, np.uint8), f"its weights are {values.dtype}",
            "quantise the weights to 8 bits")
    offset = 128 * (values.dtype == np.uint8)
    matrix = (values.astype(np.int64) - offset).astype(np.int8).T
    centre = np.zeros(1, np.int64) if weight_zero is None else weight_zero.values \
        if isinstance(weight_zero, Constant) else None
    require(centre is not None and centre.size in (1, len(matrix)),
            "the zero point of its weights is not constant")
    centre = centre.astype(np.int32).reshape(-1) - np.int32(offset)
    shape  = (*codes.shape[:-1], len(matrix))
    whole  = loader.tensor(f"{node.output[0]} (int8 x int8)", shape, "int32")
    loader.add("SumFullyConnected", f"{label} sums", [codes, loader.constant(
        f"{label} weights", np.ascontiguousarray(matrix), scale=np.ones(1, np.float32),
        zero_point=np.zeros(1, np.int64))], [whole])
    made   = _made(loader, node, "int32", shape)
    loader.add("CentredSums", label, [
        whole, codes, zero.tensor,
        loader.constant(f"{label} sums of weights", matrix.sum(axis=1, dtype=np.int32)),
        loader.constant(f"{label} zero points", centre)], [made.tensor])
    loader.made(Codes(made.tensor, shape, tuple(range(len(shape))), 0), node.output[0])
    return made


@_reader("Cast")
def _cast(loader, node, label, operands):
    x, = operands
    require(isinstance(x, Computed) and loader.attributes(node)["to"] == 1
            and x.tensor.dtype in ("int32", "float32"),
            "it makes other than single precision of whole numbers", "use float32")
    made = _made(loader, node, "float32", x.tensor.shape)
    loader.add("Real", label, [x.tensor], [made.tensor], function="Cast")
    return made


@_reader("Abs", "Add", "Div", "Max", "Min", "Mul", "Neg", "Relu", "Sub")
def _function(loader, node, label, operands):
    tensors = [_real(loader, value) for value in operands]
    require(len(tensors) <= 2 and all(t.dtype == "float32" for t in tensors),
            "its operands are not one or two of single precision", "use float32")
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError:
        raise RefusedError("its operands have different shapes", "check the model") from None
    made = _made(loader, node, "float32", shape)
    loader.add("Real", label, tensors, [made.tensor], function=node.op_type)
    return made


@_reader("Clip")
def _clip(loader, node, label, operands):
    x, *limits = operands
    x = _real(loader, x)
    limits = [*limits, None, None][:2]
    for function, limit in zip(("Max", "Min"), limits):
        if limit is None:
            continue
        bound = loader.constant(f"{label} limit", np.asarray(number(limit, "limit"), np.float32))
        y = loader.tensor(node.output[0] if limit is limits[1] else f"{label} from below",
                          x.shape, "float32")
        loader.add("Real", label, [x, bound], [y], function=function)
        x = y
    return Computed(x)


@_reader("QuantizeLinear")
def _quantize_statically(loader, node, label, operands):
    x, scale, *zero = operands
    x = _real(loader, x)
    scale = scale_of(scale)
    zero, offset = zero_of(zero[0] if zero else None)
    made = loader.result(node, x.shape, tuple(range(len(x.shape))), scale, zero, offset)
    loader.add("QuantizeEven", label, [x], [made.tensor])
    return made


@_reader("Identity")
def _identity(loader, node, label, operands):
    return operands[0]


@_reader("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(loader, node, label, operands):
    x     = _computed(operands[0])
    known = {n: loader.values[n].values for n in node.input[1:] if n}
    shape = loader.evaluate([node], {**known, node.input[0]: np.zeros(x.shape, x.dtype)})[
        node.output[0]].shape
    made  = _made(loader, node, x.dtype, shape)
    loader.add("Reshape", label, [x], [made.tensor], shape=shape)
    return made


@_reader("Transpose")
def _transpose(loader, node, label, operands):
    x    = _computed(operands[0])
    perm = tuple(loader.attributes(node).get("perm", range(len(x.shape))[::-1]))
    require(sorted(perm) == list(range(len(x.shape))), f"it has permutation {perm}")
    made = _made(loader, node, x.dtype, [x.shape[axis] for axis in perm])
    loader.add("Transpose", label, [x], [made.tensor], permutation=perm)
    return made


@_reader("Split")
def _split(loader, node, label, operands):
    x, *sizes = operands
    x     = _computed(x)
    attrs = loader.attributes(node)
    axis  = attrs.get("axis", 0) % len(x.shape)
    each  = -(-x.shape[axis] // len(node.output))
    sizes = _constant(sizes[0], "sizes") if sizes and sizes[0] is not None else \
        list(attrs.get("split") or [min(each, x.shape[axis] - i * each)
                                    for i in range(len(node.output))])
    require(len(sizes) == len(node.output) and min(sizes) > 0 and sum(sizes) == x.shape[axis],
            f"it has sizes {sizes} for shape {x.shape}")
    made  = tuple(_made(loader, node, x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1:]), i)
                  for i, size in enumerate(sizes))
    loader.add("Split", label, [x], [part.tensor for part in made], axis=axis, sizes=tuple(sizes))
    return made


def _computed(value):
    require(isinstance(value, Computed), "it moves codes whose scale is computed",
            "quantise behind it")
    return value.tensor
