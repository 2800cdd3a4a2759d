"""TensorFlow Lite files to graphs.

Files are not trusted: whatever is in them, loading ends soon, with a graph that keeps its own
rules or with a :class:`popmac.ModelFormatError`.
"""

import struct

import numpy as np
import tflite
from tflite.utils import BUILTIN_OPCODE2NAME

from ...errors import ModelFormatError, UnsupportedModelError
from ...golden import layers
from ...graph import DTYPES, Graph, Node, Tensor
from .tflite_operators import READERS, Call, UnknownFormError


__all__ = ["load_tflite", "unique_names"]


IDENTIFIER = b"TFL3"

#: Types by their number in the file.
TYPES = {value: name for name, value in vars(tflite.TensorType).items()
         if not name.startswith("_")}

#: What flatbuffers and the classes made by its compiler raise when offsets lead astray.
ASTRAY = (struct.error, IndexError, OverflowError, TypeError, ValueError)

MAX_RANK  = 8
MAX_BYTES = 2**31 - 1 # of one tensor
MAX_ITEMS = 2**14     # tensors, operators, buffers

#: Constants of shapes and indices may be computed when a file is loaded, if they are no larger.
MAX_FOLDED = 1024
FOLDED     = {"Concatenation", "Pack", "Reshape", "ExpandDims", "Squeeze", "Shape",
              "StridedSlice", "Split", "Unpack"}


def unique_names(names):
    """Names of the tensors of a file, changed where one is missing or was there before.

    The name given to a tensor does not depend on those of the tensors behind it.
    """
    seen = set()
    for index, name in enumerate(names):
        unique = base = name or f"tensor {index}"
        suffix = 0
        while unique in seen:
            suffix += 1
            unique  = f"{base} #{index}" if suffix == 1 else f"{base} #{index}.{suffix}"
        seen.add(unique)
        yield unique


def load_tflite(data, name):
    """Graph of a TensorFlow Lite file.

    Shapes and types are checked against the operators, and constant operands that are parameters
    (shapes, axes, paddings) become attributes. An operator that popmac does not know becomes a
    node whose ``op`` is its name in the file, without attributes; one that it knows but not in
    this form as well, with the attribute ``reason``.

    Parameters
    ----------
    data : bytes
        Contents of the file.
    name : str
        Name of the model, for messages.

    Returns
    -------
    Graph
        With the dialect ``"tflite"``.

    Raises
    ------
    ModelFormatError
        If the file is damaged, or is none.
    UnsupportedModelError
        If there are tensors of types that popmac has not; names them all.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ModelFormatError(f"{name}: this is not a TensorFlow Lite file")
    try:
        return _File(data, name).graph()
    except ASTRAY as error:
        raise ModelFormatError(f"{name}: the file is damaged ({error})") from None


class _File:
    """A file that is being read.

    All that is copied is charged to a budget of several times the file's size, as parts of a
    hostile file may be referred to over and over again.
    """

    def __init__(self, data, name):
        self._data   = data
        self._name   = name
        self._budget = 16 * len(data)
        self._model  = tflite.Model.GetRootAs(data, 0)
        if self._model.SubgraphsLength() != 1:
            self._fail(f"it has {self._model.SubgraphsLength()} subgraphs instead of one")
        self._subgraph = self._model.Subgraphs(0)

    def _fail(self, message):
        raise ModelFormatError(f"{self._name}: {message}")

    def _charge(self, size):
        self._budget -= size
        if self._budget < 0:
            self._fail("the file is damaged (its parts overlap)")

    def _numbers(self, table, field):
        """Vector of numbers of ``table``; an empty one if it is left out."""
        length = getattr(table, f"{field}Length")()
        self._charge(8 * length)
        return getattr(table, f"{field}AsNumpy")() if length else np.zeros(0, np.int64)

    def _tables(self, table, field):
        """Vector of tables of ``table``."""
        length = getattr(table, f"{field}Length")()
        if length > MAX_ITEMS:
            self._fail(f"it has {length} {field.lower()}, more than {MAX_ITEMS}")
        for index in range(length):
            yield getattr(table, field)(index)

    def _text(self, text):
        self._charge(len(text or b""))
        return (text or b"").decode(errors="replace")

    def graph(self):
        """Graph of the file."""
        self._buffers = [self._buffer(b) for b in self._tables(self._model, "Buffers")]
        tables  = list(self._tables(self._subgraph, "Tensors"))
        names   = unique_names(self._text(table.Name()) for table in tables)
        tensors = [self._tensor(table, name) for table, name in zip(tables, names)]

        codes   = [self._code(code) for code in self._tables(self._model, "OperatorCodes")]
        inputs  = self._choose(tensors, self._numbers(self._subgraph, "Inputs"), "input")
        outputs = self._choose(tensors, self._numbers(self._subgraph, "Outputs"), "output")
        known   = {tensor.name: tensor for tensor in tensors}
        nodes   = []
        for index, table in enumerate(self._tables(self._subgraph, "Operators")):
            code = table.OpcodeIndex()
            if not 0 <= code < len(codes):
                self._fail(f"operator {index} has code {code}, of {len(codes)}")
            node = self._node(f"{index} {codes[code]}", codes[code], table, tensors, known)
            if not self._fold(node, known):
                nodes.append(node)

        graph = Graph(name=self._name, dialect="tflite", nodes=tuple(nodes), tensors=known,
                      inputs=tuple(tensor.name for tensor in inputs),
                      outputs=tuple(tensor.name for tensor in outputs)).pruned()
        self._check_types(graph)
        self._check_inputs(graph, {t.name: table for t, table in zip(tensors, tables)})
        return graph.verify()

    def _code(self, table):
        """Name of an operator."""
        code = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        if code == tflite.BuiltinOperator.CUSTOM:
            return f"CUSTOM {self._text(table.CustomCode())!r}"
        return BUILTIN_OPCODE2NAME.get(code, f"BUILTIN_{code}")

    def _buffer(self, table):
        """Contents of a buffer, which may lie behind the flatbuffer; ``None`` if it has none."""
        offset, size = table.Offset(), table.Size()
        if offset > 1:
            if offset + size > len(self._data):
                self._fail("a buffer reaches beyond the end of the file")
            return np.frombuffer(self._data, np.uint8, size, offset)
        return table.DataAsNumpy() if table.DataLength() else None

    def _tensor(self, table, name):
        shape = tuple(self._numbers(table, "Shape").tolist())
        dtype = TYPES.get(table.Type(), f"type {table.Type()}").lower()
        if len(shape) > MAX_RANK:
            self._fail(f"tensor {name!r} has {len(shape)} axes, more than {MAX_RANK}")
        if any(size < 0 for size in shape):
            self._fail(f"tensor {name!r} has shape {shape}")
        if table.IsVariable():
            self._fail(f"tensor {name!r} is a variable, which popmac does not have")
        if table.Sparsity() is not None:
            self._fail(f"tensor {name!r} is sparse, which popmac does not have")
        if not 0 <= table.Buffer() < max(len(self._buffers), 1):
            self._fail(f"tensor {name!r} has buffer {table.Buffer()}, of {len(self._buffers)}")
        data = self._buffers[table.Buffer()] if self._buffers else None
        if dtype not in DTYPES:
            return Tensor(name=name, shape=shape, dtype=dtype)

        size = int(np.prod(shape, dtype=object)) * DTYPES[dtype].itemsize
        if size > MAX_BYTES:
            self._fail(f"tensor {name!r} of shape {shape} is larger than 2 GiB")
        if data is not None:
            if data.nbytes != size:
                self._fail(f"tensor {name!r} of shape {shape} takes {size} bytes, "
                           f"but its buffer has {data.nbytes}")
            data = self._values(data, dtype, name).reshape(shape)
        return Tensor(name=name, shape=shape, dtype=dtype, data=data,
                      **self._quantization(table.Quantization(), name, shape, dtype))

    def _values(self, data, dtype, name):
        if dtype == "bool" and data.max(initial=0) > 1:
            self._fail(f"tensor {name!r} has truth values other than 0 and 1")
        return data.view(DTYPES[dtype].newbyteorder("<")).astype(DTYPES[dtype], copy=False)

    def _quantization(self, table, name, shape, dtype):
        if table is None or table.ScaleLength() == 0:
            return {}
        if table.DetailsType() != 0:
            self._fail(f"tensor {name!r} is quantised in a way of its own")
        scale = self._numbers(table, "Scale").astype(np.float32)
        zeros = self._numbers(table, "ZeroPoint").astype(np.int64)
        axis  = table.QuantizedDimension() if scale.size != 1 else None
        if axis is not None and not (0 <= axis < len(shape) and shape[axis] == scale.size):
            self._fail(f"tensor {name!r} of shape {shape} has {scale.size} scales "
                       f"along axis {axis}")
        if zeros.size not in (1, scale.size):
            self._fail(f"tensor {name!r} has {scale.size} scales, but {zeros.size} zero points")
        if not np.all(np.isfinite(scale) & (scale > 0)):
            self._fail(f"a scale of tensor {name!r} is not a positive number")
        if dtype in ("int8", "uint8", "int16", "int32"):
            limits = np.iinfo(dtype)
            if zeros.min() < limits.min or zeros.max() > limits.max:
                self._fail(f"a zero point of tensor {name!r} is not one of {dtype}")
        return {"scale": scale, "zero_point": np.broadcast_to(zeros, scale.shape), "axis": axis}

    def _choose(self, tensors, indices, what):
        chosen = []
        for index in indices.tolist():
            if not 0 <= index < len(tensors):
                self._fail(f"{what} {index} is not one of {len(tensors)} tensors")
            chosen.append(tensors[index])
        return chosen

    def _node(self, name, op, table, tensors, known):
        indices = self._numbers(table, "Inputs").tolist()
        chosen  = iter(self._choose(tensors, np.array([i for i in indices if i != -1], np.int64),
                                    f"{name}: input"))
        # Operators before this one may have become constants.
        inputs  = [None if i == -1 else known[next(chosen).name] for i in indices]
        outputs = self._choose(tensors, self._numbers(table, "Outputs"), f"{name}: output")
        if not outputs:
            self._fail(f"{name} has no output")
        attrs = {}
        if op in READERS:
            call = Call(self._name, name, op, inputs, outputs, table, self._charge)
            try:
                op, inputs, attrs = READERS[op](call)
            except UnknownFormError as error:
                attrs = {"reason": str(error)}
        return Node(op=op, name=name, attrs=attrs,
                    inputs=tuple("" if tensor is None else tensor.name for tensor in inputs),
                    outputs=tuple(tensor.name for tensor in outputs))

    def _fold(self, node, known):
        """Compute ``node`` now if it is an operation on shapes; whether it was."""
        inputs  = [known[name] for name in node.inputs if name]
        outputs = [known[name] for name in node.outputs]
        if node.op not in FOLDED or "reason" in node.attrs \
                or any(tensor.dtype not in ("int32", "int64")
                       or np.prod(tensor.shape) > MAX_FOLDED for tensor in outputs):
            return False
        if node.op == "Shape":
            results = (np.array(inputs[0].shape, DTYPES[outputs[0].dtype]),)
        elif all(tensor.is_constant and tensor.dtype == outputs[0].dtype for tensor in inputs):
            graph   = Graph(name=self._name, dialect="tflite", nodes=(), tensors=known,
                            inputs=(), outputs=())
            results = layers.compute(graph, node, {t.name: t.data for t in inputs})
        else:
            return False
        for tensor, result in zip(outputs, results):
            known[tensor.name] = Tensor(name=tensor.name, shape=tensor.shape, dtype=tensor.dtype,
                                        data=result)
        return True

    def _check_types(self, graph):
        problems = [(f"tensor {tensor.name!r}", f"popmac has no type {tensor.dtype}",
                     "convert the model to full int8 quantisation")
                    for tensor in graph.tensors.values() if tensor.dtype not in DTYPES]
        if problems:
            raise UnsupportedModelError(problems)

    def _check_inputs(self, graph, tables):
        if len(set(graph.inputs)) != len(graph.inputs):
            self._fail("an input is there twice")
        for name in graph.inputs:
            if graph.tensors[name].is_constant:
                self._fail(f"input {name!r} is a constant")
            signature = self._numbers(tables[name], "ShapeSignature").tolist()
            if -1 in signature[1:]:
                self._fail(f"input {name!r} has no fixed shape: {tuple(signature)}")
