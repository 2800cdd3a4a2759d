"""What is checked of a quantised ONNX model before the runtime sees it."""

import math

import numpy as np

from ...errors import ModelFormatError, UnsupportedModelError


__all__ = ["OPERATORS", "check_model", "fix_batch"]


#: Most elements that a tensor may have.
MAX_ELEMENTS = 1 << 26

#: Most rows, columns or channels that padding may add.
MAX_PADDING = 1 << 12

#: Operators that may be in a file. None makes more values than its operands let expect, but for
#: padding, whose size is checked.
OPERATORS = {
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat",
    "Constant", "Conv", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear",
    "Elu", "Erf", "Exp", "Flatten", "Floor", "Gather", "Gelu", "Gemm", "GlobalAveragePool",
    "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "MatMul", "MatMulInteger", "Max", "MaxPool", "Min", "Mish", "Mul",
    "Neg", "Pad", "Pow", "QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearMul",
    "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear", "Reciprocal", "Relu", "Reshape",
    "Round", "Selu", "Shape", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "ThresholdedRelu", "Transpose", "Unsqueeze",
}

DOMAINS = ("", "ai.onnx", "com.microsoft")

#: Operands that the runtime reads without looking whether they are there: it ends the process if
#: they are not.
LEAST_OPERANDS = {
    "QGemm": 6, "QLinearAdd": 8, "QLinearAveragePool": 5, "QLinearConcat": 5, "QLinearConv": 8,
    "QLinearGlobalAveragePool": 5, "QLinearLeakyRelu": 5, "QLinearMatMul": 8, "QLinearMul": 8,
    "QLinearSigmoid": 5, "QLinearSoftmax": 5,
}


def fix_batch(model, name):
    """Give inputs a batch of 1 where it is open, and forget shapes that follow from that.

    Raises
    ------
    ModelFormatError
        If another axis is open.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    open_axes = False
    for item in model.graph.input:
        if item.name in constants:
            continue
        dims = item.type.tensor_type.shape.dim
        if dims and not dims[0].dim_value:
            dims[0].dim_value = 1
            open_axes = True
        shape = tuple(d.dim_value for d in dims)
        if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelFormatError(f"{name}: input {item.name!r} has shape {shape}; it must be of "
                                   "known size")
    if open_axes:
        del model.graph.value_info[:]
        for item in model.graph.output:
            item.type.tensor_type.ClearField("shape")


def check_model(onnx, model, name):
    """Check operators, types and sizes.

    Parameters
    ----------
    onnx : module
    model : onnx.ModelProto
    name : str
        For messages.

    Raises
    ------
    ModelFormatError
        If values are damaged, or something is larger than it can be.
    UnsupportedModelError
        With all operators that popmac does not know.
    """
    problems = []
    for index, node in enumerate(model.graph.node):
        label = node.name or f"{index} {node.op_type}"
        if node.op_type not in OPERATORS or node.domain not in DOMAINS:
            problems.append((label, f"popmac has no {node.op_type} in quantised networks",
                             "quantise with onnxruntime.quantization, or compute it elsewhere"))
    if problems:
        raise UnsupportedModelError(problems)
    known = {}
    for tensor in model.graph.initializer:
        known[tensor.name] = _values(onnx, tensor, name)
    constant = set(known)
    for index, node in enumerate(model.graph.node):
        label = node.name or f"{index} {node.op_type}"
        least = LEAST_OPERANDS.get(node.op_type, 0)
        if len(node.input) < least:
            raise ModelFormatError(f"{name}: {label} has {len(node.input)} operands, and needs "
                                   f"{least}")
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise ModelFormatError(f"{name}: {label} contains a graph")
            if attribute.HasField("t"):
                known.update((out, _values(onnx, attribute.t, name)) for out in node.output)
            if any(abs(number) > MAX_PADDING for number in attribute.ints) \
                    and node.op_type not in ("Constant", "Reshape", "Slice", "Split"):
                raise ModelFormatError(f"{name}: {label} has {attribute.name} "
                                       f"{list(attribute.ints)}")
        if node.op_type == "Pad" and len(node.input) > 1:
            pads = known.get(node.input[1])
            if pads is None or pads.size and np.abs(pads.astype(np.float64)).max() > MAX_PADDING:
                raise ModelFormatError(f"{name}: {label} has padding that is not known, or larger "
                                       f"than {MAX_PADDING}")
        # What is constant, the runtime computes at once, whatever it takes.
        if all(operand in constant for operand in node.input if operand) and node.input:
            if node.op_type not in FOLDED:
                raise ModelFormatError(f"{name}: {label} computes {node.op_type} of constants")
            constant.update(node.output)
        elif not node.input:
            constant.update(node.output)


#: Operators whose results are not larger than their operands, so that constants may be folded.
FOLDED = {"Abs", "Cast", "Clip", "Concat", "DequantizeLinear", "Flatten", "Floor", "Gather",
          "Identity", "Neg", "QuantizeLinear", "Reshape", "Shape", "Slice", "Squeeze",
          "Transpose", "Unsqueeze"}


def _values(onnx, tensor, name):
    """Values of a constant, whose size agrees with its shape."""
    size = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0 or size > MAX_ELEMENTS:
        raise ModelFormatError(f"{name}: constant {tensor.name!r} has shape {list(tensor.dims)}")
    stored = len(tensor.raw_data) or 8 * sum(len(field) for field in (
        tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data,
        tensor.uint64_data, tensor.string_data))
    if 8 * stored < size:
        raise ModelFormatError(f"{name}: values of {tensor.name!r} are damaged: {stored} bytes for "
                               f"shape {list(tensor.dims)}")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ModelFormatError(f"{name}: values of {tensor.name!r} are damaged: {error}") from None
