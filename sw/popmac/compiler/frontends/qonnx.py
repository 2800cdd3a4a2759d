"""QONNX files to graphs.

A QONNX network computes with real numbers between its quantisers. Here each stretch from a linear
operator to the next quantiser becomes integer sums with thresholds: as the sums are integers in a
known range, the runtime's own operators are evaluated at every one of them, and the sums at which
the code changes are the thresholds. Nothing is derived from formulas, so that nothing can differ.
Two dialects load: those of FINN's model zoo, and what Brevitas exports.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...errors import ModelFormatError, UnsupportedModelError
from ...graph import Graph, Node, Tensor
from .onnx_runtime import OnnxOperators, import_onnx


__all__ = ["load_qonnx"]


#: Operators that act on each value, or on each channel, alone.
ELEMENTWISE = {"Add", "BatchNormalization", "Cast", "Clip", "Div", "Dropout", "HardTanh",
               "Identity", "Mul", "Neg", "Pow", "Relu", "Sign", "Sub"}
QUANTISERS  = {"BipolarQuant", "MultiThreshold", "Quant", "Sign"}
LINEAR      = {"Conv", "Gemm", "MatMul"}
SHAPES      = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}

MAX_REACHABLE = 1 << 22 # sums times channels that are evaluated at once

# Sums of float32 numbers are exact while they stay below.
_EXACT = 2**24


class _Refused(Exception):
    """A node cannot be loaded: reason and remedy."""


@dataclass(frozen=True, eq=False)
class _Constant:
    """Known values; ``scale`` is that of the quantiser that they come from, if any."""
    values: np.ndarray
    scale:  np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Codes:
    """Values that a tensor of the graph has the codes of.

    ``shape`` is the shape in the file; images are (1, channels, height, width) there and
    (1, height, width, channels) in the graph. ``order`` is where in the flat graph tensor the
    elements of a flat file tensor are, ``None`` if in their places.
    """
    tensor: Tensor
    shape:  tuple
    levels: tuple
    order:  np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Sums:
    """Integer sums times ``scale``, on which ``nodes`` have been applied.

    ``low``, ``high`` and ``step`` say which sums can occur.
    """
    node:   Node       # op without its kind
    x:      _Codes
    kernel: np.ndarray # (output channel, ...)
    scale:  np.ndarray # (output channels,)
    shape:  tuple
    low:    np.ndarray
    high:   np.ndarray
    step:   int
    source: str        # tensor in the file
    nodes:  tuple = ()


@dataclass(frozen=True, eq=False)
class _Real:
    """An input of the model, on which ``nodes`` have been applied."""
    tensor: Tensor
    shape:  tuple
    source: str
    nodes:  tuple = ()


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
                self.values[tensor.name] = _Constant(self.onnx.numpy_helper.to_array(tensor))
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
            except _Refused as error:
                self.problems.append((label, *error.args))
                self.values.update((output, None) for output in node.output)
        outputs = []
        for item in graph.output if not self.problems else ():
            try:
                outputs.append(self._output(item.name))
            except _Refused as error:
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
            self.values[item.name] = self._image(_Codes(tensor, shape, tuple(levels)))
        else:
            tensor = self._tensor(item.name, shape, "float32")
            self.values[item.name] = _Real(tensor, shape, item.name)

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
        if node.op_type == "Shape" and not isinstance(inputs[0], _Constant):
            shape = np.array(inputs[0].shape, np.int64)
            self.values[node.output[0]] = _Constant(shape)
            return
        if all(isinstance(value, _Constant) for value in inputs):
            self._fold(node, inputs)
            return
        if len(node.output) > 1 and node.op_type not in ("BatchNormalization", "Dropout"):
            raise _Refused(f"{node.op_type} has several outputs", _REMEDY)
        x = inputs[0]
        if node.op_type in LINEAR:
            result = self._linear(node, label)
        elif node.op_type in SHAPES:
            result = self._reshape(node, x)
        elif node.op_type == "MaxPool":
            result = self._max_pool(node, label, x)
        elif node.op_type in QUANTISERS and not isinstance(x, _Codes):
            result = self._quantise(node, label, x)
        elif node.op_type in ELEMENTWISE:
            result = self._elementwise(node, x)
        else:
            raise _Refused(f"popmac has no {node.op_type} between quantisers", _REMEDY)
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
            self.values[name] = _Constant(values[name], scale)

    def _evaluate(self, nodes, values):
        try:
            return self.operators.run(nodes, values)
        except Exception as error: # whatever the runtime raises
            text = str(error).splitlines()[0][:200]
            raise _Refused(f"the runtime cannot compute it: {text}", "check the model") from None

    def _constants_of(self, nodes):
        return {name: self.values[name].values for node in nodes for name in node.input
                if isinstance(self.values.get(name), _Constant)}

    def _attributes(self, node):
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    # Linear operators.

    def _linear(self, node, label):
        x, weights, *bias = (self.values[name] for name in node.input if name)
        if not isinstance(x, _Codes):
            raise _Refused(f"the input of {node.op_type} is not quantised",
                           "put a quantiser in front of it")
        if not isinstance(weights, _Constant):
            raise _Refused("both operands are computed", "use constant weights")
        attrs  = self._attributes(node)
        values = weights.values
        if node.op_type == "Conv":
            if attrs.get("group", 1) != 1 or values.ndim != 4 \
                    or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
                raise _Refused("grouped, one-dimensional and automatically padded convolutions of "
                               "few bits are not supported", _REMEDY)
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
            if node.op_type == "Gemm" and (attrs.get("alpha", 1.0) != 1 or attrs.get("transA", 0)):
                raise _Refused("Gemm with alpha or transA is not supported", _REMEDY)
            if values.ndim != 2 or len(x.shape) != 2:
                raise _Refused(f"{node.op_type} of tensors with {len(x.shape)} and {values.ndim} "
                               "axes is not supported", "flatten them")
            kernel  = values if attrs.get("transB", 0) else values.T
            if x.order is not None:
                moved = np.empty_like(kernel)
                moved[:, x.order] = kernel
                kernel = moved
            options, op = {}, "FullyConnected"
            shape   = (1, len(kernel))
        kernel, scale = self._integers(kernel, weights.scale)
        low, high, step = _reach(x, kernel, padded=op == "Conv2D" and
                                 any(map(any, options["padding"])))
        inexact = float(x.tensor.scale[0]) * scale
        mantissa, _ = np.frexp(inexact)
        whole   = np.abs(mantissa * 2**24)
        odd     = whole / (whole.astype(np.int64) & -whole.astype(np.int64))
        if np.any(odd * np.maximum(np.abs(low), np.abs(high)) >= _EXACT):
            raise _Refused("the runtime's sums of these scales are rounded, in an order that only "
                           "it knows", "use scales that are powers of two")
        sums = _Sums(Node(op=op, name=label, inputs=(), outputs=(), attrs=options), x, kernel,
                     scale * x.tensor.scale[0], shape, low, high, step, node.output[0])
        if bias:
            # The same operator without its products adds the bias just so.
            raise _Refused("a bias on integer sums is not supported",
                           "export the bias as a part of batch normalisation")
        return sums

    def _integers(self, kernel, scale):
        """Weights as integers, and their scale per output channel."""
        count = len(kernel)
        if scale is None or scale.size != 1:
            flat   = np.abs(kernel.reshape(count, -1))
            least  = np.where(flat > 0, flat, np.inf).min(axis=1)
            scale  = np.where(np.isfinite(least), least, 1)
            if np.all(kernel == np.rint(kernel)) and np.all(np.abs(kernel) <= 128):
                scale = np.ones(count)
        scale = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1), (count,))
        if not np.all(scale > 0):
            raise _Refused("the scale of the weights is not positive", "quantise them again")
        codes = np.rint(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1)))
        back  = (codes * scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.float32)
        if not np.array_equal(back, kernel.astype(np.float32)) or np.any(np.abs(codes) > 127):
            raise _Refused("the weights are not quantised to 8 bits or fewer",
                           "put a quantiser behind them")
        return codes.astype(np.int64), scale

    # Shapes and pools.

    def _reshape(self, node, x):
        probe = np.arange(np.prod(x.shape)).reshape(x.shape).astype(np.float32)
        moved = self._evaluate([node], {**self._constants_of([node]), node.input[0]: probe})
        shape = moved[node.output[0]].shape
        if isinstance(x, _Real):
            if x.nodes:
                raise _Refused("an input is reshaped behind arithmetic", "reshape it first")
            if shape == x.shape:
                return x
            tensor = self._tensor(node.output[0], shape, "float32")
            self._add("Reshape", node.output[0], [x.tensor], tensor, shape=shape)
            return _Real(tensor, shape, node.output[0])
        if isinstance(x, _Sums):
            raise _Refused("sums are reshaped before they are quantised", "reshape codes")
        if shape == x.shape:
            return x
        if len(shape) != 2 or shape[0] != 1:
            raise _Refused(f"codes of shape {x.shape} become {shape}", "flatten them, or do not")
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
        if not isinstance(x, _Codes) or len(x.shape) != 4 or attrs.get("ceil_mode", 0) \
                or any(d != 1 for d in attrs.get("dilations", [1, 1])) \
                or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise _Refused("only images of codes are pooled, without dilation and rounding up",
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
        if isinstance(x, _Codes):
            if node.op_type in ("Identity", "Dropout", "Cast"):
                return x
            raise _Refused(f"{node.op_type} of codes before the next linear operator",
                           "fold it into the quantiser's scale")
        return replace(x, nodes=(*x.nodes, node))

    # Quantisers.

    def _levels(self, node):
        """Scale, zero point, and codes of all values of a quantiser."""
        attrs  = self._attributes(node)
        number = [self.values[name].values for name in node.input[1:] if name]
        if node.op_type == "Sign":
            raise _Refused("Sign gives 0 for 0", "use BipolarQuant")
        if node.op_type == "BipolarQuant":
            if number[0].size != 1:
                raise _Refused("activations have a scale per channel", "use one scale")
            return float(number[0].item()), 0, (-1, 1)
        if node.op_type == "Quant":
            if any(n.size != 1 for n in number):
                raise _Refused("activations have a scale per channel", "use one scale")
            scale, zero, bits = (float(n.item()) for n in number)
            signed, narrow = attrs.get("signed", 1), attrs.get("narrow", 0)
            low  = -2**(bits - 1) + narrow if signed else 0
            high = 2**(bits - 1) - 1 if signed else 2**bits - 1 - narrow
            if bits != int(bits) or zero != int(zero) or high - low > 255:
                raise _Refused(f"a quantiser of {bits} bits", "use 8 bits or fewer")
            offset = 128 if high > 127 else 0
            return scale, int(zero) - offset, tuple(range(int(low) - offset,
                                                          int(high) - offset + 1))
        scale = attrs.get("out_scale", 1.0)
        first = attrs.get("out_bias", 0.0) / scale
        count = number[0].shape[-1] + 1
        if first == int(first):
            codes, factor = range(int(first), int(first) + count), 1
        elif 2 * first == int(2 * first):
            codes, factor = range(int(2 * first), int(2 * first) + 2 * count, 2), 2
        else:
            raise _Refused(f"out_bias {attrs['out_bias']} is no multiple of out_scale",
                           "use a multiple of half of it")
        codes  = tuple(codes)
        offset = 128 if codes[-1] > 127 else 0
        codes  = tuple(c - offset for c in codes)
        if codes[0] < -128 or codes[-1] > 127:
            raise _Refused(f"a quantiser of {count} levels", "use 8 bits or fewer")
        return scale / factor, -offset, codes

    def _quantise(self, node, label, x):
        scale, zero, levels = self._levels(node)
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
                raise _Refused("the quantiser gives other values than its attributes say",
                               "check the model")
            return index

        if isinstance(x, _Real):
            return self._quantise_input(node, label, x, counts, scale, zero, levels)
        kernel, limits = self._sum_thresholds(x, counts, len(levels) - 1)
        shape   = x.shape if len(x.shape) == 2 else (1, *x.shape[2:], x.shape[1])
        output  = self._coded(node.output[0], shape, scale, zero)
        weights = self._weights(f"{x.node.name} weights", kernel)
        limits  = self._constant(f"{x.node.name} thresholds", limits.astype(np.int32))
        self._add(f"Threshold{x.node.op}", x.node.name, [x.x.tensor, weights, limits], output,
                  **x.node.attrs, levels=levels)
        return _Codes(output, x.shape, levels)

    def _sum_thresholds(self, x, counts, number):
        """Kernel, with the signs of falling channels changed, and thresholds of its sums."""
        channels = len(x.kernel)
        first, last = int(x.low.min()), int(x.high.max())
        sums     = np.arange(first, last + 1, x.step)
        if len(sums) * channels > MAX_REACHABLE * 8:
            raise _Refused(f"its sums take {len(sums)} values", "use fewer inputs or bits")
        reached  = counts((sums[:, None] * x.scale).astype(np.float32))
        # What a channel cannot reach does not count.
        inside   = (sums[:, None] >= x.low) & (sums[:, None] <= x.high)
        change   = np.diff(reached, axis=0) * (inside[1:] & inside[:-1])
        falling  = np.any(change < 0, axis=0)
        if np.any(falling & np.any(change > 0, axis=0)):
            raise _Refused("its codes rise and fall again as the sums rise",
                           "use a monotonic activation")
        limits   = np.empty((channels, number), np.int64)
        for k in range(number):
            above = reached > k
            rising_at  = np.where(np.any(above & inside, axis=0), sums[np.argmax(
                above & inside, axis=0)], last + 1)
            # Falling: the greatest sum above, whose negative is the threshold.
            backwards  = (above & inside)[::-1]
            falling_at = np.where(np.any(backwards, axis=0),
                                  -sums[::-1][np.argmax(backwards, axis=0)], -first + 1)
            limits[:, k] = np.where(falling, falling_at, rising_at)
        sign = np.where(falling, -1, 1).reshape(-1, *[1] * (x.kernel.ndim - 1))
        return x.kernel * sign, limits

    def _quantise_input(self, node, label, x, counts, scale, zero, levels):
        channels = x.shape[1] if len(x.shape) == 4 else 1
        number   = len(levels) - 1

        def reached(real):
            if len(x.shape) == 4:
                return counts(np.broadcast_to(real[:, None], (len(real), channels)))[:, 0]
            wide = np.broadcast_to(real[:, None], (len(real), x.shape[1]))
            result = counts(np.ascontiguousarray(wide))
            if np.any(result != result[:, :1]):
                raise _Refused("an input has a quantiser per value", "use one for all")
            return result[:, 0]

        # Floating-point numbers in their order, as integers; bisection over all of them.
        limits = np.empty(number, np.float32)
        for k in range(number):
            low, high = -0x7f800000, 0x7f800000 # of -inf, inf
            while low < high:
                middle = (low + high) // 2
                if reached(_float(np.array([middle])))[0] > k:
                    high = middle
                else:
                    low = middle + 1
            limits[k] = _float(np.array([low]))[0]
        output = self._coded(node.output[0] if len(x.shape) != 4 else f"{node.output[0]} (NCHW)",
                             x.shape, scale, zero)
        table  = self._constant(f"{label} thresholds", limits[None])
        self._add("Threshold", label, [x.tensor, table], output, levels=levels)
        codes  = _Codes(output, x.shape, levels)
        return self._image(codes)

    # Outputs.

    def _output(self, name):
        value = self.values[name]
        if isinstance(value, _Codes):
            if len(value.shape) == 4 or value.order is not None:
                self.problems.append((name, "an image of codes is an output", "flatten it"))
                return name
            real = self._tensor(f"{name} (real)", value.shape, "float32")
            self._add("Dequantize", f"{name} (real)", [value.tensor], real)
            return real.name
        if not isinstance(value, _Sums) or len(value.shape) != 2:
            self.problems.append((name, "this output is not made of sums or codes",
                                  "end with a fully connected layer"))
            return name
        channels = len(value.kernel)
        sums     = np.arange(value.low.min(), value.high.max() + 1, value.step)
        if len(sums) * channels > MAX_REACHABLE:
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


_REMEDY = "change the model, or compute this part elsewhere"


def _reach(x, kernel, *, padded):
    """Least and greatest sum of each output channel, and the step between sums."""
    zero  = int(x.tensor.zero_point[0])
    low, high = min(x.levels) - zero, max(x.levels) - zero
    flat  = kernel.reshape(len(kernel), -1)
    ends  = np.stack([flat * low, flat * high])
    if padded:
        ends = np.concatenate([ends, np.zeros_like(ends[:1])])
    least, most = ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)
    bipolar = x.levels == (-1, 1) and zero == 0 and not padded and np.all(np.abs(flat) == 1)
    return least, most, 2 if bipolar else 1


def _float(order):
    """Floating-point numbers from their places in the order of all of them."""
    order = np.asarray(order, np.int64)
    bits  = np.where(order < 0, 0x80000000 - order, order).astype(np.uint32)
    return bits.view(np.float32)
