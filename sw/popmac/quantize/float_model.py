"""Float models in the form that quantisation starts from."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import numpy_helper

from ..compiler.frontends.onnx_runtime import IR_VERSION
from ..errors import ModelFormatError, UnsupportedModelError


__all__ = ["SUPPORTED", "check_operators", "constants_of", "input_shapes", "load_float",
           "open_session", "simplify"]


#: Operators that are quantised. Others are refused.
SUPPORTED = frozenset({
    "Abs", "Add", "AveragePool", "Clip", "Concat", "Conv", "Elu", "Erf", "Exp", "Flatten", "Gemm",
    "GlobalAveragePool", "HardSigmoid", "HardSwish", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Neg",
    "Pad", "Relu", "Reshape", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Squeeze", "Tanh",
    "Transpose", "Unsqueeze"})

_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv",
              "QLinearMatMul", "ConvInteger", "MatMulInteger", "Quant", "BipolarQuant",
              "MultiThreshold"}

_REMEDIES = {
    "BatchNormalization": "put it behind a Conv or Gemm, or export the model in evaluation mode",
    "LSTM": "quantise the part in front of it", "GRU": "quantise the part in front of it",
    "Identity": "export the model again",
}

_REMEDY = "replace it by operators that are quantised (popmac quantize --help), or compute this " \
          "part elsewhere"

#: Opset that files are converted to at least: QuantizeLinear per channel begins at 13.
_OPSET = 13


def load_float(model):
    """Float model from a path, the bytes of a file, or a :class:`onnx.ModelProto`.

    Raises
    ------
    ModelFormatError
        If it cannot be read, is damaged, or has its values in other files.
    UnsupportedModelError
        If it is quantised already.
    """
    if isinstance(model, onnx.ModelProto):
        name, proto = "the model", onnx.ModelProto()
        proto.CopyFrom(model)
    else:
        name, data = "the model", model
        if not isinstance(model, bytes | bytearray | memoryview):
            name = str(model)
            try:
                data = Path(model).read_bytes()
            except OSError as error:
                raise ModelFormatError(f"{name}: {error.strerror}") from None
        try:
            proto = onnx.load_model_from_string(bytes(data))
        except Exception as error: # the parser raises what it likes
            raise ModelFormatError(f"{name}: is no ONNX file: "
                                   f"{' '.join(str(error).split())}") from None
    if not proto.graph.node:
        raise ModelFormatError(f"{name}: is no ONNX model, or one without operators")
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelFormatError(f"{name}: values of {tensor.name!r} are in another file; save "
                                   "the model with its values inside")
    problems = [(_label(index, node), f"the model is quantised already ({node.op_type})",
                 "give the float model") for index, node in enumerate(proto.graph.node)
                if node.op_type in _QUANTISED]
    if problems:
        raise UnsupportedModelError(problems[:1])
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    return proto


def _label(index, node):
    return f"{index} {node.op_type}" + (f" ({node.name})" if node.name else "")


def input_shapes(model):
    """Shapes of the inputs by name, the batch axis included; ``None`` where they are not fixed.

    Raises
    ------
    ModelFormatError
        If an input is no tensor of float32 numbers.
    """
    known  = {tensor.name for tensor in model.graph.initializer}
    shapes = {}
    for item in model.graph.input:
        if item.name in known:
            continue
        kind = item.type.tensor_type
        if kind.elem_type != onnx.TensorProto.FLOAT or not kind.shape.dim:
            raise ModelFormatError(f"input {item.name!r} must be float32 with a batch axis, not "
                                   f"{onnx.TensorProto.DataType.Name(kind.elem_type)}")
        shapes[item.name] = tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)
    if not shapes:
        raise ModelFormatError("the model has no inputs")
    return shapes


def constants_of(model):
    """Values of the constants of a model, by name."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def open_session(model, *, optimise=False):
    """An onnxruntime session on the CPU, of one thread, which complains by exceptions only.

    Parameters
    ----------
    model : onnx.ModelProto
    optimise : bool
        With graph optimisations; without them, the operators are those of the file.

    Raises
    ------
    ModelFormatError
        If onnxruntime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level   = 4
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])
    except Exception as error: # whatever the runtime raises
        raise ModelFormatError(f"onnxruntime refuses the model: "
                               f"{' '.join(str(error).split())[:300]}") from None


def simplify(model, shapes):
    """The same model for one sample, with batch normalisation folded into what is before it.

    Convolutions and fully connected layers have a bias, which others do not share; matrix products
    with constants are ``Gemm``.

    Parameters
    ----------
    model : onnx.ModelProto
    shapes : mapping of str to tuple of int
        Shapes of the inputs.

    Returns
    -------
    onnx.ModelProto
        With the shapes of all tensors.
    """
    model = _upgrade(model)
    known = {tensor.name for tensor in model.graph.initializer}
    for item in [i for i in model.graph.input if i.name in known]:
        model.graph.input.remove(item)
    for item in model.graph.input:
        dims = item.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes[item.name]):
            dim.Clear()
            dim.dim_value = size
    del model.graph.value_info[:]
    for item in model.graph.output: # inferred again, as the batch is of one sample now
        item.type.tensor_type.ClearField("shape")
    model = _optimised(model)
    from .fold import fold
    return onnx.shape_inference.infer_shapes(fold(model), data_prop=True)


def _upgrade(model):
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if version >= _OPSET:
        result = onnx.ModelProto()
        result.CopyFrom(model)
        return result
    try:
        return onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error: # whatever the converter raises
        raise ModelFormatError(f"the model is of opset {version} and cannot be converted to "
                               f"{_OPSET}: {' '.join(str(error).split())[:200]}") from None


def _optimised(model):
    """Constants folded, and batch normalisation where onnxruntime does it."""
    with tempfile.TemporaryDirectory() as folder:
        path    = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(path)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options,
                                         providers=["CPUExecutionProvider"])
        except Exception as error: # whatever the runtime raises
            raise ModelFormatError(f"onnxruntime refuses the model: "
                                   f"{' '.join(str(error).split())[:300]}") from None
        result = onnx.load(path)
    result.ir_version = min(result.ir_version, IR_VERSION)
    return result


def check_operators(model):
    """Refuse what cannot be quantised.

    Raises
    ------
    UnsupportedModelError
        With all operators that are not in :data:`SUPPORTED`, and convolutions and products whose
        weights are not constant.
    """
    known, problems = {t.name for t in model.graph.initializer}, []
    for index, node in enumerate(model.graph.node):
        label = _label(index, node)
        if node.op_type not in SUPPORTED or node.domain not in ("", "ai.onnx"):
            problems.append((label, f"popmac does not quantise {node.op_type}",
                             _REMEDIES.get(node.op_type, _REMEDY)))
        elif node.op_type in ("Conv", "Gemm") and node.input[1] not in known:
            problems.append((label, "its weights are computed", "use constant weights"))
    if problems:
        raise UnsupportedModelError(problems)
