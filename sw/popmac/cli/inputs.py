"""Inputs from files."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import InputError


__all__ = ["load_array", "load_inputs"]


#: What zipfile and numpy raise for files that are damaged.
_DAMAGED = (ValueError, EOFError, KeyError, MemoryError, NotImplementedError, OverflowError,
            RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile,
            zlib.error)


def _load(path, wanted):
    """Arrays of an ``.npz`` file whose names are ``wanted``, and the names of all of them."""
    try:
        with Path(path).open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not hasattr(file, "files"):
                raise InputError(f"{path}: is a single array; inputs are an .npz file")
            arrays = {name: file[name] for name in file.files if name in wanted}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("it contains something else")
            return arrays, " ".join(", ".join(file.files).split())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise InputError(f"{path}: is not an .npz file of arrays "
                         f"({' '.join(str(error).split())})") from None


def load_array(path, name):
    """One array from an ``.npz`` file.

    Raises
    ------
    InputError
        If the file is none, or has no such array.
    """
    arrays, present = _load(path, {name})
    if name not in arrays:
        raise InputError(f"{path}: has no array {name!r}; it has {present}")
    return arrays[name]


def load_inputs(path, names):
    """Samples from an ``.npz`` file.

    Parameters
    ----------
    path : path
    names : sequence of str
        The model's inputs. If there is one, its array may be called ``x``.

    Returns
    -------
    dict of str to ndarray
        By name of the input; the first axis is that of the samples.

    Raises
    ------
    InputError
        If the file is none, or has other arrays.
    """
    arrays, present = _load(path, {*names, "x"})
    if "x" in arrays and "x" not in names:
        x = arrays.pop("x")
        if len(names) == 1:
            arrays.setdefault(names[0], x)
    if missing := [name for name in names if name not in arrays]:
        raise InputError(f"{path}: has no array {', '.join(map(repr, missing))}; it has {present}")
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"{path}: the arrays must have the same number of samples, at least one")
    return arrays
