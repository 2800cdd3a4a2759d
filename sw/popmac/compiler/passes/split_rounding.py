"""Compute a layer several times where no parameters round as the reference does for all sums."""

from dataclasses import replace

from ...graph import Graph, Node


__all__ = ["can_split", "split_rounding"]


#: Operators whose lowering knows parts.
LAYERS = ("Conv2D", "DepthwiseConv2D", "FullyConnected")


def can_split(node):
    """Whether a node can be computed in parts, and is not one."""
    return node.op in LAYERS and node.attrs.get("rounding") == "single" \
        and not node.attrs.get("part")


def split_rounding(graph: Graph, node: Node, parts: int):
    """Turn a node into ``parts`` of the same kind, and the greatest of their results.

    Each part has requantiser parameters of its own; see :mod:`popmac.compiler.cover`. The weights
    are the same, so that they take no more memory.

    Keeps every tensor bit-exact. What the parts compute alone is no tensor of the model.
    """
    output, nodes, made = graph.tensors[node.output], [], []
    for index in range(parts):
        name = f"{node.name} part {index}"
        made.append(replace(output, name=f"{output.name} part {index}"))
        nodes.append(replace(node, name=name, outputs=(made[-1].name,),
                             attrs={**node.attrs, "part": (index, parts)}))
    greatest = made[0]
    for index, part in enumerate(made[1:], 1):
        target = output if index == parts - 1 else \
            replace(output, name=f"{output.name} to part {index}")
        nodes.append(Node(op="Maximum", name=f"{node.name} parts to {index}",
                          inputs=(greatest.name, part.name), outputs=(target.name,)))
        if target is not output:
            made.append(target)
        greatest = target
    return graph.replace([node], nodes, made)
