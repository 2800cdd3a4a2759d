"""Bring operands that are broadcast to the shape of the result."""

import math
from dataclasses import replace

from ...graph import Graph, Node


__all__ = ["expand_operands"]


def expand_operands(graph: Graph) -> Graph:
    """Insert a ``Broadcast`` before ``Add``, ``Sub``, ``Mul`` and ``Maximum`` of different shapes.

    The device takes operands that lie alike; it copies one value per channel to all pixels.

    Applies to an operand that has one value per channel, and is not constant: constants are part of
    the layer's parameters.

    Keeps every tensor bit-exact.
    """
    for node in graph.nodes:
        if node.op not in ("Add", "Sub", "Mul", "Maximum") \
                or any(graph.tensors[name].is_constant for name in node.inputs):
            continue
        output = graph.tensors[node.output]
        for name in node.inputs:
            x = graph.tensors[name]
            if x.shape == output.shape or not x.shape or math.prod(x.shape) != output.shape[-1] \
                    or x.shape[-1] != output.shape[-1]:
                continue
            wide   = replace(x, name=f"{name} for {node.name}", shape=output.shape)
            spread = Node(op="Broadcast", name=f"{node.name} broadcast", inputs=(name,),
                          outputs=(wide.name,))
            graph  = graph.replace([node], [spread, replace(node, inputs=tuple(
                wide.name if n == name else n for n in node.inputs))], [wide])
            break # the other operand has the shape of the result then
    return graph
