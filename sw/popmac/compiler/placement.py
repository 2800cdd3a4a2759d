"""Which nodes run on the device, and why the others do not."""

from dataclasses import dataclass

import numpy as np

from ..golden.layers.resize import nearest_pixels
from .view import RESHAPES, image_shape


__all__ = ["FUNCTIONS", "Verdict", "place"]


MAX_SIZE     = 1024 # of an image, in pixels
MAX_CHANNELS = 4096
MAX_KERNEL   = 15
MAX_STRIDE   = 4


@dataclass(frozen=True)
class Verdict:
    """Why a node does not run on the device, and what to do about it."""

    reason: str
    remedy: str


#: Operators that make a code of one code.
FUNCTIONS = ("HardSwish", "LeakyRelu", "Logistic", "Lookup", "Quantize", "Relu", "Relu0To1",
             "Relu6", "ReluN1To1", "Tanh")

_KEEP = "keep it if speed matters little, or change the model"


def place(graph, excluded):
    """Decide where nodes run.

    Parameters
    ----------
    graph : Graph
    excluded : mapping of str to Verdict
        Nodes that turned out not to work on the device, by name.

    Returns
    -------
    dict of str to Verdict
        The nodes that do not run on the device, by name.
    """
    verdicts = dict(excluded)
    for node in graph.nodes:
        if node.name not in verdicts and (verdict := _judge(graph, node)):
            verdicts[node.name] = verdict

    # Reading a tensor in another shape takes nothing where it is read.
    on_device = {name for node in graph.nodes
                 if node.op not in RESHAPES and node.name not in verdicts
                 for name in (*node.inputs, *node.outputs)}
    flattened = {node.name for node in graph.nodes
                 if node.op in RESHAPES and _flattens(graph, node, on_device)}
    for node in _with_reshapes_last(graph):
        if node.op in RESHAPES and node.name not in verdicts:
            if node.name in flattened:
                verdicts[node.name] = Verdict("the host writes the vector just as well",
                                              "nothing is lost")
            elif node.inputs[0] in on_device or node.output in on_device:
                on_device.update((node.inputs[0], node.output))
            else:
                verdicts[node.name] = Verdict("its input and output are on the host",
                                              "nothing is lost")
    return verdicts


def _flattens(graph, node, on_device):
    """Whether a node makes a vector of an image that the device has no other use for.

    As a vector it takes less memory, and as bits fewer steps.
    """
    source, target = (image_shape(graph.tensors[name].shape) for name in
                      (node.inputs[0], node.output))
    return node.inputs[0] not in on_device and None not in (source, target) \
        and target[:2] == (1, 1) != source[:2] and all(
            other is node for other in graph.consumers(node.inputs[0])
            if other.op in RESHAPES)


def _with_reshapes_last(graph):
    # Chains of them are decided from either end.
    reshapes = [node for node in graph.nodes if node.op in RESHAPES]
    return [*reshapes, *reversed(reshapes), *reshapes]


def _judge(graph, node):
    check = _CHECKS.get(node.op)
    if check is None:
        return Verdict(f"the device has no {node.op}", _KEEP)
    names   = [name for name in (*node.inputs, *node.outputs) if name]
    moving  = [graph.tensors[name] for name in names if not graph.tensors[name].is_constant]
    if node.op == "Quantize" and "uint8" in {tensor.dtype for tensor in moving}:
        return Verdict("the device computes int8, and the model has uint8 outside",
                       "nothing is lost but the time to convert it")
    if node.op == "SumFullyConnected": # vector by vector
        return check(graph, node)
    for tensor in moving:
        if tensor.dtype != "int8":
            return Verdict(f"{tensor.name} is {tensor.dtype}, not int8",
                           "quantise the model to int8")
        if tensor.scale is None or tensor.scale.size != 1:
            return Verdict(f"{tensor.name} is not quantised with one scale",
                           "quantise activations per tensor")
        shape = image_shape(tensor.shape)
        if shape is None:
            return Verdict(f"{tensor.name} of shape {tensor.shape} is not one image",
                           "use a batch of 1")
        if max(shape[:2]) > MAX_SIZE or shape[2] > MAX_CHANNELS:
            return Verdict(f"{tensor.name} of shape {tensor.shape} is larger than {MAX_SIZE} x "
                           f"{MAX_SIZE} x {MAX_CHANNELS}", "use a smaller input")
    return check(graph, node)


def _check_window(node, kernel):
    (top, bottom), (left, right) = node.attrs["padding"]
    dilation = node.attrs.get("dilation", (1, 1))
    for name, values, limit in [
        ("kernel", kernel, MAX_KERNEL),
        ("padding", (top, bottom, left, right), MAX_KERNEL),
        ("dilation", dilation, MAX_KERNEL),
        ("stride", node.attrs["strides"], MAX_STRIDE),
    ]:
        if max(values) > limit:
            return Verdict(f"{name} {max(values)} is larger than {limit}", _KEEP)
    return None


def _check_depthwise(graph, node):
    return _check_weights(graph, node) \
        or _check_window(node, graph.tensors[node.inputs[1]].shape[1:3])


def _check_weights(graph, node):
    weights, *bias = (graph.tensors[name] for name in node.inputs[1:] if name)
    if not weights.is_constant or not all(tensor.is_constant for tensor in bias):
        return Verdict("its weights are computed", "use constant weights")
    if weights.dtype != "int8":
        return Verdict(f"its weights are {weights.dtype}, not int8", "quantise the weights to int8")
    if np.any(weights.zero_point):
        return Verdict("its weights have zero points", "quantise the weights symmetrically")
    return None


def _check_convolution(graph, node):
    kernel = graph.tensors[node.inputs[1]].shape
    source = graph.tensors[node.inputs[0]].shape
    if kernel[3] != source[3]:
        return Verdict(f"it has groups: {source[3]} input channels for kernels of {kernel[3]}",
                       "split it into one convolution per group")
    return _check_weights(graph, node) or _check_window(node, kernel[1:3])


def _check_fully_connected(graph, node):
    weights = graph.tensors[node.inputs[1]].shape
    source  = image_shape(graph.tensors[node.inputs[0]].shape)
    if np.prod(source) != weights[1] and source[2] != weights[1]:
        return Verdict(f"its input of shape {source} does not divide into vectors of {weights[1]}",
                       _KEEP)
    return _check_weights(graph, node)


def _check_sums(graph, node):
    for tensor in (graph.tensors[node.inputs[0]], graph.tensors[node.output]):
        if tensor.shape[-1] > MAX_CHANNELS:
            return Verdict(f"{tensor.name} has vectors of {tensor.shape[-1]}, more than "
                           f"{MAX_CHANNELS}", "divide the matrix")
    return _check_weights(graph, node)


def _check_pool(graph, node):
    kernel = list(node.attrs["kernel"])
    source = image_shape(graph.tensors[node.inputs[0]].shape)
    # A kernel as large as the image takes no more than one of any size.
    if all(k <= size for k, size in zip(kernel, source)) and max(node.attrs["padding"]) == (0, 0):
        target = image_shape(graph.tensors[node.output].shape)
        if target[:2] == (1, 1):
            return None
    return _check_window(node, kernel)


def _check_transpose_conv(graph, node):
    return _check_weights(graph, node) \
        or _check_window(node, graph.tensors[node.inputs[1]].shape[1:3])


def _check_mean(graph, node):
    shape = graph.tensors[node.inputs[0]].shape
    over  = {axis - len(shape) for axis in node.attrs["axes"]}
    if not over <= {-3, -2}:
        return Verdict("it goes over channels", _KEEP)
    # Where only one axis is left of rows and columns, it must still be the same one.
    if over == {-2} and not node.attrs["keep_dims"] and image_shape(shape)[0] > 1:
        return Verdict("it takes the columns away, but not the rows", "keep the dimensions")
    return None


def _check_copy(graph, node):
    if any(graph.tensors[name].is_constant for name in node.inputs):
        return Verdict("one operand is constant", _KEEP)
    return None


def _check_concatenation(graph, node):
    if len(graph.tensors[node.outputs[0]].shape) - node.attrs["axis"] > 3:
        return Verdict("it joins images", "use a batch of 1")
    return _check_copy(graph, node)


def _check_pad(graph, node):
    if any(node.attrs["padding"][-1]):
        return Verdict("it adds channels", _KEEP)
    return _check_copy(graph, node)


def _check_strided_slice(graph, node):
    slices = node.attrs["slices"]
    if slices[-1][2] != 1:
        return Verdict("it leaves out channels", _KEEP)
    if image_shape(graph.tensors[node.output].shape) \
            != image_shape(tuple(number for _, number, _ in slices)):
        return Verdict("it takes away an axis in the middle", "keep the dimensions")
    return _check_copy(graph, node)


def _check_resize(graph, node):
    old = graph.tensors[node.inputs[0]].shape[1:3]
    new = node.attrs["size"]
    if any(n % o or np.any(pixels != np.arange(n) // (n // o))
           for pixels, n, o in zip(nearest_pixels(old, **node.attrs), new, old)):
        return Verdict("it is not by whole numbers", "enlarge by a whole number")
    return None


def _check_arithmetic(graph, node):
    constants = [graph.tensors[name] for name in node.inputs if graph.tensors[name].is_constant]
    if len(constants) == 1:
        constant, = constants
        output    = graph.tensors[node.output]
        source,   = (graph.tensors[name] for name in node.inputs if name != constant.name)
        if constant.data.size != np.prod(constant.shape[-1:], dtype=int) \
                or image_shape(source.shape) != image_shape(output.shape):
            return Verdict("its constant is not one value, or one per channel",
                           "fold it into the layer before")
        return None
    return _check_pair(graph, node)


def _check_pair(graph, node):
    shapes = {image_shape(graph.tensors[name].shape) for name in (*node.inputs, *node.outputs)}
    if any(graph.tensors[name].is_constant for name in node.inputs):
        return Verdict("one operand is constant", _KEEP)
    if len(shapes) != 1:
        return Verdict(f"its tensors have different shapes: {sorted(shapes)}",
                       "use tensors of the same shape, or one value per channel")
    return None


def _check_broadcast(graph, node):
    source, target = (image_shape(graph.tensors[name].shape) for name in
                      (node.inputs[0], node.output))
    if source != (1, 1, target[2]):
        return Verdict("it is not one value per channel", _KEEP)
    return None


_CHECKS = {
    "Conv2D":                _check_convolution,
    "DepthwiseConv2D":       _check_depthwise,
    "FullyConnected":        _check_fully_connected,
    "ThresholdConv2D":       _check_convolution,
    "SegmentConv2D":         _check_convolution,
    "ThresholdFullyConnected": _check_fully_connected,
    "SegmentFullyConnected": _check_fully_connected,
    "SumFullyConnected":     _check_sums,
    "AveragePool2D":         _check_pool,
    "MaxPool2D":             _check_pool,
    "Mean":                  _check_mean,
    "ReduceMax":             _check_mean,
    "TransposeConv":         _check_transpose_conv,
    "Broadcast":             _check_broadcast,
    "Maximum":               _check_pair,
    "SumCodes":              _check_pair,
    **dict.fromkeys(("Add", "Sub", "Mul"), _check_arithmetic),
    **dict.fromkeys(FUNCTIONS, lambda graph, node: None),
    "Concatenation":         _check_concatenation,
    "Split":                 _check_concatenation,
    "StridedSlice":          _check_strided_slice,
    "Pad":                   _check_pad,
    "ResizeNearestNeighbor": _check_resize,
    **dict.fromkeys(RESHAPES, lambda graph, node: None),
}
