"""The loop nest of a layer: every step and where it reads."""

from dataclasses import dataclass

import numpy as np

from .. import isa


__all__ = ["Steps", "steps"]


@dataclass(frozen=True)
class Steps:
    """All steps of a layer.

    The arrays have one axis per loop, outermost first: output block, row, column, kernel row,
    kernel column, input block.

    Parameters
    ----------
    row, column : ndarray of int64
        Position of the window in the input: row, and byte within the row.
    word : ndarray of int64
        Word address of the input row; may need to be wrapped.
    weight : ndarray of int64
        Weight word; may need to be wrapped.
    output : ndarray of int64 (output blocks, rows, columns)
        Byte address of the first result of each pixel; may need to be wrapped.
    """

    row:    np.ndarray
    column: np.ndarray
    word:   np.ndarray
    weight: np.ndarray
    output: np.ndarray


def _positions(first, lasts, deltas):
    """Values of an address that begins at ``first``, for loops given innermost first."""
    strides, reset = [], 0
    for last, delta in zip(lasts, deltas):
        strides.append(delta + reset)
        reset += last * strides[-1]
    values = np.asarray(first, np.int64)
    for last, stride in zip(lasts, strides):
        axis   = np.arange(last + 1, dtype=np.int64) * stride
        values = axis.reshape(-1, *[1] * values.ndim) + values
    return values


def steps(layer):
    """Steps of ``layer``, a :class:`popmac.isa.Layer`."""
    lasts = [level.last for level in layer.levels]

    def positions(name):
        return _positions(getattr(layer, f"first_{name}"), lasts,
                          [getattr(level, name) for level in layer.levels])

    # Addresses are modulo 2**16, or 2**18 for bytes: read the additions as signed.
    output = _positions(layer.first_output, lasts[isa.LEVELS.index("column"):],
                        [layer.after_column, layer.after_row, layer.after_block])
    return Steps(row=positions("row"), column=positions("column"), word=positions("word"),
                 weight=positions("weight"), output=output)
