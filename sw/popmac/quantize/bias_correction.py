"""What rounding the weights adds to the mean of each output channel, taken out of the biases."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..progress import progress
from .float_model import constants_of, open_session
from .weights import linear_nodes, quantise_weights


__all__ = ["correct_biases"]


def correct_biases(model, scales, samples):
    """Add ``E[(w - s*q) x]`` to each bias, the mean over samples and pixels (Nagel et al., 2019).

    Parameters
    ----------
    model : onnx.ModelProto
        Its linear nodes have biases of their own, as :func:`fold` gives them.
    scales : mapping of str to ndarray
        Of the weights, by name.
    samples : mapping of str to ndarray (samples, 1, ...)

    Returns
    -------
    onnx.ModelProto
    """
    values = constants_of(model)
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    graph  = probed.graph
    del graph.output[:]
    biases = []
    for index, node in enumerate(linear_nodes(model)):
        if len(node.input) < 3 or node.input[2] not in values:
            continue
        weights, scale = values[node.input[1]], scales[node.input[1]]
        rounded = quantise_weights(weights, scale) * \
            scale.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float32)
        error, probe = f"popmac_error_{index}", f"popmac_probe_{index}"
        graph.initializer.append(numpy_helper.from_array(weights - rounded, error))
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = probe
        del twin.input[1:], twin.output[:]
        twin.input.append(error)
        twin.output.append(probe)
        graph.node.append(twin)
        graph.node.append(helper.make_node(
            "GlobalAveragePool" if node.op_type == "Conv" else "Identity", [probe],
            [f"{probe}_mean"]))
        graph.output.append(helper.make_empty_tensor_value_info(f"{probe}_mean"))
        biases.append(node.input[2])
    if not biases:
        return model
    session = open_session(probed)
    count   = len(next(iter(samples.values())))
    totals  = [np.zeros_like(values[name], np.float64) for name in biases]
    for index in progress(range(count), "bias correction"):
        means = session.run(None, {name: array[index] for name, array in samples.items()})
        for total, mean in zip(totals, means):
            total += mean.reshape(-1, len(total)).mean(axis=0)
    corrected = {name: (values[name] + total / count).astype(np.float32)
                 for name, total in zip(biases, totals)}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.name in corrected:
            tensor.CopyFrom(numpy_helper.from_array(corrected[tensor.name], tensor.name))
    return result
