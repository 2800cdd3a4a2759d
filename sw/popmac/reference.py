"""The runtimes whose results popmac reproduces."""

import warnings
from importlib.metadata import version
from typing import Protocol

import numpy as np

from .compiler.frontends.onnx_runtime import IR_VERSION, import_onnx
from .compiler.frontends.tflite import unique_names
from .errors import InputError, ModelFormatError, ToolError
from .graph import DTYPES


__all__ = ["LiteRTReference", "QonnxReference", "Reference", "open_reference"]


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
        What :func:`load_qonnx` made of it: says which codes stand for the executor's values.

    Raises
    ------
    ToolError
        If the packages are missing.
    """

    def __init__(self, data, graph):
        onnx, onnxruntime, _ = import_onnx()
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes
        model = onnx.load_model_from_string(bytes(data))
        model.ir_version = min(model.ir_version, IR_VERSION)
        self.description = f"qonnx {version('qonnx')} on onnxruntime {onnxruntime.__version__}"
        self._execute    = execute_onnx
        self._model      = ModelWrapper(model).transform(InferShapes())
        self._graph      = graph

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
    if graph.dialect == "qonnx":
        return QonnxReference(data, graph)
    raise ToolError(f"there is no reference for {graph.dialect} models")
