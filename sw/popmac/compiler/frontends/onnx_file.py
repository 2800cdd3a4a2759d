"""ONNX files: what kind they are of, and what is checked in all of them."""

from ...errors import ModelFormatError
from .onnx_runtime import import_onnx
from .qonnx import load_qonnx
from .quantized_onnx import load_quantized_onnx


__all__ = ["load_onnx", "parse_onnx"]


MAX_NODES = 1 << 14

#: Operators of QONNX.
QONNX = {"BipolarQuant", "MultiThreshold", "Quant", "Trunc"}


def load_onnx(data, name):
    """Graph of an ONNX file: QONNX, or quantised for onnxruntime (QDQ or QOperator).

    Parameters
    ----------
    data : bytes
        Contents of the file. It is not trusted.
    name : str
        For messages.

    Raises
    ------
    ModelFormatError
        If the file is damaged.
    UnsupportedModelError
        With all operators that cannot be loaded exactly.
    ToolError
        If the packages of the extra ``onnx`` are missing.
    """
    model = parse_onnx(data, name)
    if is_quantized_onnx(model):
        return load_quantized_onnx(model, name)
    return load_qonnx(model, name)


def is_quantized_onnx(model):
    """Whether a model has onnxruntime's quantised operators, and none of QONNX."""
    kinds = {str(node.op_type) for node in model.graph.node} # bytes if they are no text
    return not kinds & QONNX and any(
        kind.startswith("QLinear") or kind in ("QuantizeLinear", "DequantizeLinear", "QGemm",
                                              "DynamicQuantizeLinear", "MatMulInteger")
        for kind in kinds)


def parse_onnx(data, name):
    """Model of a file, whose values are all inside of it.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ModelFormatError
    """
    onnx, _, _ = import_onnx()
    try:
        model = onnx.load_model_from_string(bytes(data))
    except Exception as error: # the parser raises what it likes
        raise ModelFormatError(f"{name}: is no ONNX file: {' '.join(str(error).split())}") \
            from None
    if not model.graph.node or len(model.graph.node) > MAX_NODES:
        raise ModelFormatError(f"{name}: has {len(model.graph.node)} operators")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelFormatError(f"{name}: values of {tensor.name!r} are in another file; "
                                   "save the model with its values inside")
    return model
