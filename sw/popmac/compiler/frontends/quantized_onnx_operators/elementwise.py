"""Functions of values, between codes and real numbers, and sums and products of tensors."""

import numpy as np

from ....golden.layers import compute
from ....graph import Graph, Node, Tensor
from ..quantized_onnx_values import Codes, Constant, Input, Real
from .registry import RefusedError, codes_of, reader, require, scale_of, zero_of


#: Operators of real numbers, value by value.
FUNCTIONS = ("Abs", "Add", "Ceil", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "FastGelu", "Floor",
             "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min",
             "Mish", "Mul", "Neg", "Pow", "QuickGelu", "Reciprocal", "Relu", "Round", "Selu",
             "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "ThresholdedRelu")


@reader("QuantizeLinear")
def _quantize(loader, node, label, operands):
    x, scale, *zero = operands
    scale = scale_of(scale)
    zero, offset = zero_of(zero[0] if zero else None)
    if isinstance(x, Input):
        require(x.dtype == "float32", f"its input is {x.dtype}")
        return loader.quantised_input(x, scale, zero, "uint8" if offset else "int8")
    require(isinstance(x, Real), "its input is not made of quantised values", "quantise it")
    codes = x.codes
    if not x.nodes and codes.offset == offset and codes.tensor.scale[0] == scale \
            and codes.tensor.zero_point[0] + offset == zero:
        return loader.made(codes, node.output[0])
    table = loader.table(codes, (*x.chain, node), x.source, node.output[0])
    return loader.looked_up(label, node, codes, table, scale, zero, offset)


@reader("DequantizeLinear")
def _dequantize(loader, node, label, operands):
    codes = codes_of(loader, *[*operands, None][:3])
    return Real(codes, node.input[0], (node,))


@reader(*FUNCTIONS)
def _function(loader, node, label, operands):
    computed = [value for value in operands if value is not None
                and not isinstance(value, Constant)]
    require(all(isinstance(value, Real) for value in computed),
            f"{node.op_type} of real numbers that are not made of quantised values",
            "quantise its operands")
    require(len({value.source for value in computed}) == 1,
            f"{node.op_type} of two tensors is computed in floating point",
            "quantise its operands and its output")
    require(all(value is None or not isinstance(value, Constant) or value.values.size <= 1
                for value in operands), f"{node.op_type} with constants per channel is computed "
            "in floating point", "quantise its output")
    chain = dict.fromkeys(id(n) for value in computed for n in value.chain)
    nodes = {id(n): n for value in computed for n in value.chain}
    return Real(computed[0].codes, computed[0].source, (*(nodes[i] for i in chain), node))


@reader("QLinearSigmoid", "QLinearLeakyRelu")
def _tabulated(loader, node, label, operands):
    x, x_scale, x_zero, y_scale, y_zero = operands
    x     = codes_of(loader, x, x_scale, x_zero)
    zero, offset = zero_of(y_zero)
    table = loader.table(x, [node], node.input[0], node.output[0])
    return loader.looked_up(label, node, x, table, scale_of(y_scale), zero, offset)


@reader("QLinearAdd", "QLinearMul")
def _arithmetic(loader, node, label, operands):
    pairs, scales = operands[:6], operands[6:]
    y_zero, offset = zero_of(scales[1] if len(scales) > 1 else None)
    y_scale = scale_of(scales[0])
    inputs  = []
    for value, scale, zero in (pairs[:3], pairs[3:]):
        if isinstance(value, Constant):
            inputs.append((value, scale_of(scale), *zero_of(zero)))
        else:
            codes = loader.in_order(codes_of(loader, value, scale, zero))
            inputs.append((codes, codes.tensor.scale[0], int(codes.tensor.zero_point[0])
                           + codes.offset, codes.offset))
    require(all(part[3] == offset for part in inputs), "its operands are of different types")
    shapes = [part[0].values.shape if isinstance(part[0], Constant) else part[0].shape
              for part in inputs]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RefusedError(f"its operands have shapes {shapes[0]} and {shapes[1]}",
                           "check the model") from None
    moving = [part[0] for part in inputs if isinstance(part[0], Codes)]
    lead   = max(moving, key=lambda codes: len(codes.shape))
    require(len(lead.shape) == len(shape), f"its operands have shapes {shapes[0]} and {shapes[1]}",
            "use operands of the same rank")
    made   = loader.result(node, shape, lead.axes, y_scale, y_zero, offset)
    tensors = [_operand(loader, label, part, len(shape), lead.axes) for part in inputs]
    op     = node.op_type.removeprefix("QLinear")
    loader.add(op, label, tensors, [made.tensor], activation="none", rounding="single",
               offset=offset)
    _compare(loader, node, inputs, made, op, y_scale, y_zero, offset)
    return made


def _operand(loader, label, part, rank, axes):
    """Tensor of an operand with ``rank`` axes, in the order ``axes``."""
    value, scale, zero, offset = part
    if isinstance(value, Constant):
        values = (value.values.astype(np.int64) - offset).astype(np.int8)
        values = values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(axes)
        return loader.constant(f"{label} constant", np.ascontiguousarray(values),
                               scale=np.array([scale], np.float32),
                               zero_point=np.array([zero - offset], np.int64))
    if len(value.shape) < rank:
        plain  = loader.arranged(value, range(len(value.shape)))
        shape  = (1,) * (rank - len(value.shape)) + value.shape
        tensor = loader.coded(f"{plain.tensor.name} for {label}", shape, scale, zero - offset)
        loader.add("Reshape", tensor.name, [plain.tensor], [tensor], shape=shape)
        value  = Codes(tensor, shape, tuple(range(rank)), offset)
    return loader.arranged(value, axes).tensor


def _compare(loader, node, inputs, made, op, y_scale, y_zero, offset):
    """Refuse the node unless the runtime computes what the golden model does, for all pairs."""
    low    = -128 + offset
    codes  = np.arange(low, low + 256).astype("uint8" if offset else "int8")
    first, second = np.repeat(codes, 256), np.tile(codes, 256)
    known  = {n: loader.values[n].values for n in node.input
              if isinstance(loader.values.get(n), Constant)}
    names  = ["popmac first", "popmac second"]
    twin   = loader.onnx.NodeProto()
    twin.CopyFrom(node)
    twin.input[0], twin.input[3] = names
    found  = loader.evaluate([twin], {**known, **dict(zip(names, (first, second)))})
    found  = found[node.output[0]].astype(np.int64) - offset

    tensors = {}
    for name, (_, scale, zero, _) in zip(names, inputs):
        tensors[name] = _coded(name, scale, zero - offset)
    tensors["result"] = _coded("result", y_scale, y_zero - offset)
    graph = Graph(name="pairs", dialect="onnx", nodes=(), tensors=tensors, inputs=(), outputs=())
    twin  = Node(op=op, name="pairs", inputs=tuple(names), outputs=("result",),
                 attrs=loader.nodes[-1].attrs)
    values = {name: (array.astype(np.int64) - offset).astype(np.int8)
              for name, array in zip(names, (first, second))}
    expected, = compute(graph, twin, values)
    require(np.array_equal(found, expected),
            "this processor's onnxruntime rounds it in another way than those with AVX2 and FMA",
            "use a processor with AVX2")


def _coded(name, scale, zero_point):
    """Tensor of a code per pair."""
    return Tensor(name=name, shape=(65536,), dtype="int8", scale=np.array([scale], np.float32),
                  zero_point=np.array([zero_point], np.int64))
