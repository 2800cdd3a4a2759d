"""Samples that a model is calibrated with."""

import numpy as np

from ..errors import InputError


__all__ = ["check_samples"]


_MAX_VALUES = 1 << 28


def check_samples(shapes, samples):
    """Samples as float32, by name of the input.

    Parameters
    ----------
    shapes : mapping of str to tuple
        As :func:`input_shapes` gives them.
    samples : ndarray or mapping of str to ndarray
        Real values (samples, ...); the model's leading 1 may be there or not. ``x`` stands for the
        only input.

    Returns
    -------
    dict of str to ndarray (samples, 1, ...)

    Raises
    ------
    InputError
        If a name, a shape, a type or a value is wrong.
    """
    if not isinstance(samples, dict) and not hasattr(samples, "keys"):
        samples = {"x": samples}
    samples = {name: np.asarray(samples[name]) for name in samples.keys()}
    if len(shapes) == 1 and set(samples) == {"x"}:
        samples = {next(iter(shapes)): samples["x"]}
    if missing := [name for name in shapes if name not in samples]:
        raise InputError(f"calibration has no array {', '.join(map(repr, missing))}; it has "
                         f"{', '.join(samples) or 'none'}")
    results = {name: _checked(name, samples[name], shape) for name, shape in shapes.items()}
    if len({len(array) for array in results.values()}) != 1:
        raise InputError("the arrays of the calibration have different numbers of samples")
    return results


def _checked(name, array, shape):
    wanted = tuple("any" if n is None else n for n in shape[1:])
    if array.dtype.kind not in "fiu":
        raise InputError(f"calibration of input {name!r} must be real numbers, not {array.dtype}")
    if array.ndim == len(shape) + 1 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != len(shape) or any(n not in (None, m)
                                       for n, m in zip(shape[1:], array.shape[1:])):
        raise InputError(f"calibration of input {name!r} must have shape (samples, "
                         f"{', '.join(map(str, wanted))}), not {array.shape}")
    if not array.size or array.size > _MAX_VALUES:
        raise InputError(f"calibration of input {name!r} has {array.size} values; give between 1 "
                         f"and {_MAX_VALUES}")
    array = array.astype(np.float32)
    if not np.all(np.isfinite(array)):
        sample = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(f"calibration of input {name!r} contains values that are not finite "
                         f"(the first one in sample {sample})")
    if array.min() == array.max():
        raise InputError(f"calibration of input {name!r} is constant ({array.flat[0]:g}): give "
                         "samples of what the model will see")
    return np.ascontiguousarray(array[:, None])
