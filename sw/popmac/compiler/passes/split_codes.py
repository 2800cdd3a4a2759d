"""Compute a layer several times where no parameters round as floating point does for all sums."""

from dataclasses import replace

from ...graph import Graph, Node


__all__ = ["COUNTS", "can_split", "parts", "split_codes"]


#: Operators whose lowering knows parts.
LAYERS = ("Conv2D", "DepthwiseConv2D", "FullyConnected", "Mean")

#: Numbers of parts that are tried; divisors of 128.
COUNTS = 2, 4


def can_split(node):
    """Whether a node can be computed in parts, and is not one."""
    return node.op in LAYERS and node.attrs.get("rounding") == "single" \
        and "part" not in node.attrs


def parts(node, count):
    """All ``count`` parts of a node, which still have the node's output."""
    return [replace(node, name=f"{node.name} part {i} of {count}",
                    attrs={**node.attrs, "part": (i, count)}) for i in range(count)]


def split_codes(graph: Graph, node: Node, count) -> Graph:
    """Turn a layer into several of the same kind, and the sum of their results.

    Rounding halves to even in single precision moves the thresholds of all even codes a little
    down, and those of odd codes a little up: a reference that does so is no rounded straight line.
    The number of even codes that are reached is one, though, and so is that of odd codes. One part
    counts these, the other those; their sum is the code. Where thresholds are off for other
    reasons as well, each of four parts counts every fourth code. The weights are the same, so that
    they take no more memory.

    Keeps every tensor bit-exact. What the parts compute alone is no tensor of the model.
    """
    output = graph.tensors[node.output]
    made   = [replace(output, name=f"{output.name} part {i} of {count}") for i in range(count)]
    nodes  = [replace(part, outputs=(tensor.name,))
              for part, tensor in zip(parts(node, count), made)]
    sums   = made
    while len(sums) > 1:
        pairs = list(zip(sums[::2], sums[1::2]))
        sums  = [output] if len(pairs) == 1 else \
            [replace(output, name=f"{first.name} and {second.name}") for first, second in pairs]
        nodes += [Node(op="SumCodes", name=f"{total.name} sum", inputs=(first.name, second.name),
                       outputs=(total.name,)) for total, (first, second) in zip(sums, pairs)]
        made  += sums if sums != [output] else []
    return graph.replace([node], nodes, made)
