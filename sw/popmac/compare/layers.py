"""What quantisation does to each layer."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..progress import progress
from ..quantize.float_model import open_session


__all__ = ["Layer", "measure_layers", "weight_bits", "weight_codes"]


BINS = 48


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An operator of a float model, and what is left of its result.

    ``sqnr`` is the ratio, in dB, of the squares of the float values to those of the differences.
    ``counts`` are the float values in equal parts of ``low`` to ``high``; codes stand for values
    from ``first`` to ``last``.
    """

    name:   str
    op:     str
    sqnr:   float
    low:    float
    high:   float
    counts: list
    first:  float
    last:   float


def measure_layers(model, quantised, samples):
    """Compare the results of the operators of a model with what a QDQ file has for them.

    Both run in onnxruntime, operator by operator.

    Parameters
    ----------
    model : onnx.ModelProto
        The float model that was quantised.
    quantised : bytes
        What :func:`popmac.quantize` made of it.
    samples : mapping of str to ndarray (samples, 1, ...)

    Returns
    -------
    tuple of Layer
        Of operators whose result is quantised, in the order of the model.
    """
    proto  = onnx.load_model_from_string(quantised)
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    pairs, back = ({node.input[0]: node for node in proto.graph.node if node.op_type == op}
                   for op in ("QuantizeLinear", "DequantizeLinear"))
    found  = []
    for node in model.graph.node:
        # The QDQ model's name of a tensor is the float one's, or that of the pair behind it.
        coder = pairs.get(node.output[0]) or pairs.get(f"{node.output[0]}_QuantizeLinear_Input")
        if coder is not None and coder.output[0] in back:
            found.append((node, coder, back[coder.output[0]].output[0]))
    if not found:
        return ()
    sessions = [_probed(model, [node.output[0] for node, _, _ in found]),
                _probed(proto, [name for _, _, name in found])]
    count = len(next(iter(samples.values())))
    kept  = [([], []) for _ in found]
    for i in progress(range(count), "layers"):
        feeds = {name: array[i] for name, array in samples.items()}
        for side, session in enumerate(sessions):
            for pair, result in zip(kept, session.run(None, feeds)):
                pair[side].append(result.reshape(-1))
    layers = []
    for (node, coder, _), pair in zip(found, kept):
        expected, actual = (np.concatenate(side).astype(np.float64) for side in pair)
        noise  = np.sum((expected - actual)**2)
        signal = np.sum(expected**2)
        scale, zero = (float(values[name]) for name in coder.input[1:3])
        limits = np.iinfo(values[coder.input[2]].dtype)
        low, high  = float(expected.min()), float(expected.max())
        counts, _  = np.histogram(expected, BINS, (low, high) if low < high else (low, low + 1))
        layers.append(Layer(
            name=node.name or node.output[0], op=node.op_type,
            sqnr=float(10 * np.log10(signal / noise)) if noise and signal else float("inf"),
            low=low, high=high, counts=counts.tolist(), first=(limits.min - zero) * scale,
            last=(limits.max - zero) * scale))
    return tuple(layers)


def _probed(model, names):
    """Session with other outputs."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    probed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return open_session(probed)


def weight_bits(codes):
    """Bits per weight that hold integer weights: 1 for -1 and +1, else 2, 4 or 8."""
    if codes.size and np.all(np.abs(codes) == 1):
        return 1
    return next(bits for bits in (2, 4, 8, 16, 32)
                if codes.min(initial=0) >= -1 << bits - 1 and codes.max(initial=0) < 1 << bits - 1)


def weight_codes(graph):
    """Integer weights of the linear operators of a :class:`popmac.graph.Graph`, by node name."""
    from ..compiler.macs import node_macs
    codes = {}
    for node in graph.nodes:
        tensor = graph.tensors[node.inputs[1]] if len(node.inputs) > 1 else None
        if tensor is not None and tensor.is_constant and node_macs(graph, node):
            codes[node.name] = tensor.data
    return codes
