"""Ranges of the tensors of a float model, from samples."""

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import MinMaxCalibrater, PercentileCalibrater

from ..errors import InputError, PopmacError
from ..progress import progress


__all__ = ["METHODS", "calibrate", "quantisation"]


METHODS = ("min-max", "moving-average", "percentile", "mse")

_BATCH  = 16   # samples whose tensors are in memory at the same time
_BINS   = 2048
_DECAY  = 0.01 # weight of the newest sample in a moving average of many
_STEPS  = np.linspace(0.3, 1.0, 29) # shares of the range that the search for least error tries


@dataclass
class _Reader:
    """Samples, one at a time, as onnxruntime's calibrators take them."""
    samples: dict
    place:   range

    def __post_init__(self):
        self._rest = iter(self.place)

    def get_next(self):
        index = next(self._rest, None)
        return None if index is None else {name: a[index] for name, a in self.samples.items()}


def calibrate(model, samples, *, method, percentile, symmetric):
    """Range of each float tensor that nodes compute or read, constants left out.

    Parameters
    ----------
    model : onnx.ModelProto
        With the shapes of all tensors.
    samples : mapping of str to ndarray (samples, 1, ...)
    method : str
        One of :data:`METHODS`.
    percentile : float
        Share of values, in percent, that are inside of the range of method ``percentile``.
    symmetric : bool
        For ranges around 0.

    Returns
    -------
    dict of str to (float, float)
        Least and greatest value, 0 among them. They are those that onnxruntime's calibrators find;
        the one of least squared error is looked for in the histograms that these make.

    Raises
    ------
    InputError
        For an unknown method or a percentile that is none.
    PopmacError
        If the model computes values that are not finite.
    """
    if method not in METHODS:
        raise InputError(f"there is no calibration by {method!r}; there are {', '.join(METHODS)}")
    if not 50 < percentile <= 100:
        raise InputError(f"percentile must be above 50 and at most 100, not {percentile}")
    count = len(next(iter(samples.values())))
    step  = {"min-max": _BATCH, "moving-average": 1}.get(method, _BATCH)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), \
            np.errstate(all="ignore"):
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = _calibrator(method, path, percentile, symmetric)
        calibrator.augmented_model_path = str(Path(folder) / "augmented.onnx")
        calibrator.augment_graph()
        calibrator.create_inference_session()
        try:
            for first in progress(range(0, count, step), "calibration"):
                if method == "moving-average": # a plain mean until there are enough samples
                    calibrator.averaging_constant = max(_DECAY, 1 / (first + 1))
                calibrator.collect_data(_Reader(samples, range(first, min(first + step, count))))
            if method == "mse":
                found = {name: _least_error(*h[:2], h[2], h[3], symmetric)
                         for name, h in calibrator.collector.histogram_dict.items()}
            else:
                found = {name: data.range_value for name, data in calibrator.compute_data().items()}
        except ValueError as error: # histograms of what is not finite
            raise PopmacError(f"the model computes values that are not finite: "
                              f"{' '.join(str(error).split())}") from None
    ranges = {name: (min(float(np.min(low)), 0.0), max(float(np.max(high)), 0.0))
              for name, (low, high) in found.items()}
    for name, pair in ranges.items():
        if not np.all(np.isfinite(pair)):
            raise PopmacError(f"the model computes values that are not finite: tensor {name!r}; "
                              "check its weights and the calibration")
    return ranges


def _calibrator(method, path, percentile, symmetric):
    if method in ("min-max", "moving-average"):
        return MinMaxCalibrater(path, moving_average=method == "moving-average")
    return PercentileCalibrater(path, num_bins=_BINS, percentile=percentile,
                                symmetric=symmetric and method == "percentile")


def quantisation(low, high, *, symmetric, power_of_two=False):
    """Scale and zero point of uint8 codes for values from ``low`` to ``high``.

    Parameters
    ----------
    low, high : ndarray of float
        With ``low <= 0 <= high``.
    symmetric : bool
        The zero point is 128.
    power_of_two : bool
        The scale is the least power of two that is not smaller.

    Returns
    -------
    scale, zero_point : ndarray of float64
        A code ``q`` stands for ``(q - zero_point) * scale``.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if symmetric:
        high = np.maximum(-low, high)
        low  = -high
    scale = np.maximum((high - low) / 255, np.finfo(np.float32).tiny)
    if power_of_two:
        scale = 2.0 ** np.ceil(np.log2(scale) - 1e-9)
    zero  = np.full_like(scale, 128) if symmetric else np.clip(np.rint(-low / scale), 0, 255)
    return scale, zero


def _least_error(counts, edges, least, most, symmetric):
    """Range whose codes have the least squared error, among shares of the whole range."""
    least, most = min(float(least), 0.0), max(float(most), 0.0)
    used    = np.flatnonzero(counts)
    values  = ((edges[:-1] + edges[1:]) / 2)[used].clip(least, most)
    lows, highs = (a.reshape(-1, 1) for a in np.meshgrid(least * _STEPS, most * _STEPS))
    if symmetric:
        lows, highs = -max(-least, most) * _STEPS[:, None], max(-least, most) * _STEPS[:, None]
    scale, zero = quantisation(lows, highs, symmetric=symmetric)
    codes = np.clip(np.rint(values / scale) + zero, 0, 255)
    error = (((codes - zero) * scale - values)**2 * counts[used]).sum(axis=1)
    # The widest of equals: nothing is cut off for nothing.
    best  = len(error) - 1 - int(np.argmin(error[::-1]))
    return float(lows[best, 0]), float(highs[best, 0])
