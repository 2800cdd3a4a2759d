"""Accuracy of a model on a device, beside that of its reference runtime."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .driver.tensors import Codec
from .errors import InputError
from .models import load
from .progress import progress
from .reference import open_reference


__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    ``equal`` are the samples of which all results are the reference's, bit by bit; accuracies are
    shares of samples whose greatest result is at the label, ``None`` without labels.
    """

    samples:            int
    equal:              int
    accuracy:           float | None
    reference_accuracy: float | None
    reference:          str
    cycles:             int # of the last sample
    clock_hz:           int

    def as_dict(self):
        """As plain values, for JSON."""
        return asdict(self)


def evaluate(path, device, inputs, labels=None):
    """Run samples on a device and on the reference runtime.

    Parameters
    ----------
    path : path
        Of the model.
    device : Device
    inputs : dict of str to ndarray
        Samples by name of the input, along the first axis.
    labels : ndarray of int (samples,), optional
        Index of the class of each sample.

    Raises
    ------
    InputError
        If there are labels, and not one for each sample, or the model has several outputs.
    """
    graph   = load(path)
    count   = len(next(iter(inputs.values())))
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise InputError(f"labels must be {count} integers, not {labels.dtype} {labels.shape}")
    if labels is not None and len(graph.outputs) != 1:
        raise InputError("a model with several outputs has no accuracy: leave the labels out")
    session = device.load(graph)
    results = session.run_many(inputs)
    if not isinstance(results, dict):
        results = {graph.outputs[0]: results}

    reference = open_reference(Path(path).read_bytes(), graph)
    codecs    = {name: Codec(graph.tensors[name], graph.dialect)
                 for name in (*graph.inputs, *graph.outputs)}
    codes     = {name: codecs[name].encode(array) for name, array in inputs.items()}
    real      = all(array.dtype == np.float32 for array in inputs.values())
    equal, expected = 0, []
    for index in progress(range(count), "reference"):
        values = reference.run({name: array[index] for name, array in codes.items()})
        values = {name: codecs[name].decode(values[name][None], real=real)[0]
                  for name in graph.outputs}
        equal += all(np.array_equal(values[name], results[name][index]) for name in values)
        expected.append(next(iter(values.values())))

    def accuracy(scores):
        if labels is None:
            return None
        classes = np.reshape(scores, (count, -1)).argmax(axis=1)
        return float(np.mean(classes == labels))

    return Evaluation(
        samples=count, equal=equal, accuracy=accuracy(results[graph.outputs[0]]),
        reference_accuracy=accuracy(expected), reference=reference.description,
        cycles=session.counters["cycles"], clock_hz=device.arch.clock_hz)
