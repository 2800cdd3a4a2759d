"""INT8 models from float models and samples."""

from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantType

from ..compiler.frontends.onnx_runtime import IR_VERSION
from ..errors import InputError, PopmacError, UnsupportedModelError
from .bias_correction import correct_biases
from .calibration import METHODS, calibrate, quantisation
from .float_model import (
    SUPPORTED,
    check_operators,
    constants_of,
    input_shapes,
    load_float,
    open_session,
    simplify,
)
from .pytorch import export_module, is_module
from .samples import check_samples
from .weights import all_scales, linear_nodes, only_weights


__all__ = ["METHODS", "quantize"]


_CODES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


def quantize(model, calibration, output=None, *, per_channel=True, symmetric=False,
             method="min-max", percentile=99.99, activations="uint8", bias_correction=False,
             weight_only=False, power_of_two=False):
    """Quantise a float model to INT8, after its training.

    Batch normalisation is folded into the layer in front of it. Weights are symmetric codes from
    -127 to 127, biases are INT32 with the scale of input times weights, activations are 8 bits.
    ``docs/quantization.md`` has the formulas.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or torch.nn.Module
        Float model: an ONNX file with its values inside, or a module, which is exported. It is
        made for one sample.
    calibration : path, ndarray, or mapping of str to ndarray
        Samples (samples, ...) of what the model will see, by name of the input; ``x``, or the
        array alone, stands for the only input. A path is that of an ``.npz`` file.
    output : path, optional
        File to write.
    per_channel : bool
        A scale for each output channel of the weights, not one for all.
    symmetric : bool
        Ranges of activations around 0.
    method : {"min-max", "moving-average", "percentile", "mse"}
        How ranges of activations are found.
    percentile : float
        Percentage of values that method ``percentile`` keeps inside of the range.
    activations : {"uint8", "int8"}
        Type of their codes.
    bias_correction : bool
        Take the mean error of the rounded weights out of the biases.
    weight_only : bool
        Leave activations in float32. Such a model is smaller, and does not run on a device.
    power_of_two : bool
        All scales of weights and activations are powers of two.

    Returns
    -------
    bytes or Path
        A QDQ file that onnxruntime runs, or ``output``.

    Raises
    ------
    InputError
        If samples have a wrong name, shape or type, are constant or not finite, or an option is
        unknown.
    ModelFormatError
        If the model cannot be read.
    UnsupportedModelError
        With all operators that are not quantised, or all layers that are 0 for every sample.
    """
    if activations not in _CODES:
        raise InputError(f"activations are {' or '.join(_CODES)}, not {activations!r}")
    calibration = _samples(calibration)
    if is_module(model):
        model = export_module(model, calibration)
    elif not isinstance(model, str | Path | bytes | bytearray | memoryview | onnx.ModelProto):
        raise InputError("model must be a path, the bytes of an ONNX file, an onnx.ModelProto or a "
                         f"torch.nn.Module, not {type(model).__name__}")
    model   = load_float(model)
    samples = check_samples(input_shapes(model), calibration)
    model   = simplify(model, {name: array.shape[1:] for name, array in samples.items()})
    check_operators(model)
    scales  = all_scales(model, per_channel=per_channel, power_of_two=power_of_two)
    ranges  = calibrate(model, samples, method=method, percentile=percentile, symmetric=symmetric)
    _check_ranges(model, ranges)
    if bias_correction:
        model = correct_biases(model, scales, samples)
    if weight_only:
        model = only_weights(model, scales)
    else:
        model = _with_codes(model, ranges, scales, activations, symmetric, power_of_two)
    model.ir_version    = min(model.ir_version, IR_VERSION)
    model.producer_name = "popmac"
    open_session(model, optimise=True)
    data = model.SerializeToString()
    if output is None:
        return data
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise PopmacError(f"{output}: {error.strerror}") from None
    return Path(output)


def _samples(calibration):
    if not isinstance(calibration, str | Path):
        return calibration
    try:
        with np.load(calibration, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise InputError(f"{calibration}: {error.strerror or error}") from None
    except (ValueError, EOFError, KeyError, AttributeError) as error:
        raise InputError(f"{calibration}: is not an .npz file of arrays ({error})") from None


def _check_ranges(model, ranges):
    """Refuse layers that are 0 for all samples, and whose inputs are not."""
    def is_zero(name):
        return ranges.get(name) == (0.0, 0.0)

    problems = [(f"{node.op_type} {node.name}", "its output is 0 for every sample of the "
                 "calibration, so that it has no range", "remove it, or give samples that reach it")
                for node in model.graph.node
                if any(map(is_zero, node.output)) and not any(map(is_zero, node.input))]
    if problems:
        raise UnsupportedModelError(problems)


def _with_codes(model, ranges, scales, activations, symmetric, power_of_two):
    """The same model with quantisers around its operators."""
    for node in model.graph.node:
        if node.op_type == "Softmax":
            ranges[node.output[0]] = (0.0, 1.0)
    names     = {node.input[1] for node in linear_nodes(model)}
    overrides = {name: _weight_overrides(scale) for name, scale in scales.items() if name in names}
    if power_of_two:
        biases = {node.input[2] for node in linear_nodes(model) if len(node.input) > 2}
        wanted = dict(ranges)
        wanted.update((name, (min(values.min(), 0.0), max(values.max(), 0.0)))
                      for name, values in constants_of(model).items()
                      if values.dtype == np.float32 and values.any()
                      and name not in names and name not in biases)
        for name, (low, high) in wanted.items():
            scale, zero = quantisation(low, high, symmetric=symmetric, power_of_two=True)
            shifted = np.asarray(zero + np.iinfo(activations).min, activations)
            overrides[name] = [{"scale": np.asarray(scale, np.float32), "zero_point": shifted,
                                "quant_type": _CODES[activations]}]
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    found = TensorsData(CalibrationMethod.MinMax, {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()})
    try:
        quantizer = QDQQuantizer(
            model, per_channel=any(s.size > 1 for s in scales.values()), reduce_range=False,
            weight_qType=QuantType.QInt8, activation_qType=_CODES[activations], tensors_range=found,
            nodes_to_quantize=[], nodes_to_exclude=[], op_types_to_quantize=sorted(SUPPORTED),
            extra_options={"ActivationSymmetric": symmetric, "TensorQuantOverrides": overrides,
                           "ForceQuantizeNoInputCheck": True,
                           "QDQKeepRemovableActivations": _clips(model, power_of_two)})
        quantizer.quantize_model()
    except (ValueError, RuntimeError, KeyError) as error: # what its checks raise
        raise PopmacError(f"onnxruntime.quantization refuses the model: "
                          f"{' '.join(str(error).split())[:300]}") from None
    return quantizer.model.model


def _weight_overrides(scales):
    common = {"zero_point": 0, "quant_type": QuantType.QInt8}
    if scales.size == 1:
        return [{"scale": scales[0], **common}]
    return [{"axis": 0, "scale": scale, **common} for scale in scales]


def _clips(model, power_of_two):
    """Whether a Clip has limits that the codes of its result would not have by themselves.

    Those are limits without 0 between them, and ranges that were widened to a power of two.
    """
    values = constants_of(model)
    for node in model.graph.node:
        if node.op_type == "Clip":
            low, high = (values.get(name, np.float32(sign * np.inf)) for name, sign in zip(
                [*node.input[1:], "", ""], (-1, 1)))
            if power_of_two or not low <= 0 <= high:
                return True
    return False
