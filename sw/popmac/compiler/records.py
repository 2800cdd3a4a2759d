"""Channel parameters as rows of program memory."""

import numpy as np

from .. import isa


__all__ = ["parameter_rows"]


def parameter_rows(record, columns, *, block=None, **fields):
    """Encode the parameters of channels, filled up to whole blocks.

    Parameters
    ----------
    record : type
        :class:`popmac.isa.ChannelParameters` or :class:`popmac.isa.PairParameters`.
    columns : int
        Of the array: parameters per block.
    block : int, optional
        Channels per block, where they are fewer.
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
    block   = block or columns
    octets  = np.zeros((-(-count // block), columns, size), np.uint8)
    filled  = np.zeros((len(octets) * block, size), np.uint8)
    filled[:count] = np.frombuffer(encoded, np.uint8).reshape(count, size)
    octets[:, :block] = filled.reshape(-1, block, size)
    return octets.reshape(-1, isa.ROW_BYTES)
