"""Compute a layer twice where no parameters round as floating point does for all sums."""

from dataclasses import replace

from ...graph import Graph, Node


__all__ = ["can_split", "halves", "split_halves"]


#: Operators whose lowering knows halves.
LAYERS = ("Conv2D", "DepthwiseConv2D", "FullyConnected", "Mean")


def can_split(node):
    """Whether a node can be computed in halves, and is not one."""
    return node.op in LAYERS and node.attrs.get("rounding") == "single" \
        and "half" not in node.attrs


def halves(node):
    """Both halves of a node, which still have the node's output."""
    return [replace(node, name=f"{node.name} half {half}", attrs={**node.attrs, "half": half})
            for half in (0, 1)]


def split_halves(graph: Graph, node: Node) -> Graph:
    """Turn a layer into two of the same kind, and the sum of their results.

    Rounding halves to even in single precision moves the thresholds of all even codes a little
    down, and those of odd codes a little up: a reference that does so is no rounded straight line.
    The number of even codes that are reached is one, though, and so is that of odd codes. One half
    counts these, the other those; their sum is the code. The weights are the same, so that they
    take no more memory.

    Keeps every tensor bit-exact. What the halves compute alone is no tensor of the model.
    """
    output = graph.tensors[node.output]
    made   = [replace(output, name=f"{output.name} half {half}") for half in (0, 1)]
    parts  = [replace(part, outputs=(tensor.name,)) for part, tensor in zip(halves(node), made)]
    joined = Node(op="SumCodes", name=f"{node.name} halves", outputs=(output.name,),
                  inputs=tuple(tensor.name for tensor in made))
    return graph.replace([node], [*parts, joined], made)
