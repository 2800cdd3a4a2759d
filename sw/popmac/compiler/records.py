"""Channel parameters as rows of program memory."""

import numpy as np

from .. import isa


__all__ = ["parameter_rows"]


def parameter_rows(record, columns, **fields):
    """Encode the parameters of channels, filled up to whole blocks.

    Parameters
    ----------
    record : type
        :class:`popmac.isa.ChannelParameters` or :class:`popmac.isa.PairParameters`.
    columns : int
        Channels per block.
    fields : array_like of int, shape (channels,)

    Returns
    -------
    ndarray of uint8 (rows, isa.ROW_BYTES)
    """
    arrays  = {name: np.asarray(values, np.int64).tolist() for name, values in fields.items()}
    count   = len(next(iter(arrays.values())))
    size    = isa.ROW_BYTES // 2
    encoded = b"".join(
        record(**{name: values[i] for name, values in arrays.items()}).encode()
        .to_bytes(size, "little") for i in range(count))
    encoded += bytes(size * (-count % columns))
    return np.frombuffer(encoded, np.uint8).reshape(-1, isa.ROW_BYTES)
