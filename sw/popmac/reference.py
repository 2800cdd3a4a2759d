"""The runtimes whose results popmac reproduces."""

import warnings
from importlib.metadata import version
from typing import Protocol

import numpy as np

from .compiler.frontends.onnx_file import parse_onnx
from .compiler.frontends.onnx_runtime import IR_VERSION, import_onnx, open_session
from .compiler.frontends.quantized_onnx import read_quantized_onnx
from .compiler.frontends.tflite import unique_names
from .errors import InputError, ModelFormatError, ToolError
from .graph import DTYPES


__all__ = ["LiteRTReference", "OnnxRuntimeReference", "QonnxReference", "Reference",
           "open_reference"]


class Reference(Protocol):
    """A model in its reference runtime."""

    @property
    def description(self):
        """Name and version of the runtime and of its kernels, for printing."""

    def run(self, inputs):
        """Values of every tensor, by name, from those of the inputs."""


class LiteRTReference:
    """A TensorFlow Lite model in LiteRT, with the kernels that it calls its reference.

    The default kernels compute in floating point and give other codes; those without a delegate
    depend on the processor.

    Parameters
    ----------
    data : bytes
        Contents of the file. It must be one that :func:`load_tflite` accepts: the runtime may end
        the process for others.

    Raises
    ------
    ToolError
        If LiteRT is not installed.
    ModelFormatError
        If LiteRT refuses the file.
    """

    def __init__(self, data):
        try:
            import ai_edge_litert
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise ToolError(f"the reference runtime is missing ({error}); "
                            f'pip install "popmac[sim]"') from None
        self.description = f"LiteRT {ai_edge_litert.__version__} BUILTIN_REF"
        try:
            self._interpreter = Interpreter(
                model_content=bytes(data), num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=True)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFormatError(f"{self.description} refuses the model: {error}") from None
        details = sorted(self._interpreter.get_tensor_details(), key=lambda item: item["index"])
        names   = unique_names(item["name"] for item in details)
        self._indices = {name: item["index"] for name, item in zip(names, details)}
        self._inputs  = {item["index"] for item in self._interpreter.get_input_details()}

    def run(self, inputs):
        """Values of every tensor that the runtime keeps.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By tensor name.

        Returns
        -------
        dict of str to ndarray
            Names are those of :func:`load_tflite`.

        Raises
        ------
        InputError
            If an input is missing, unknown, or of the wrong shape or type.
        ModelFormatError
            If LiteRT refuses the model only now.
        """
        if {self._indices.get(name) for name in inputs} != self._inputs:
            raise InputError(f"{', '.join(inputs)} are not the model's inputs")
        try:
            for name, array in inputs.items():
                self._interpreter.set_tensor(self._indices[name], array)
        except ValueError as error:
            raise InputError(str(error)) from None
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelFormatError(f"{self.description} refuses the model: {error}") from None
        values = {}
        for name, index in self._indices.items():
            try:
                values[name] = self._interpreter.get_tensor(index).copy()
            except ValueError: # the runtime has not kept it: scratch memory, or never computed
                continue
        return values


class QonnxReference:
    """A QONNX model in the executor of the ``qonnx`` package, on onnxruntime.

    Parameters
    ----------
    data : bytes
        Contents of the file.
    graph : Graph
        What :func:`load_onnx` made of it: says which codes stand for the executor's values.

    Raises
    ------
    ToolError
        If the packages are missing.
    """

    def __init__(self, data, graph):
        onnx, onnxruntime, _ = import_onnx()
        from qonnx.core.datatype import DataType
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.fold_constants import FoldConstants
        from qonnx.transformation.infer_shapes import InferShapes
        model = onnx.load_model_from_string(bytes(data))
        model.ir_version = min(model.ir_version, IR_VERSION)
        self.description = f"qonnx {version('qonnx')} on onnxruntime {onnxruntime.__version__}"
        self._execute    = execute_onnx
        self._model      = ModelWrapper(model).transform(InferShapes())
        self._graph      = graph

        # What does not depend on the input is computed once, and the executor's check of whether
        # its values are those of its type is made once: it takes most of the time otherwise.
        self._model = self._model.transform(FoldConstants(exclude_op_types=[]))
        for initializer in self._model.graph.initializer:
            kind = self._model.get_tensor_datatype(initializer.name)
            if kind.is_integer() and np.all(kind.allowed(
                    self._model.get_initializer(initializer.name))):
                self._model.set_tensor_datatype(initializer.name, DataType["FLOAT32"])

    def run(self, inputs):
        """Values of every tensor that both the executor and the graph have, as codes.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By tensor name; codes or real values, as the graph has them.
        """
        feeds  = {}
        for name, values in inputs.items():
            tensor      = self._graph.tensors[name]
            feeds[name] = values if tensor.scale is None else \
                ((values.astype(np.float64) - tensor.zero_point) * tensor.scale).astype(np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output shapes disagree") # files leave shapes out
            values = self._execute(self._model, feeds, return_full_exec_context=True)
        return {name: self._codes(tensor, values[name])
                for name, tensor in self._graph.tensors.items()
                if not tensor.is_constant and values.get(name) is not None}

    def _codes(self, tensor, values):
        values = np.asarray(values)
        if values.ndim == 4 and tensor.name not in self._graph.inputs:
            values = values.transpose(0, 2, 3, 1)
        values = values.reshape(tensor.shape)
        if tensor.scale is not None:
            values = np.rint(values.astype(np.float64) / tensor.scale) + tensor.zero_point
        return values.astype(DTYPES[tensor.dtype])


class OnnxRuntimeReference:
    """A quantised model in onnxruntime, on the processor, with all optimisations.

    onnxruntime computes other numbers for a QDQ model without its optimisations, and may for one
    with further outputs. So tensors inside of the model are those of the model that its optimiser
    made, executed as it is, and for each input the outputs of both are compared.

    Parameters
    ----------
    data : bytes
        Contents of the file.
    graph : Graph
        What the file was loaded into.

    Raises
    ------
    ToolError
        If the packages are missing.
    """

    def __init__(self, data, graph):
        onnx, onnxruntime, _ = import_onnx()
        self.description = f"onnxruntime {onnxruntime.__version__}, all optimisations"
        reading = read_quantized_onnx(parse_onnx(data, graph.name), graph.name)
        model   = onnx.ModelProto()
        model.CopyFrom(reading.model)
        present = {item.name for item in (*model.graph.output, *model.graph.input)}
        for name in dict.fromkeys(codes.file_name for codes in reading.origins.values()):
            if name not in present:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self._graph   = graph
        self._origins = reading.origins
        self._whole   = open_session(reading.source)
        self._open    = open_session(model, optimised=False)
        self._types   = {item.name: item.type for item in self._whole.get_inputs()}

    def run(self, inputs):
        """Values of every tensor that both the runtime and the graph have, as codes.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By tensor name; codes.

        Raises
        ------
        ToolError
            If onnxruntime gives other outputs when tensors inside are asked for.
        """
        feeds = {}
        for name, values in inputs.items():
            tensor = self._graph.tensors[name]
            feeds[name] = values if self._types[name] != "tensor(float)" or tensor.scale is None \
                else \
                (values.astype(np.int64) - tensor.zero_point).astype(np.float32) * tensor.scale
        names  = [item.name for item in self._open.get_outputs()]
        values = dict(zip(names, self._open.run(names, feeds))) | feeds
        whole  = [item.name for item in self._whole.get_outputs()]
        for name, array in zip(whole, self._whole.run(whole, feeds)):
            if not np.array_equal(array, values[name], equal_nan=array.dtype.kind == "f"):
                raise ToolError(f"{self.description}, computes another {name!r} when tensors "
                                "inside of the model are asked for")
        found = dict(inputs)
        for name, tensor in self._graph.tensors.items():
            origin = self._origins.get(name)
            if origin is not None and values[origin.file_name].dtype.kind in "iu":
                found[name] = self._codes(tensor, origin, values[origin.file_name])
            elif name in whole:
                found[name] = self._output(tensor, values[name])
        return found

    def _codes(self, tensor, origin, values):
        values = values.astype(np.int64) - (origin.offset if tensor.dtype == "int8" else 0)
        if origin.order is not None:
            flat = np.empty(values.size, np.int64)
            flat[origin.order] = values.reshape(-1)
            values = flat
        else:
            values = values.transpose(origin.axes)
        return values.reshape(tensor.shape).astype(tensor.dtype)

    def _output(self, tensor, values):
        if tensor.scale is not None and values.dtype == np.float32:
            values = np.rint(values / tensor.scale).astype(np.int64) + tensor.zero_point
        return values.reshape(tensor.shape).astype(tensor.dtype)


def open_reference(data, graph):
    """Reference of a model.

    Parameters
    ----------
    data : bytes
        Contents of its file.
    graph : Graph
        What the file was loaded into.
    """
    if graph.dialect == "tflite":
        return LiteRTReference(data)
    if graph.dialect == "onnx":
        return OnnxRuntimeReference(data, graph)
    if graph.dialect == "qonnx":
        return QonnxReference(data, graph)
    raise ToolError(f"there is no reference for {graph.dialect} models")
