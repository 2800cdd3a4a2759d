"""QONNX files to graphs.

A QONNX network computes with real numbers between its quantisers. Here each stretch from a linear
operator to the next quantiser becomes integer sums with thresholds: as the sums are integers in a
known range, the runtime's own operators are evaluated at every one of them, and the sums at which
the code changes are the thresholds. Nothing is derived from formulas, so that nothing can differ.
Two dialects load: those of FINN's model zoo, and what Brevitas exports.
"""

from dataclasses import replace

import numpy as np

from ...errors import ModelFormatError, UnsupportedModelError
from ...graph import Graph, Node, Tensor
from .onnx_runtime import OnnxOperators, import_onnx
from .qonnx_thresholds import (
    check_exact,
    input_thresholds,
    quantiser_levels,
    reach,
    sum_thresholds,
    weight_codes,
)
from .qonnx_values import REMEDY, Codes, Constant, Real, Refused, Sums


__all__ = ["load_qonnx"]


#: Operators that act on each value, or on each channel, alone.
ELEMENTWISE = {"Add", "BatchNormalization", "Cast", "Clip", "Div", "Dropout", "HardTanh",
               "Identity", "Mul", "Neg", "Pow", "Relu", "Sign", "Sub"}
QUANTISERS  = {"BipolarQuant", "MultiThreshold", "Quant", "Sign"}
LINEAR      = {"Conv", "Gemm", "MatMul"}
SHAPES      = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}

MAX_TABLE = 1 << 22 # sums times channels that an output's table may have


def load_qonnx(model, name):
    """Graph of a QONNX model.

    Parameters
    ----------
    model : onnx.ModelProto
        It is not trusted; nothing in it is executed but the arithmetic of known operators, and no
        other file is read.
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
    onnx, _, _ = import_onnx()
    try:
        return _Loader(onnx, model, name).load()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Attributes and constants of types that the operators do not have.
        raise ModelFormatError(f"{name}: contradicts itself "
                               f"({' '.join(str(error).split())})") from None


class _Loader:
    """Walks the nodes of a file in order."""

    def __init__(self, onnx, model, name):
        self.onnx, self.model, self.name = onnx, model, name
        self.operators = OnnxOperators(model)
        self.values    = {}   # what is known about each tensor of the file
        self.nodes, self.tensors = [], {}
        self.problems  = []

    def load(self):
        graph  = self.model.graph
        known  = set()
        try:
            for tensor in graph.initializer:
                self.values[tensor.name] = Constant(self.onnx.numpy_helper.to_array(tensor))
                known.add(tensor.name)
        except (ValueError, TypeError, IndexError) as error:
            raise ModelFormatError(f"{self.name}: values of {tensor.name!r} are damaged: {error}") \
                from None
        types  = {a.tensor_name: p.value for a in graph.quantization_annotation
                  for p in a.quant_parameter_tensor_names if p.key == "finn_datatype"}
        inputs = [i for i in graph.input if i.name not in known]
        for item in inputs:
            self._input(item, types.get(item.name))
        for index, node in enumerate(graph.node):
            label = node.name or f"{index} {node.op_type}"
            try:
                for missing in node.input:
                    if missing and missing not in self.values:
                        raise ModelFormatError(f"{self.name}: {label} reads tensor {missing!r} "
                                               "before it is computed")
                self._node(node, label)
            except Refused as error:
                self.problems.append((label, *error.args))
                self.values.update((output, None) for output in node.output)
        outputs = []
        for item in graph.output if not self.problems else ():
            try:
                outputs.append(self._output(item.name))
            except Refused as error:
                self.problems.append((item.name, *error.args))
        if self.problems:
            raise UnsupportedModelError(self.problems)
        return Graph(name=self.name, dialect="qonnx", nodes=tuple(self.nodes),
                     tensors=self.tensors, inputs=tuple(item.name for item in inputs),
                     outputs=tuple(outputs)).pruned().verify()

    # Tensors and nodes of the graph.

    def _tensor(self, name, shape, dtype, **fields):
        tensor = Tensor(name=name, shape=tuple(int(n) for n in shape), dtype=dtype, **fields)
        self.tensors[name] = tensor
        return tensor

    def _coded(self, name, shape, scale, zero_point=0):
        return self._tensor(name, shape, "int8", scale=np.array([scale], np.float32),
                            zero_point=np.array([zero_point], np.int64))

    def _constant(self, name, values, **fields):
        return self._tensor(name, values.shape, values.dtype.name, data=values, **fields)

    def _weights(self, name, values):
        return self._constant(name, values.astype(np.int8), scale=np.ones(1, np.float32),
                              zero_point=np.zeros(1, np.int64))

    def _add(self, op, name, inputs, output, **attrs):
        self.nodes.append(Node(op=op, name=name, inputs=tuple(t.name for t in inputs),
                               outputs=(output.name,), attrs=attrs))
        return output

    def _input(self, item, datatype):
        dims  = item.type.tensor_type.shape.dim
        shape = tuple(d.dim_value or 1 if i == 0 else d.dim_value for i, d in enumerate(dims))
        if not shape or 0 in shape or shape[0] != 1 or np.prod(shape, dtype=float) > 2**31:
            raise ModelFormatError(f"{self.name}: input {item.name!r} has shape {shape}; it must "
                                   "be one sample of known size")
        codes = {"INT8": (range(-128, 128), 0), "UINT8": (range(-128, 128), -128)}
        if datatype in codes and self._is_linear(item.name):
            levels, zero = codes[datatype]
            tensor = self._coded(item.name, shape, 1, zero)
            self.values[item.name] = self._image(Codes(tensor, shape, tuple(levels)))
        else:
            tensor = self._tensor(item.name, shape, "float32")
            self.values[item.name] = Real(tensor, shape, item.name)

    def _is_linear(self, name):
        """Whether linear operators read a tensor as it is."""
        return all(node.op_type in LINEAR for node in self.model.graph.node if name in node.input)

    def _image(self, codes):
        """The same codes with channels last, if they are an image."""
        if len(codes.shape) != 4:
            return codes
        _, channels, height, width = codes.shape
        shape = (1, height, width, channels)
        if channels == 1 or (height, width) == (1, 1):
            moved = self._like(codes.tensor, f"{codes.tensor.name} (NHWC)", shape)
            self._add("Reshape", moved.name, [codes.tensor], moved, shape=shape)
        else:
            moved = self._like(codes.tensor, f"{codes.tensor.name} (NHWC)", shape)
            self._add("Transpose", moved.name, [codes.tensor], moved, permutation=(0, 2, 3, 1))
        return replace(codes, tensor=moved)

    def _like(self, tensor, name, shape):
        moved = replace(tensor, name=name, shape=tuple(shape))
        self.tensors[name] = moved
        return moved

    # Nodes of the file.

    def _node(self, node, label):
        inputs = [self.values[name] for name in node.input if name]
        if any(value is None for value in inputs):
            self.values.update((name, None) for name in node.output) # was refused before
            return
        if node.op_type == "Shape" and not isinstance(inputs[0], Constant):
            shape = np.array(inputs[0].shape, np.int64)
            self.values[node.output[0]] = Constant(shape)
            return
        if all(isinstance(value, Constant) for value in inputs):
            self._fold(node, inputs)
            return
        if len(node.output) > 1 and node.op_type not in ("BatchNormalization", "Dropout"):
            raise Refused(f"{node.op_type} has several outputs", REMEDY)
        x = inputs[0]
        if node.op_type in LINEAR:
            result = self._linear(node, label)
        elif node.op_type in SHAPES:
            result = self._reshape(node, x)
        elif node.op_type == "MaxPool":
            result = self._max_pool(node, label, x)
        elif node.op_type in QUANTISERS and not isinstance(x, Codes):
            result = self._quantise(node, label, x)
        elif node.op_type in ELEMENTWISE:
            result = self._elementwise(node, x)
        else:
            raise Refused(f"popmac has no {node.op_type} between quantisers", REMEDY)
        self.values[node.output[0]] = result

    def _fold(self, node, inputs):
        constants = {name: self.values[name].values for name in node.input if name}
        if "" in node.input:
            constants[""] = np.zeros(0, np.float32)
        values = self._evaluate([node], constants)
        scale  = inputs[0].scale if inputs else None
        if node.op_type in ("Quant", "BipolarQuant"):
            scale = np.asarray(inputs[1].values, np.float32)
        elif node.op_type not in ("Transpose", "Cast", "Identity", "Reshape"):
            scale = None
        if scale is not None and scale.size > 1 and node.op_type != "Identity":
            scale = None if node.op_type in ("Transpose", "Reshape") else scale
        for name in node.output:
            self.values[name] = Constant(values[name], scale)

    def _evaluate(self, nodes, values):
        try:
            return self.operators.run(nodes, values)
        except Exception as error: # whatever the runtime raises
            text = str(error).splitlines()[0][:200]
            raise Refused(f"the runtime cannot compute it: {text}", "check the model") from None

    def _constants_of(self, nodes):
        return {name: self.values[name].values for node in nodes for name in node.input
                if isinstance(self.values.get(name), Constant)}

    def _attributes(self, node):
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    # Linear operators.

    def _linear(self, node, label):
        x, weights, *bias = (self.values[name] for name in node.input if name)
        if not isinstance(x, Codes):
            raise Refused(f"the input of {node.op_type} is not quantised",
                          "put a quantiser in front of it")
        if not isinstance(weights, Constant):
            raise Refused("both operands are computed", "use constant weights")
        attrs  = self._attributes(node)
        values = weights.values
        if node.op_type == "Conv":
            if attrs.get("group", 1) != 1 or values.ndim != 4 \
                    or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
                raise Refused("grouped, one-dimensional and automatically padded convolutions of "
                              "few bits are not supported", REMEDY)
            kernel  = values.transpose(0, 2, 3, 1)
            top, left, bottom, right = attrs.get("pads", [0, 0, 0, 0])
            options = {"strides": tuple(attrs.get("strides", [1, 1])),
                       "dilation": tuple(attrs.get("dilations", [1, 1])),
                       "padding": ((top, bottom), (left, right))}
            extent  = [(k - 1) * d + 1 for k, d in zip(kernel.shape[1:3], options["dilation"])]
            size    = [(n + sum(p) - e) // s + 1 for n, p, e, s in zip(
                x.shape[2:], options["padding"], extent, options["strides"])]
            shape   = (1, len(kernel), *size)
            op      = "Conv2D"
        else:
            if node.op_type == "Gemm" and (attrs.get("transA", 0) or {
                    attrs.get("alpha", 1.0), attrs.get("beta", 1.0)} != {1.0}):
                raise Refused("Gemm with alpha, beta or transA is not supported", REMEDY)
            if values.ndim != 2 or len(x.shape) != 2:
                raise Refused(f"{node.op_type} of tensors with {len(x.shape)} and {values.ndim} "
                              "axes is not supported", "flatten them")
            kernel  = values if attrs.get("transB", 0) else values.T
            if x.order is not None:
                moved = np.empty_like(kernel)
                moved[:, x.order] = kernel
                kernel = moved
            options, op = {}, "FullyConnected"
            shape   = (1, len(kernel))
        kernel, scale = weight_codes(kernel, weights.scale)
        low, high, step = reach(x, kernel, padded=op == "Conv2D" and
                                any(map(any, options["padding"])))
        scale = scale * x.tensor.scale[0]
        if not bias:
            check_exact(x, kernel, scale, np.zeros_like(scale))
            return Sums(Node(op=op, name=label, inputs=(), outputs=(), attrs=options), x, kernel,
                        scale, shape, low, high, step, node.output[0])
        # As nothing is rounded, it is the same to add it behind the products.
        if not isinstance(bias[0], Constant) or bias[0].values.size != len(kernel):
            raise Refused("its bias is not one constant per output channel", REMEDY)
        values = bias[0].values.reshape(-1).astype(np.float64)
        check_exact(x, kernel, scale, values)
        source, name = f"{node.output[0]} (products)", f"{node.output[0]} (bias)"
        self.values[name] = Constant(bias[0].values.reshape(1, -1, *[1] * (len(shape) - 2)))
        add = self.onnx.helper.make_node("Add", [source, name], [node.output[0]])
        return Sums(Node(op=op, name=label, inputs=(), outputs=(), attrs=options), x, kernel,
                    scale, shape, low, high, step, source, (add,))

    # Shapes and pools.

    def _reshape(self, node, x):
        probe = np.arange(np.prod(x.shape)).reshape(x.shape).astype(np.float32)
        moved = self._evaluate([node], {**self._constants_of([node]), node.input[0]: probe})
        shape = moved[node.output[0]].shape
        if isinstance(x, Real):
            if x.nodes:
                raise Refused("an input is reshaped behind arithmetic", "reshape it first")
            if shape == x.shape:
                return x
            tensor = self._tensor(node.output[0], shape, "float32")
            self._add("Reshape", node.output[0], [x.tensor], tensor, shape=shape)
            return Real(tensor, shape, node.output[0])
        if isinstance(x, Sums):
            raise Refused("sums are reshaped before they are quantised", "reshape codes")
        if shape == x.shape:
            return x
        if len(shape) != 2 or shape[0] != 1:
            raise Refused(f"codes of shape {x.shape} become {shape}", "flatten them, or do not")
        order, name = None, node.output[0]
        if len(x.shape) == 4 and x.shape[1] > 1 and x.shape[2:] != (1, 1):
            _, channels, height, width = x.shape
            order = np.arange(height * width * channels).reshape(height, width, channels) \
                .transpose(2, 0, 1).reshape(-1)
            name += " (HWC)"
        tensor = self._like(x.tensor, name, shape)
        self._add("Reshape", name, [x.tensor], tensor, shape=shape)
        return replace(x, tensor=tensor, shape=shape, order=order)

    def _max_pool(self, node, label, x):
        attrs = self._attributes(node)
        if not isinstance(x, Codes) or len(x.shape) != 4 or attrs.get("ceil_mode", 0) \
                or any(d != 1 for d in attrs.get("dilations", [1, 1])) \
                or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise Refused("only images of codes are pooled, without dilation and rounding up",
                          "quantise before the pool")
        kernel  = tuple(attrs["kernel_shape"])
        strides = tuple(attrs.get("strides", [1] * len(kernel)))
        top, left, bottom, right = attrs.get("pads", [0, 0, 0, 0])
        padding = ((top, bottom), (left, right))
        size    = [(n + sum(p) - k) // s + 1
                   for n, p, k, s in zip(x.shape[2:], padding, kernel, strides)]
        shape   = (1, x.shape[1], *size)
        tensor  = self._like(x.tensor, node.output[0], (1, *size, x.shape[1]))
        self._add("MaxPool2D", label, [x.tensor], tensor, kernel=kernel, strides=strides,
                  padding=padding, activation="none")
        return replace(x, tensor=tensor, shape=shape)

    def _elementwise(self, node, x):
        if isinstance(x, Codes):
            if node.op_type in ("Identity", "Dropout", "Cast"):
                return x
            raise Refused(f"{node.op_type} of codes before the next linear operator",
                          "fold it into the quantiser's scale")
        return replace(x, nodes=(*x.nodes, node))

    # Quantisers.

    def _quantise(self, node, label, x):
        scale, zero, levels = quantiser_levels(
            node.op_type, self._attributes(node),
            [self.values[name].values for name in node.input[1:] if name])
        nodes  = (*x.nodes, node)
        values = self._constants_of(nodes)
        known  = (np.array(levels, np.float64) - zero) * scale

        def counts(real):
            """Index of the level of each value of (samples, channels)."""
            shape = (*real.shape, 1, 1) if len(x.shape) == 4 else real.shape
            out   = self._evaluate(nodes, {**values, x.source: real.reshape(shape)})
            out   = out[node.output[0]].reshape(real.shape)
            index = np.argmin(np.abs(out[..., None] - known), axis=-1)
            if not np.array_equal(out, known.astype(np.float32)[index]):
                raise Refused("the quantiser gives other values than its attributes say",
                              "check the model")
            return index

        if isinstance(x, Real):
            return self._quantise_input(node, label, x, counts, scale, zero, levels)
        kernel, limits = sum_thresholds(x, counts, len(levels) - 1)
        shape   = x.shape if len(x.shape) == 2 else (1, *x.shape[2:], x.shape[1])
        output  = self._coded(node.output[0], shape, scale, zero)
        weights = self._weights(f"{x.node.name} weights", kernel)
        limits  = self._constant(f"{x.node.name} thresholds", limits.astype(np.int32))
        self._add(f"Threshold{x.node.op}", x.node.name, [x.x.tensor, weights, limits], output,
                  **x.node.attrs, levels=levels)
        return Codes(output, x.shape, levels)

    def _quantise_input(self, node, label, x, counts, scale, zero, levels):
        channels = x.shape[1] if len(x.shape) == 4 else 1

        def reached(real):
            if len(x.shape) == 4:
                return counts(np.broadcast_to(real[:, None], (len(real), channels)))[:, 0]
            wide = np.broadcast_to(real[:, None], (len(real), x.shape[1]))
            result = counts(np.ascontiguousarray(wide))
            if np.any(result != result[:, :1]):
                raise Refused("an input has a quantiser per value", "use one for all")
            return result[:, 0]

        limits = input_thresholds(reached, len(levels) - 1)
        output = self._coded(node.output[0] if len(x.shape) != 4 else f"{node.output[0]} (NCHW)",
                             x.shape, scale, zero)
        table  = self._constant(f"{label} thresholds", limits[None])
        self._add("Threshold", label, [x.tensor, table], output, levels=levels)
        codes  = Codes(output, x.shape, levels)
        return self._image(codes)

    # Outputs.

    def _output(self, name):
        value = self.values[name]
        if isinstance(value, Codes):
            if len(value.shape) == 4 or value.order is not None:
                self.problems.append((name, "an image of codes is an output", "flatten it"))
                return name
            real = self._tensor(f"{name} (real)", value.shape, "float32")
            self._add("Dequantize", f"{name} (real)", [value.tensor], real)
            return real.name
        if not isinstance(value, Sums) or len(value.shape) != 2:
            self.problems.append((name, "this output is not made of sums or codes",
                                  "end with a fully connected layer"))
            return name
        channels = len(value.kernel)
        sums     = np.arange(value.low.min(), value.high.max() + 1, value.step)
        if len(sums) * channels > MAX_TABLE:
            self.problems.append((name, f"its sums take {len(sums)} values", "use fewer bits"))
            return name
        real  = (sums[:, None] * value.scale).astype(np.float32)
        last  = value.nodes[-1].output[0] if value.nodes else value.source
        table = self._evaluate(value.nodes, {**self._constants_of(value.nodes),
                                             value.source: real})[last]
        whole = self._tensor(value.source if value.nodes else f"{name} (sums)", value.shape,
                             "int32", scale=value.scale.astype(np.float32), axis=1,
                             zero_point=np.zeros(channels, np.int64))
        split = {"first": int(sums[0]), "step": value.step,
                 "segments": -(-(len(sums) - 1) // 255)}
        parts = self._coded(f"{whole.name} (segments)",
                            (*value.shape[:-1], channels * split["segments"]), 1)
        weights = self._weights(f"{value.node.name} weights", value.kernel)
        self._add(f"Segment{value.node.op}", value.node.name, [value.x.tensor, weights], parts,
                  **value.node.attrs, **split)
        self._add("JoinSegments", whole.name, [parts], whole, **split)
        output = self._tensor(name, value.shape, "float32")
        table  = self._constant(f"{name} table", np.ascontiguousarray(
            np.broadcast_to(table, real.shape).T, np.float32))
        self._add("ChannelTable", f"{name} table", [whole, table], output, first=int(sums[0]),
                  step=value.step)
        return name
