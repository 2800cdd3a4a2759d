"""Operators on two tensors, value by value."""

import numpy as np

from ... import isa
from ...golden.arithmetic import activation_range
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows
from ..requantize import OFFSET_MAX, FitError
from ..requantize_pair import fit_sum
from ..rounding import fit_product
from .copy import word_loops


__all__ = ["lower_maximum", "lower_product", "lower_sum", "lower_sum_codes"]


def _plan(node, storages, arch, unit, record, parameters, **fields):
    """Plan of a layer that goes through two tensors word by word; both operands lie alike."""
    source, target   = storages[node.inputs[0]].layout, storages[node.output].layout
    loops, row_bytes = word_loops(source, target)
    return LayerPlan(
        node=node.name, op=node.op, source=node.inputs[0], second=node.inputs[1],
        target=node.output, unit=unit,
        loops={"kernel_row": Loop(2), **loops}, # the distance of the tensors is known later
        height=source.height, row_bytes=row_bytes, group=arch.word_bytes,
        weights=np.zeros((0, arch.rows, arch.columns), np.int8),
        parameters=parameter_rows(record, arch.columns, **{
            name: np.repeat(values, arch.columns) for name, values in parameters.items()}),
        shared=True, **fields)


def _limits(graph, node):
    output    = graph.tensors[node.output]
    low, high = activation_range(node.attrs["activation"], output.scale[0], output.zero_point[0])
    return {"low": int(low), "high": int(high)}


def lower_sum(graph, node, storages, arch):
    """Layers of an ``Add`` or ``Sub`` node."""
    fitted = fit_sum(graph, node)
    unit, offset = isa.Unit.PAIR, fitted.offset
    if fitted.sign < 0: # of the second operand x, the hardware makes -1 - x
        unit, offset = isa.Unit.DIFFERENCE, fitted.offset + fitted.second_multiplier
    if offset > OFFSET_MAX:
        raise FitError([0], "the offset is too large")
    parameters = {name: getattr(fitted, name) for name in (
        "multiplier", "second_multiplier", "shift")}
    return [_plan(node, storages, arch, unit, isa.PairParameters, parameters | {"offset": offset},
                  zero_point=int(graph.tensors[node.output].zero_point[0]), **_limits(graph, node))]


def lower_product(graph, node, storages, arch):
    """Layers of a ``Mul`` node."""
    fitted = fit_product(graph, node)
    zeros  = [int(graph.tensors[name].zero_point[0]) for name in node.inputs]
    parameters = {name: getattr(fitted, name)[0] for name in (
        "multiplier", "shift", "offset_positive", "offset_negative")}
    return [_plan(node, storages, arch, isa.Unit.PRODUCT, isa.ChannelParameters,
                  parameters | {"bias": -fitted.origin[0]}, padding=zeros[0],
                  second_zero_point=zeros[1], zero_point=fitted.zero_point, **_limits(graph, node))]


def lower_sum_codes(graph, node, storages, arch):
    """Layers of a ``SumCodes`` node."""
    parameters = {"multiplier": 1, "second_multiplier": 1}
    return [_plan(node, storages, arch, isa.Unit.PAIR, isa.PairParameters, parameters,
                  zero_point=0, low=-128, high=127)]


def lower_maximum(graph, node, storages, arch):
    """Layers of a ``Maximum`` node."""
    return [_plan(node, storages, arch, isa.Unit.MAXIMUM, isa.PairParameters, {"multiplier": 1},
                  zero_point=0, low=-128, high=127)]
