"""Quantised ONNX files (QDQ and QOperator) to graphs.

What onnxruntime computes is decided by its own optimiser: it turns groups of DequantizeLinear,
operator and QuantizeLinear into integer operators, and what it leaves stays floating point. So
the optimiser is asked for the model that it would execute, and that is what is read here.
Functions of one code are not derived from formulas: the runtime is asked for all 256 results.

In graphs, codes are int8 and images have their channels last. uint8 codes of the file are 128
more than those of the graph.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import ModelFormatError, UnsupportedModelError
from ...graph import Graph, Node, Tensor
from .onnx_runtime import IR_VERSION, OnnxOperators, import_onnx, optimise
from .quantized_onnx_check import check_model, fix_batch
from .quantized_onnx_operators import DYNAMIC, READERS, RefusedError, is_dynamic
from .quantized_onnx_values import Codes, Computed, Constant, Input, Real


__all__ = ["Reading", "load_quantized_onnx", "read_quantized_onnx"]


@dataclass(frozen=True, eq=False)
class Reading:
    """What became of a file.

    Parameters
    ----------
    graph : Graph
    source, model : onnx.ModelProto
        The file's model, and what onnxruntime makes of it.
    origins : dict of str to Codes
        Values of the model that tensors of the graph have the codes of, by name of the latter.
    """

    graph:   Graph
    source:  object
    model:   object
    origins: dict


def load_quantized_onnx(model, name):
    """Graph of a model with onnxruntime's quantised operators.

    Parameters
    ----------
    model : onnx.ModelProto
        It is not trusted: sizes are checked before the runtime sees it.
    name : str
        For messages.

    Returns
    -------
    Graph
        With the dialect ``"onnx"``.

    Raises
    ------
    ModelFormatError
        If the model is damaged.
    UnsupportedModelError
        With all operators that cannot be loaded exactly.
    ToolError
        If the packages of the extra ``onnx`` are missing.
    """
    return read_quantized_onnx(model, name).graph


def read_quantized_onnx(model, name):
    """As :func:`load_quantized_onnx`, with all that was found out, a :class:`Reading`."""
    onnx, _, _ = import_onnx()
    source = onnx.ModelProto()
    source.CopyFrom(model)
    source.ir_version = min(source.ir_version, IR_VERSION)
    try:
        fix_batch(source, name)
        check_model(onnx, source, name)
        try:
            optimised = optimise(source)
        except Exception as error: # the runtime raises what it likes
            text = " ".join(str(error).split())[:300]
            raise ModelFormatError(f"{name}: onnxruntime refuses the model: {text}") from None
        loader = Loader(onnx, optimised, name)
        graph  = loader.load([item.name for item in source.graph.input],
                             [item.name for item in source.graph.output])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(f"{name}: contradicts itself "
                               f"({' '.join(str(error).split())})") from None
    return Reading(graph, source, optimised, loader.origins)


@dataclass(eq=False)
class Loader:
    """Walks the nodes of an optimised model in order; what its readers build graphs with."""

    onnx:     object
    model:    object
    name:     str
    values:   dict = field(default_factory=dict) # what is known about each tensor of the file
    tensors:  dict = field(default_factory=dict)
    nodes:    list = field(default_factory=list)
    origins:  dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    def __post_init__(self):
        self.operators = OnnxOperators(self.model)

    def load(self, inputs, outputs):
        """The graph, with the inputs and outputs of these names."""
        graph = self.model.graph
        for tensor in graph.initializer:
            self.values[tensor.name] = Constant(self.onnx.numpy_helper.to_array(tensor))
        names = [item.name for item in graph.input if item.name not in self.values]
        for item in graph.input:
            if item.name in names:
                shape = tuple(d.dim_value for d in item.type.tensor_type.shape.dim)
                dtype = self.onnx.helper.tensor_dtype_to_np_dtype(
                    item.type.tensor_type.elem_type).name
                self.values[item.name] = Input(item.name, shape, dtype)
        for index, node in enumerate(graph.node):
            label = node.name or f"{index} {node.op_type}"
            operands = [self.values[name] if name else None for name in node.input]
            if any(name and value is None for name, value in zip(node.input, operands)):
                self.values.update((name, None) for name in node.output) # was refused before
                continue
            try:
                self.read(node, label, operands)
            except RefusedError as error:
                self.problems.append((label, *error.args))
                self.values.update((name, None) for name in node.output)
        ends = []
        for name in outputs if not self.problems else ():
            try:
                ends.append(self._output(name))
            except RefusedError as error:
                self.problems.append((name, *error.args))
        if self.problems:
            raise UnsupportedModelError(self.problems)
        for name in inputs:
            if name in names and name not in self.tensors:
                raise ModelFormatError(f"{self.name}: input {name!r} is not used")
        return Graph(name=self.name, dialect="onnx", nodes=tuple(self._needed(ends)),
                     tensors=self.tensors, inputs=tuple(n for n in inputs if n in names),
                     outputs=tuple(ends)).pruned().verify()

    def read(self, node, label, operands):
        """Enter the outputs of a node into :attr:`values`."""
        if operands and all(value is None or isinstance(value, Constant) for value in operands):
            known = {n: v.values for n, v in zip(node.input, operands) if n}
            found = self.evaluate([node], known)
            self.values.update((n, Constant(found[n])) for n in node.output if n)
            return
        readers = DYNAMIC if is_dynamic(node, operands) else READERS
        if node.op_type not in readers:
            raise RefusedError(f"{node.op_type} stays floating point, or is none that popmac has",
                               "quantise what it reads and what it makes, or compute this part "
                               "elsewhere")
        made = readers[node.op_type](self, node, label, operands)
        self.values.update(zip(node.output, made if isinstance(made, tuple) else (made,)))

    def evaluate(self, nodes, values):
        """Values of all tensors that ``nodes`` compute, by the runtime itself."""
        try:
            return self.operators.run(nodes, values)
        except Exception as error: # whatever the runtime raises
            text = str(error).splitlines()[0][:200]
            raise RefusedError(f"the runtime cannot compute it: {text}",
                               "check the model") from None

    def attributes(self, node):
        """Attributes of a node, by name."""
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    # Tensors and nodes of the graph.

    def tensor(self, name, shape, dtype, **fields):
        """A new tensor; its name may get a number."""
        unique, number = name, 2
        while unique in self.tensors:
            unique, number = f"{name} {number}", number + 1
        self.tensors[unique] = Tensor(name=unique, shape=tuple(int(n) for n in shape),
                                      dtype=dtype, **fields)
        return self.tensors[unique]

    def coded(self, name, shape, scale, zero_point, dtype="int8"):
        """A new tensor of codes."""
        return self.tensor(name, shape, dtype, scale=np.array([scale], np.float32),
                           zero_point=np.array([zero_point], np.int64))

    def constant(self, name, values, **fields):
        """A new tensor of known values."""
        return self.tensor(name, values.shape, values.dtype.name, data=values, **fields)

    def add(self, op, name, inputs, outputs, **attrs):
        """A new node."""
        known, unique, number = {node.name for node in self.nodes}, name, 2
        while unique in known:
            unique, number = f"{name} {number}", number + 1
        self.nodes.append(Node(op=op, name=unique, inputs=tuple(t.name for t in inputs),
                               outputs=tuple(t.name for t in outputs), attrs=attrs))

    def made(self, codes, file_name):
        """``codes``, which are what the file calls ``file_name``; ``""`` if they are not in it."""
        codes = replace(codes, file_name=file_name)
        if file_name:
            self.origins.setdefault(codes.tensor.name, codes)
        return codes

    def result(self, node, shape, axes, scale, zero_point, offset, index=0):
        """A tensor for an output of ``node``: codes of ``shape`` and ``axes`` in the file."""
        name = node.output[index]
        arranged = tuple(shape[axis] for axis in axes)
        plain    = axes == tuple(range(len(axes)))
        tensor   = self.coded(name if plain else f"{name} (NHWC)", arranged, scale,
                              int(zero_point) - offset)
        return self.made(Codes(tensor, tuple(shape), tuple(axes), offset), name)

    def arranged(self, codes, axes):
        """The same codes with their axes in another order."""
        codes, axes = self.in_order(codes), tuple(axes)
        if codes.axes == axes:
            return codes
        shape = tuple(codes.shape[axis] for axis in axes)
        moved = tuple(codes.axes.index(axis) for axis in axes)
        kind  = "NHWC" if axes == (0, 2, 3, 1) else "axes " + " ".join(map(str, axes))
        tensor = self.tensor(f"{codes.file_name or codes.tensor.name} ({kind})", shape, "int8",
                             scale=codes.tensor.scale, zero_point=codes.tensor.zero_point)
        wide  = [axis for axis in moved if codes.tensor.shape[axis] > 1]
        if wide == sorted(wide): # the elements stay where they are
            self.add("Reshape", tensor.name, [codes.tensor], [tensor], shape=shape)
        else:
            self.add("Transpose", tensor.name, [codes.tensor], [tensor], permutation=moved)
        return self.made(replace(codes, tensor=tensor, axes=axes), codes.file_name)

    def in_order(self, codes):
        """The same codes in the order of the file, if they are flattened in another one."""
        if codes.unflattened is None:
            return codes
        image  = codes.unflattened
        plain  = self.arranged(image, range(len(image.shape)))
        tensor = self.tensor(f"{codes.file_name} (flat)", codes.shape, "int8",
                             scale=codes.tensor.scale, zero_point=codes.tensor.zero_point)
        self.add("Reshape", tensor.name, [plain.tensor], [tensor], shape=codes.shape)
        return self.made(replace(codes, tensor=tensor, unflattened=None), codes.file_name)

    def scaled(self, codes, scale, zero_point):
        """The same codes, which are read with another scale or zero point."""
        zero = int(zero_point) - codes.offset
        old  = codes.tensor
        if old.scale[0] == scale and old.zero_point[0] == zero:
            return codes
        shape  = old.shape
        tensor = self.coded(f"{old.name} (other scale)", shape, scale, zero)
        self.add("Reshape", tensor.name, [old], [tensor], shape=shape)
        self.origins[tensor.name] = replace(codes, tensor=tensor)
        image = codes.unflattened
        return replace(codes, tensor=tensor, unflattened=None if image is None else
                       self.scaled(image, scale, zero_point))

    def table(self, codes, nodes, source, result):
        """What ``nodes`` make of each of the 256 codes that ``source`` may have, in order."""
        low    = -128 + codes.offset
        every  = np.arange(low, low + 256).astype("uint8" if codes.offset else "int8")
        known  = {n: self.values[n].values for node in nodes for n in node.input
                  if isinstance(self.values.get(n), Constant)}
        values = self.evaluate(nodes, {**known, source: every})[result]
        if values.shape != (256,):
            raise RefusedError("it is no function of single values",
                               "quantise the operators of which it is made")
        return values

    def looked_up(self, label, node, codes, table, scale, zero_point, offset):
        """``table``, codes of the file, applied to each of ``codes``."""
        codes  = self.in_order(codes)
        output = self.result(node, codes.shape, codes.axes, scale, zero_point, offset)
        values = self.constant(f"{label} table", (table.astype(np.int64) - offset).astype(np.int8),
                               scale=output.tensor.scale, zero_point=output.tensor.zero_point)
        self.add("Lookup", label, [codes.tensor, values], [output.tensor])
        return output

    # Inputs and outputs of the model.

    def quantised_input(self, value, scale, zero_point, dtype):
        """Codes of an input of the model."""
        zero, offset = int(zero_point), 128 * (dtype == "uint8")
        tensor = self.tensors.get(value.name)
        if tensor is None:
            tensor = self.coded(value.name, value.shape, scale, zero, dtype)
        elif tensor.dtype != dtype or value.dtype == "float32" \
                and (tensor.scale[0], tensor.zero_point[0]) != (scale, zero):
            raise RefusedError(f"input {value.name!r} is quantised in two ways",
                               "quantise it with one scale")
        name  = f"{value.name} (int8)"
        codes = Codes(tensor, value.shape, tuple(range(len(value.shape))), offset,
                      file_name=value.name)
        if offset:
            known = self.tensors.get(name)
            if known is None:
                known = self.coded(name, value.shape, tensor.scale[0],
                                   int(tensor.zero_point[0]) - offset)
                self.add("Quantize", name, [tensor], [known])
            codes = replace(codes, tensor=known)
        for move in value.moves:
            codes = READERS[move.op_type](self, move, move.name or move.op_type, [codes, *(
                self.values.get(n) for n in move.input[1:])])
        return self.scaled(codes, scale, zero)

    def _needed(self, outputs):
        """Nodes that an output is made with, in order."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed & {*node.outputs}:
                needed.update(node.inputs)
                nodes.append(node)
        return reversed(nodes)

    def _output(self, name):
        value = self.values[name]
        if isinstance(value, Computed) and value.tensor.name == name:
            return name
        if isinstance(value, Real) and value.nodes:
            codes = self.arranged(value.codes, range(len(value.codes.shape)))
            table = self.table(codes, value.chain, value.source, value.nodes[-1].output[0])
            real  = self.tensor(name, codes.shape, "float32")
            self.add("Lookup", name, [codes.tensor, self.constant(
                f"{name} table", table.astype(np.float32))], [real])
            return real.name
        if isinstance(value, Real):
            value = value.codes
        if not isinstance(value, Codes):
            raise RefusedError("this output is not made of quantised values", "quantise it")
        codes = self.arranged(value, range(len(value.shape)))
        if codes.tensor.name == name and not codes.offset:
            return name
        if name in self.tensors: # its codes as int8 have the name
            codes = replace(codes, tensor=self._renamed(name, f"{name} (int8)"))
        zero   = int(codes.tensor.zero_point[0]) + codes.offset
        tensor = self.coded(name, codes.shape, codes.tensor.scale[0], zero,
                            "uint8" if codes.offset else "int8")
        if codes.offset:
            self.add("Quantize", name, [codes.tensor], [tensor])
        else:
            self.add("Reshape", name, [codes.tensor], [tensor], shape=codes.shape)
        return name

    def _renamed(self, old, new):
        tensor = replace(self.tensors.pop(old), name=new)
        self.tensors[new] = tensor
        if old in self.origins:
            self.origins[new] = replace(self.origins.pop(old), tensor=tensor)

        def names(names):
            return tuple(new if name == old else name for name in names)

        self.nodes = [replace(node, inputs=names(node.inputs), outputs=names(node.outputs))
                      for node in self.nodes]
        return tensor
