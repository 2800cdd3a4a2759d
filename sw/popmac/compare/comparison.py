"""Measures one network in several precisions."""

import hashlib
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from ..driver.urls import open_device, parse_url
from ..errors import InputError, PopmacError
from ..models import load
from ..quantize.float_model import constants_of, input_shapes, load_float, simplify
from ..quantize.post_training import quantize
from ..quantize.samples import check_samples
from .float_runs import float_macs, rounded_to_half, run_float, seconds_per_run
from .layers import BINS, measure_layers, weight_bits, weight_codes


__all__ = ["Comparison", "Row", "compare"]


#: Samples whose layers are compared.
_TRACED = 32

_WORST = 3

_DEVICES = {"sim": "simulated board", "golden": "golden model", "serial": "board", "tcp": "board"}


@dataclass(kw_only=True)
class Row:
    """A network in one precision; what was not measured, or does not apply, is ``None``.

    ``accuracy`` is the share of samples whose greatest result is at the label, ``agreement`` that
    of those where it is where the float model's is. ``weight_bytes`` are those of the weights of
    linear layers at their own width, without padding; ``compression`` is in relation to float32.
    ``latency_us`` are microseconds: cycles at the device's clock, the link apart, or, in the row of
    float32, the time of onnxruntime. ``speedup_int8`` is in relation to the cycles of the INT8
    model, ``speedup_cpu`` to the time of onnxruntime.
    """

    name:         str
    where:        str
    accuracy:     float | None = None
    agreement:    float | None = None
    file_bytes:   int | None   = None
    weight_bytes: int | None   = None
    compression:  float | None = None
    bits:         list         = field(default_factory=list)
    macs:         int | None   = None
    macs_on_device: int | None = None
    cycles:       int | None   = None
    latency_us:   float | None = None
    speedup_int8: float | None = None
    speedup_cpu:  float | None = None
    problem:      str | None   = None
    layers:       tuple        = ()
    worst:        list         = field(default_factory=list)
    weights:      dict         = field(default_factory=dict) # layer -> (codes, counts)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What :func:`compare` found; ``sha256`` is that of the samples and labels."""

    model:   str
    device:  str
    target:  str
    clock_hz: int
    samples: int
    sha256:  str
    runtime: str
    calibration: str
    rows:    tuple

    def as_dict(self):
        """As plain values, for JSON: no numbers that JSON does not have."""
        return _plain(asdict(self))


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def compare(path, variants, device, inputs, labels=None, calibration=None):
    """Measure a float model, what :func:`popmac.quantize` makes of it, and further variants.

    Parameters
    ----------
    path : path
        Of the float ONNX model.
    variants : sequence of paths
        Quantised models for the same inputs: any files that :func:`popmac.load` takes.
    device : str
        URL of the device that rows from INT8 down are measured on.
    inputs : mapping of str to ndarray
        Real values (samples, ...) by name of the float model's inputs.
    labels : ndarray of int (samples,), optional
        Index of the class of each sample.
    calibration : mapping of str to ndarray, optional
        Samples for the quantisation; without them, the inputs are taken.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If inputs or labels do not fit the model.
    PopmacError
        If a model cannot be loaded, or a variant cannot be compiled. That popmac's own INT8 model
        cannot be is said in its row.
    """
    model   = load_float(path)
    samples = check_samples(input_shapes(model), inputs)
    count   = len(next(iter(samples.values())))
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise InputError(f"labels must be {count} integers, not {labels.dtype} {labels.shape}")
    model   = simplify(model, {name: array.shape[1:] for name, array in samples.items()})
    if len(model.graph.output) != 1:
        raise InputError("a model with several outputs has no accuracy: give one with one output")
    runs    = _Runs(model, samples, labels)
    rows    = [runs.float_row(Path(path).stat().st_size), runs.half_row()]
    loaded  = [(Path(variant), load(variant)) for variant in variants]
    with open_device(device) as opened:
        where = f"{_DEVICES[parse_url(device)[0]]}, {device}"
        for per_channel in (False, True):
            rows.append(runs.int8_row(opened, where, inputs if calibration is None else calibration,
                                      per_channel))
        for variant, graph in loaded:
            row = Row(name=variant.name, where=where, file_bytes=variant.stat().st_size)
            runs.measure(row, opened, graph)
            rows.append(row)
        arch = opened.arch
    int8 = next((row.cycles for row in reversed(rows[:4]) if row.cycles), None) or next(
        (row.cycles for row in rows if row.cycles and max(row.bits, default=0) == 8), None)
    for row in rows:
        if row.weight_bytes:
            row.compression = rows[0].weight_bytes / row.weight_bytes
        if row.cycles:
            row.speedup_int8 = int8 / row.cycles if int8 else None
        if row.latency_us:
            row.speedup_cpu = rows[0].latency_us / row.latency_us
    return Comparison(
        model=Path(path).name, device=device, target=arch.name, clock_hz=arch.clock_hz,
        samples=count, sha256=_digest(samples, labels), rows=tuple(rows),
        runtime=f"onnxruntime {onnxruntime.__version__}, one thread",
        calibration="its own samples" if calibration is not None else
        "the samples that are measured: give others for a fair accuracy")


class _Runs:
    """Runs of variants of one model on the same samples."""

    def __init__(self, model, samples, labels):
        self.model, self.samples, self.labels = model, samples, labels
        self.expected = None # classes that the float model finds

    def _judge(self, row, values):
        found = np.reshape(values, (len(values), -1)).argmax(axis=1)
        if self.expected is None:
            self.expected = found
        row.agreement = float(np.mean(found == self.expected))
        if self.labels is not None:
            row.accuracy = float(np.mean(found == self.labels))

    def _weight_count(self):
        known = constants_of(self.model)
        return sum(known[name].size for node in self.model.graph.node
                   if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
                   for name in node.input[:2] if name in known)

    def float_row(self, size):
        row = Row(name="FP32", where="onnxruntime on this processor", file_bytes=size, bits=[32],
                  weight_bytes=4 * self._weight_count(), macs=float_macs(self.model))
        self._judge(row, run_float(self.model, self.samples, "FP32"))
        row.latency_us = seconds_per_run(self.model, self.samples) * 1e6
        return row

    def half_row(self):
        row = Row(name="FP16", where="onnxruntime on this processor, float16 emulated", bits=[16],
                  weight_bytes=2 * self._weight_count(), macs=float_macs(self.model))
        self._judge(row, run_float(rounded_to_half(self.model), self.samples, "FP16"))
        return row

    def int8_row(self, device, where, calibration, per_channel):
        """Quantise the model and run it; if the device cannot, at least in onnxruntime."""
        row = Row(name=f"INT8 per {'channel' if per_channel else 'tensor'}", where=where, bits=[8],
                  weight_bytes=self._weight_count(), macs=float_macs(self.model))
        try:
            data = quantize(self.model, calibration, per_channel=per_channel)
        except PopmacError as error:
            row.problem = _line(error)
            return row
        row.file_bytes = len(data)
        traced     = {name: array[:_TRACED] for name, array in self.samples.items()}
        row.layers = measure_layers(self.model, data, traced)
        row.worst  = [layer.name for layer in
                      sorted(row.layers, key=lambda layer: layer.sqnr)[:_WORST]]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            path.write_bytes(data)
            try:
                self.measure(row, device, load(path))
            except PopmacError as error:
                from onnx import load_model_from_string
                row.problem = _line(error)
                row.where   = "onnxruntime on this processor"
                self._judge(row, run_float(load_model_from_string(data), self.samples, row.name))
        return row

    def measure(self, row, device, graph):
        """Run a graph on the device."""
        session = device.load(graph)
        values  = session.run_many(self._inputs(graph))
        if isinstance(values, dict):
            raise InputError(f"{row.name} has several outputs; give a model with one")
        self._judge(row, values)
        counters    = session.counters
        codes       = weight_codes(graph)
        row.cycles  = counters["cycles"] or None # a golden device has no clock
        row.latency_us = row.cycles / device.arch.clock_hz * 1e6 if row.cycles else None
        row.macs, row.macs_on_device = session.program.macs, session.program.macs_on_device
        row.bits = sorted({weight_bits(array) for array in codes.values()})
        row.weight_bytes = -(-sum(array.size * weight_bits(array) for array in codes.values()) // 8)
        row.weights = {name: _histogram(array) for name, array in codes.items()}

    def _inputs(self, graph):
        """The samples as a graph takes them: by its names, channels last if it wants that."""
        if len(graph.inputs) == 1 and len(self.samples) == 1:
            arrays = {graph.inputs[0]: next(iter(self.samples.values()))}
        elif set(graph.inputs) == set(self.samples):
            arrays = dict(self.samples)
        else:
            raise InputError(f"{graph.name}: its inputs are {', '.join(graph.inputs)}, not "
                             f"{', '.join(self.samples)}")
        for name, array in arrays.items():
            array = array[:, 0]
            shape = tuple(n for n in graph.tensors[name].shape[1:] if n != 1)
            last  = np.moveaxis(array, 1, -1)
            if shape != tuple(n for n in array.shape[1:] if n != 1) \
                    and shape == tuple(n for n in last.shape[1:] if n != 1):
                array = last
            arrays[name] = np.ascontiguousarray(array)
        return arrays


def _digest(samples, labels):
    digest = hashlib.sha256()
    for name in sorted(samples):
        digest.update(samples[name].tobytes())
    if labels is not None:
        digest.update(labels.astype(np.int64).tobytes())
    return digest.hexdigest()


def _line(error):
    return " | ".join(str(error).splitlines())[:300]


def _histogram(codes):
    """Integer weights, and how many there are of each; groups of them, if these are many."""
    low, high = int(codes.min(initial=0)), int(codes.max(initial=0))
    if high - low < BINS:
        values = list(range(low, high + 1))
        return values, np.bincount(codes.astype(np.int64).reshape(-1) - low,
                                   minlength=len(values)).tolist()
    counts, edges = np.histogram(codes, BINS)
    return ((edges[:-1] + edges[1:]) / 2).tolist(), counts.tolist()
