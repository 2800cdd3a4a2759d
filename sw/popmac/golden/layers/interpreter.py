"""Graphs, computed operator by operator."""

import numpy as np

from ...errors import InputError, UnsupportedModelError
from ...graph import DTYPES
from .registry import OPERATORS, SIGNATURES, Operand


__all__ = ["compute", "problems", "run", "table"]


def _fits(tensor, kind):
    """Whether a tensor is of the ``kind`` that a signature asks for."""
    if tensor.dtype != ("int8" if kind == "weights" else kind):
        return False
    if kind in ("weights", "int8", "uint8"):
        return tensor.scale is not None and (tensor.scale.size == 1 or kind == "weights")
    return True


def _problem(graph, node):
    if node.op not in OPERATORS:
        return node.attrs.get("reason", "popmac has no such operator")
    operands = [[graph.tensors[name] for name in names if name]
                for names in (node.inputs, node.outputs)]
    signatures = SIGNATURES[node.op]
    for sides in signatures:
        if all(len(tensors) == len(kinds) and all(map(_fits, tensors, kinds))
               for tensors, kinds in zip(operands, sides)):
            return None
    if not signatures:
        return None
    types = " -> ".join(" ".join(tensor.dtype for tensor in side) for side in operands)
    return f"its types are {types}, or they are not quantised as they should"


def problems(graph):
    """Operators of ``graph`` that cannot be computed.

    Returns
    -------
    list of (operator, reason, remedy)
        As :class:`popmac.UnsupportedModelError` takes them.
    """
    remedy = "convert the model to full int8 quantisation and to operators that popmac has"
    found  = [(node, _problem(graph, node)) for node in graph.nodes]
    return [(node.name, reason, remedy) for node, reason in found if reason is not None]


def compute(graph, node, values):
    """Values of the outputs of ``node``.

    Numbers in files may be anything: what leaves the range of a type does so silently, as in the
    reference kernels.

    Parameters
    ----------
    graph : Graph
    node : Node
    values : mapping of str to ndarray
        Of its inputs, at least.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    MultiplierError
        If the reference kernel's arithmetic is undefined for the scales.
    """
    operands = [Operand(graph.tensors[name], values[name]) if name else None
                for name in node.inputs]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        results = OPERATORS[node.op](graph.tensors[node.outputs[0]], *operands, **node.attrs)
    return results if isinstance(results, tuple) else (results,)


def run(graph, inputs):
    """Values of every tensor of ``graph``.

    Parameters
    ----------
    graph : Graph
    inputs : mapping of str to ndarray
        By name; of the shape and type of the tensors.

    Returns
    -------
    dict of str to ndarray
        Constants and inputs included.

    Raises
    ------
    InputError
        If an input is missing, unknown, or of the wrong shape or type.
    UnsupportedModelError
        If there are operators that cannot be computed; names them all.
    """
    if set(inputs) != set(graph.inputs):
        raise InputError(f"the inputs are {', '.join(graph.inputs)}, not {', '.join(inputs)}")
    for name, array in inputs.items():
        tensor = graph.tensors[name]
        if array.dtype != DTYPES[tensor.dtype] or array.shape != tensor.shape:
            raise InputError(f"input {name!r} must be {tensor.dtype} {tensor.shape}, "
                             f"not {array.dtype} {array.shape}")
    if found := problems(graph):
        raise UnsupportedModelError(found)

    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.is_constant}
    values.update(inputs)
    for node in graph.nodes:
        values.update(zip(node.outputs, compute(graph, node, values)))
    return values


def table(graph, node):
    """Results of a function of one code, for all codes.

    Parameters
    ----------
    graph : Graph
    node : Node
        With one input that is not constant, int8 or uint8, and one output.

    Returns
    -------
    ndarray, shape (256,)
        Entry ``i`` is the result for the code that is ``i`` less the lowest code.
    """
    source, = node.inputs
    tensor  = graph.tensors[source]
    limits  = np.iinfo(tensor.dtype)
    codes   = np.arange(limits.min, limits.max + 1).astype(tensor.dtype)
    result, = compute(graph, node, {source: codes})
    return result
