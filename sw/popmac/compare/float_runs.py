"""A float model on this machine's processor."""

import math
import time

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..progress import progress
from ..quantize.float_model import open_session


__all__ = ["float_macs", "rounded_to_half", "run_float", "seconds_per_run"]


_RUNS, _WARM_UP = 60, 10


def run_float(model, samples, description):
    """Value of the first output for each sample, as onnxruntime computes it.

    Parameters
    ----------
    model : onnx.ModelProto
    samples : mapping of str to ndarray (samples, 1, ...)
    description : str
        For the progress bar.

    Returns
    -------
    ndarray (samples, values)
    """
    session = open_session(model, optimise=True)
    count   = len(next(iter(samples.values())))
    values  = [session.run(None, {name: array[i] for name, array in samples.items()})[0]
               for i in progress(range(count), description)]
    return np.stack(values).reshape(count, -1)


def seconds_per_run(model, samples):
    """Median time of one sample in onnxruntime, all of its optimisations on, one thread."""
    session = open_session(model, optimise=True)
    count   = len(next(iter(samples.values())))
    taken   = []
    for i in range(_WARM_UP + _RUNS):
        feeds = {name: array[i % count] for name, array in samples.items()}
        begin = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken[_WARM_UP:]))


def rounded_to_half(model):
    """The same model with all constants and the result of each operator rounded to float16.

    Operators compute in float32, as most processors have no others: an emulation.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph  = result.graph
    nodes, kinds = [], onnx.TensorProto
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}

    def rounding(source, target):
        half = f"{target} (float16)"
        nodes.append(helper.make_node("Cast", [source], [half], to=kinds.FLOAT16))
        nodes.append(helper.make_node("Cast", [half], [target], to=kinds.FLOAT))

    known   = {tensor.name for tensor in graph.initializer}
    renamed = {i.name: f"{i.name} (rounded)" for i in graph.input if i.name not in known}
    for name, target in renamed.items():
        rounding(name, target)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        targets = list(node.output)
        node.output[:] = [f"{name} (float32)" if types.get(name) == kinds.FLOAT else name
                          for name in targets]
        nodes.append(node)
        for source, target in zip(list(node.output), targets):
            if source != target:
                rounding(source, target)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return result


def float_macs(model):
    """Multiply-accumulates of the linear operators of a model with known shapes, padding included.

    ``None`` if a shape is not known.
    """
    graph  = model.graph
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
              for v in (*graph.value_info, *graph.output, *graph.input)}
    shapes.update((t.name, tuple(t.dims)) for t in graph.initializer)
    total  = 0
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            output, weights = shapes.get(node.output[0]), shapes.get(node.input[1])
            if not output or not weights or 0 in output:
                return None
            if node.op_type == "Conv":
                inner = math.prod(weights[1:])
            else:
                turned = any(a.name == "transB" and a.i for a in node.attribute)
                inner  = weights[-1 if turned else -2]
            total += math.prod(output) * inner
    return total
