"""Fold explicit padding into the convolution that follows."""

from dataclasses import replace

from ...graph import Graph


__all__ = ["fold_pad"]


def fold_pad(graph: Graph) -> Graph:
    """Turn ``Pad`` and the convolution behind it into one convolution with padding of its own.

    The address generator produces padding for free; a ``Pad`` of its own would be a copy.

    Applies when nothing else reads the padded tensor, only rows and columns are padded, and the
    padding value is the zero point, because that is what convolutions pad with.

    Keeps every tensor that is left bit-exact.
    """
    for node in graph.nodes:
        pad = graph.producer(node.inputs[0]) if node.inputs else None
        if node.op not in ("Conv2D", "DepthwiseConv2D") or pad is None or pad.op != "Pad":
            continue
        if graph.consumers(pad.output) != [node] or pad.output in graph.outputs:
            continue
        batch, rows, columns, channels = pad.attrs["padding"]
        x, padded = graph.tensors[pad.inputs[0]], graph.tensors[pad.output]
        if any((*batch, *channels)) or padded.scale is None \
                or pad.attrs["value"] != padded.zero_point[0]:
            continue
        padding = tuple((before + a, after + b) for (before, after), (a, b)
                        in zip(node.attrs["padding"], (rows, columns)))
        fused   = replace(node, inputs=(x.name, *node.inputs[1:]),
                          attrs={**node.attrs, "padding": padding})
        graph   = graph.replace([pad, node], [fused])
    return graph
