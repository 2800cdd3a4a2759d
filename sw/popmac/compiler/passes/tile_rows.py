"""Compute an operator whose tensors do not fit on the device in parts of its rows."""

from dataclasses import replace

from ...graph import Graph, Node


__all__ = ["can_tile", "tile_rows"]


#: Operators with a moving window.
WINDOWS = ("Conv2D", "DepthwiseConv2D", "AveragePool2D", "MaxPool2D")

#: Operators that make each row of the output of the same row of their inputs.
ROWS    = ("Add", "Sub", "SumCodes", "Mul", "Maximum", "HardSwish", "LeakyRelu", "Logistic",
           "Lookup", "Quantize", "Relu", "Relu0To1", "Relu6", "ReluN1To1", "Tanh")


def can_tile(graph, node):
    """Whether a node can be computed in parts of its rows.

    It cannot if there is a window in the padding altogether, or a constant that has rows.
    """
    shape = graph.tensors[node.outputs[0]].shape
    if node.op not in (*WINDOWS, *ROWS) or len(shape) != 4 or shape[1] < 2:
        return False
    if node.op in ROWS:
        return not any(graph.tensors[name].is_constant and len(graph.tensors[name].shape) == 4
                       and graph.tensors[name].shape[1] > 1 for name in node.inputs)
    return max(node.attrs["padding"][0]) < _extent(graph, node)


def tile_rows(graph: Graph, node: Node, parts: int):
    """Turn a node into ``parts`` nodes of the same kind, and join what they make.

    Each part gets the rows of the inputs that it needs, by a ``StridedSlice``; neighbours share
    some if there is a window. Padding remains where the image ends. Slices and the final
    ``Concatenation`` are meant for the host, which sends and receives parts then.

    Keeps every tensor bit-exact.

    Returns
    -------
    graph : Graph
    moving : list of str
        Names of the nodes that only move rows.
    """
    output = graph.tensors[node.output]
    height = output.shape[1]
    nodes, tensors, moving, made = [], [], [], []
    for index in range(parts):
        first, last = height * index // parts, height * (index + 1) // parts
        name   = f"{node.name} rows {first} to {last - 1}"
        needed, attrs = _needed(graph, node, first, last)
        inputs = []
        for source in node.inputs:
            x = graph.tensors.get(source)
            if x is None or x.is_constant or len(x.shape) != 4 or x.shape[1] == 1:
                inputs.append(source)
                continue
            shape = (x.shape[0], needed[1] - needed[0], *x.shape[2:])
            part  = replace(x, name=f"{source} for {name}", shape=shape)
            slices = tuple((needed[0] if axis == 1 else 0, size, 1)
                           for axis, size in enumerate(shape))
            nodes.append(Node(op="StridedSlice", name=f"{name} input {len(inputs)}",
                              inputs=(source,), outputs=(part.name,),
                              attrs={"slices": slices, "shape": shape}))
            tensors.append(part)
            moving.append(nodes[-1].name)
            inputs.append(part.name)
        shape = (output.shape[0], last - first, *output.shape[2:])
        made.append(replace(output, name=f"{output.name} {name}", shape=shape))
        nodes.append(replace(node, name=name, inputs=tuple(inputs), outputs=(made[-1].name,),
                             attrs=attrs))
    joined = Node(op="Concatenation", name=f"{node.name} joined", outputs=(output.name,),
                  inputs=tuple(tensor.name for tensor in made), attrs={"axis": 1})
    return graph.replace([node], [*nodes, joined], [*tensors, *made]), [*moving, joined.name]


def _needed(graph, node, first, last):
    """Rows of the input for rows ``first`` to ``last - 1`` of the output, and attributes."""
    if node.op in ROWS:
        return (first, last), node.attrs
    height = graph.tensors[node.inputs[0]].shape[1]
    (top, _), across = node.attrs["padding"]
    begin  = first * node.attrs["strides"][0] - top
    end    = (last - 1) * node.attrs["strides"][0] - top + _extent(graph, node)
    rows   = max(begin, 0), min(end, height)
    padding = (rows[0] - begin, end - rows[1])
    return rows, {**node.attrs, "padding": (padding, across)}


def _extent(graph, node):
    """Rows from the first to the last one of a window, both included."""
    kernel = node.attrs["kernel"][0] if "kernel" in node.attrs else \
        graph.tensors[node.inputs[1]].shape[1]
    return (kernel - 1) * node.attrs.get("dilation", (1, 1))[0] + 1
