"""Batch normalisation and products with constants, as the quantiser wants them."""

import numpy as np
import onnx
from onnx import helper, numpy_helper


__all__ = ["fold"]


def fold(model):
    """Fold batch normalisation, and give each linear operator weights and a bias of its own.

    ``BatchNormalization`` of what ``Conv`` or ``Gemm`` compute, and nothing else reads, becomes a
    part of their constants: ``w' = w * g``, ``b' = (b - mean) * g + beta`` with ``g = gamma /
    sqrt(variance + epsilon)`` of each output channel. Elsewhere it becomes a depthwise ``Conv`` of
    one pixel, if it is of images. ``MatMul`` by a constant matrix, and ``Add`` behind it, become
    ``Gemm``; factors ``alpha`` and ``beta`` of ``Gemm`` become a part of its constants.

    Applies where the constants are known. Keeps the values of all other tensors up to rounding.
    """
    return _Folder(model).run()


class _Folder:
    def __init__(self, model):
        self.model     = model
        self.nodes     = list(model.graph.node)
        self.constants = {t.name: t for t in model.graph.initializer}
        self.ranks     = {v.name: len(v.type.tensor_type.shape.dim) for v in (
            *onnx.shape_inference.infer_shapes(model).graph.value_info, *model.graph.input,
            *model.graph.output) if v.type.tensor_type.HasField("shape")}

    def run(self):
        for node in list(self.nodes):
            if node.op_type == "MatMul":
                self._matmul(node)
        for node in self.nodes:
            if node.op_type in ("Conv", "Gemm") and node.input[1] in self.constants:
                self._own_constants(node)
        for node in list(self.nodes):
            if node.op_type == "BatchNormalization":
                self._batch_normalization(node)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        graph.initializer.extend(t for name, t in self.constants.items()
                                 if name in used or any(o.name == name for o in graph.output))
        return self.model

    def _value(self, name):
        return numpy_helper.to_array(self.constants[name])

    def _set(self, name, values):
        while name in self.constants:
            name += "_"
        self.constants[name] = numpy_helper.from_array(
            np.ascontiguousarray(values, np.float32), name)
        return name

    def _consumers(self, name):
        return [node for node in self.nodes if name in node.input]

    def _is_output(self, name):
        return any(item.name == name for item in self.model.graph.output)

    def _only_reader(self, name):
        """The only node that reads a tensor, ``None`` if there is none or something else does."""
        readers = self._consumers(name)
        return readers[0] if len(readers) == 1 and not self._is_output(name) else None

    def _matmul(self, node):
        if node.input[1] not in self.constants or self.ranks.get(node.input[0]) != 2:
            return
        weights = self._value(node.input[1])
        if weights.ndim != 2:
            return
        bias, output = np.zeros(weights.shape[1], np.float32), node.output[0]
        added = self._only_reader(output)
        if added is not None and added.op_type == "Add":
            other = next((name for name in added.input if name != output), None)
            if other in self.constants and self._value(other).size in (1, len(bias)) \
                    and self._value(other).shape[-1:] in ((1,), (len(bias),), ()):
                bias   = np.broadcast_to(self._value(other).reshape(-1), bias.shape)
                output = added.output[0]
                self.nodes.remove(added)
        self.nodes[self.nodes.index(node)] = helper.make_node(
            "Gemm", [node.input[0], self._set(f"{node.input[1]}_t", weights.T),
                     self._set(f"{output}_bias", bias)], [output],
            name=node.name or f"{output}_gemm", transB=1)

    def _own_constants(self, node):
        """Give a linear operator constants that nothing else reads."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weights    = self._value(node.input[1])
        if node.op_type == "Gemm" and attributes.get("transA", 0):
            return
        if node.op_type == "Gemm" and not attributes.get("transB", 0):
            weights = weights.T
        bias = np.zeros(len(weights), np.float32)
        if len(node.input) > 2 and node.input[2]:
            if node.input[2] not in self.constants:
                return
            bias = np.broadcast_to(self._value(node.input[2]).reshape(-1), bias.shape)
        if node.op_type == "Gemm":
            weights = weights * np.float32(attributes.get("alpha", 1.0))
            bias    = bias * np.float32(attributes.get("beta", 1.0))
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("transB", 1))
        node.name = node.name or f"{node.output[0]}_{node.op_type.lower()}"
        del node.input[1:]
        node.input.extend([self._set(f"{node.output[0]}_weight", weights),
                           self._set(f"{node.output[0]}_bias", bias)])

    def _batch_normalization(self, node):
        if any(name not in self.constants for name in node.input[1:]):
            return
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        gamma, beta, mean, variance = (self._value(name).astype(np.float64)
                                       for name in node.input[1:])
        gain   = gamma / np.sqrt(variance + epsilon)
        source = next((n for n in self.nodes if node.input[0] in n.output), None)
        own    = source is not None and source.op_type in ("Conv", "Gemm") and \
            len(source.input) == 3 and {*source.input[1:]} <= self.constants.keys()
        if own and self._only_reader(node.input[0]) is node:
            weights = self._value(source.input[1])
            shape   = (-1, *[1] * (weights.ndim - 1))
            source.input[1] = self._set(f"{node.output[0]}_weight", weights * gain.reshape(shape))
            source.input[2] = self._set(f"{node.output[0]}_bias",
                                        (self._value(source.input[2]) - mean) * gain + beta)
            source.output[0] = node.output[0]
            self.nodes.remove(node)
        elif self.ranks.get(node.input[0]) == 4:
            place = self.nodes.index(node)
            self.nodes[place] = helper.make_node(
                "Conv", [node.input[0], self._set(f"{node.output[0]}_weight",
                                                  gain.reshape(-1, 1, 1, 1)),
                         self._set(f"{node.output[0]}_bias", beta - mean * gain)],
                [node.output[0]], name=node.name or f"{node.output[0]}_conv", group=len(gain),
                kernel_shape=[1, 1])
