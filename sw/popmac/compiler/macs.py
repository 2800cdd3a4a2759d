"""Multiply-accumulates of a model."""

import math

from .lowering.thresholds import SUMS


__all__ = ["node_macs"]


def node_macs(graph, node):
    """Multiply-accumulates that ``node`` stands for, padding included; 0 if it has no weights."""
    if node.op not in ("Conv2D", "DepthwiseConv2D", "FullyConnected", "TransposeConv",
                       "SumFullyConnected", *SUMS):
        return 0
    if node.attrs.get("part", (0,))[0]:
        return 0 # the same ones again
    weights = graph.tensors[node.inputs[1]].shape
    output  = graph.tensors[node.output].shape
    if node.op.startswith("Segment"):
        output = (*output[:-1], output[-1] // node.attrs["segments"])
    if node.op == "TransposeConv":
        source = graph.tensors[node.inputs[0]].shape
        return math.prod(source[:-1]) * math.prod(weights)
    if node.op == "DepthwiseConv2D":
        return math.prod(output) * math.prod(weights[1:3])
    return math.prod(output) * math.prod(weights[1:])
