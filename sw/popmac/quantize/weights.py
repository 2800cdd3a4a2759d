"""Weights as INT8 codes."""

import numpy as np
from onnx import helper, numpy_helper

from ..errors import UnsupportedModelError


__all__ = ["linear_nodes", "only_weights", "quantise_weights", "weight_scales"]


def linear_nodes(model):
    """Nodes with constant weights, the output channel first: ``Conv`` and ``Gemm``."""
    known = {t.name for t in model.graph.initializer}
    return [node for node in model.graph.node
            if node.op_type in ("Conv", "Gemm") and node.input[1] in known]


def weight_scales(weights, *, per_channel, power_of_two):
    """Scales of symmetric codes from -127 to 127.

    A channel without weights other than 0 has the median of the others' scales: its bias is
    rounded to multiples of it.

    Parameters
    ----------
    weights : ndarray of float32
        Output channel first; at least one is not 0.
    per_channel : bool
    power_of_two : bool
        The least powers of two that are not smaller.

    Returns
    -------
    ndarray of float32
        One per output channel, or a single one.
    """
    flat   = np.abs(weights.reshape(len(weights) if per_channel else 1, -1)).max(axis=1)
    scales = np.where(flat > 0, flat, np.median(flat[flat > 0])).astype(np.float64) / 127
    scales = np.maximum(scales, np.finfo(np.float32).tiny)
    if power_of_two:
        scales = 2.0 ** np.ceil(np.log2(scales) - 1e-9)
    return scales.astype(np.float32)


def quantise_weights(weights, scales):
    """Codes of weights: ``clip(rint(w / scale), -127, 127)``, an array of int8."""
    shape = (-1, *[1] * (weights.ndim - 1))
    return np.clip(np.rint(weights / scales.reshape(shape)), -127, 127).astype(np.int8)


def all_scales(model, *, per_channel, power_of_two):
    """Scales of the weights of all linear nodes, by name of the weights.

    Raises
    ------
    UnsupportedModelError
        With all layers whose weights are 0.
    """
    values = {t.name: t for t in model.graph.initializer}
    scales, problems = {}, []
    for node in linear_nodes(model):
        weights = numpy_helper.to_array(values[node.input[1]])
        if np.any(weights):
            scales[node.input[1]] = weight_scales(weights, per_channel=per_channel,
                                                  power_of_two=power_of_two)
        else:
            problems.append((f"{node.op_type} {node.name}", "all of its weights are 0",
                             "remove the layer, or train it"))
    if problems:
        raise UnsupportedModelError(problems)
    return scales


def only_weights(model, scales):
    """The same model with the weights of its linear nodes as INT8 codes, the rest in float32."""
    graph  = model.graph
    values = {t.name: t for t in graph.initializer}
    nodes  = []
    for node in linear_nodes(model):
        name, scale = node.input[1], scales[node.input[1]]
        weights = numpy_helper.to_array(values[name])
        codes   = quantise_weights(weights, scale)
        graph.initializer.remove(values[name])
        scale   = scale if scale.size > 1 else scale.reshape(())
        graph.initializer.extend([
            numpy_helper.from_array(codes, f"{name}_quantized"),
            numpy_helper.from_array(scale, f"{name}_scale"),
            numpy_helper.from_array(np.zeros(scale.shape, np.int8), f"{name}_zero_point")])
        nodes.append(helper.make_node(
            "DequantizeLinear", [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"],
            [name], name=f"{name}_DequantizeLinear", **({"axis": 0} if scale.size > 1 else {})))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return model
