"""Sums of two tensors."""

import numpy as np

from ... import isa
from ...golden.arithmetic import activation_range
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..requantize_pair import fit_sum
from .copy import word_loops


__all__ = ["lower_add"]


def lower_add(graph, node, storages, arch):
    """Layers of an ``Add`` node, word by word: both operands lie alike."""
    source, target = storages[node.inputs[0]].layout, storages[node.output].layout
    output = graph.tensors[node.output]
    fitted    = fit_sum(graph, node)
    low, high = activation_range(node.attrs["activation"], output.scale[0], output.zero_point[0])
    loops, row_bytes = word_loops(source, target)
    return [LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], second=node.inputs[1],
        target=node.output, unit=isa.Unit.PAIR,
        loops={"kernel_row": Loop(2), **loops}, # the distance of the tensors is known later
        height=source.height, row_bytes=row_bytes,
        zero_point=int(output.zero_point[0]), low=int(low), high=int(high),
        group=arch.word_bytes, weights=np.zeros((0, arch.rows, arch.columns), np.int8),
        parameters=parameter_rows(
            isa.PairParameters, arch.columns,
            **{name: np.repeat(getattr(fitted, name), arch.columns) for name in (
                "multiplier", "second_multiplier", "shift", "offset")}),
        shared=True)]
