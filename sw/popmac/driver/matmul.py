"""Products of matrices on a device, without a model."""

import hashlib
from collections import OrderedDict

import numpy as np

from ..errors import InputError
from ..graph import Graph, Node, Tensor


__all__ = ["Matrices"]


#: Sums of more products may leave 32 bits.
MAX_INNER = (1 << 17) - 1

#: Rows and columns of a part: what the device's layers can have.
_MAX_PART = 4096

#: Parts that are kept compiled.
_MAX_KEPT = 64

#: Parts of sums, of 255 steps each, up to which few bits are worth it.
_MAX_SEGMENTS = 16

_LEVELS = ((-1, 1), (0, 1), (-1, 0, 1), (-2, -1, 0, 1), tuple(range(-8, 8)))


class Matrices:
    """Matrices of weights that a device has multiplied by, compiled once.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device):
        self._device = device
        self._kept   = OrderedDict() # compiled part and its session, by content

    def multiply(self, a, w):
        """See :meth:`popmac.driver.device.Device.matmul`."""
        a, w = _codes(a, "a"), _codes(w, "w")
        if w.ndim != 2 or a.ndim < 1 or a.shape[-1] != len(w) or 0 in (*a.shape, *w.shape):
            raise InputError(f"a must be (..., inner) and w (inner, columns), not {a.shape} and "
                             f"{w.shape}")
        if len(w) > MAX_INNER:
            raise InputError(f"sums of {len(w)} products may not fit in 32 bits; at most "
                             f"{MAX_INNER} do: divide the matrices")
        levels = next((known for known in _LEVELS if np.isin(a, known).all()), None)
        arch   = self._device.arch
        most   = min(_MAX_PART, arch.activation_bytes // 4)
        rows   = a.reshape(-1, len(w))
        result = np.zeros((len(rows), w.shape[1]), np.int64)
        for inner in range(0, len(w), most):
            for column in range(0, w.shape[1], most):
                part  = np.ascontiguousarray(w[inner:inner + most, column:column + most])
                place = (slice(None), slice(column, column + most))
                result[place] += self._part(rows[:, inner:inner + most], part, levels)
        return result.astype(np.int32).reshape(*a.shape[:-1], w.shape[1])

    def _part(self, a, w, levels):
        graph, inputs, finish = _few_bits(w, levels) or (_whole(w), np.int8, None)
        session = self._session(graph, (w.shape, w.tobytes(), levels if finish else None))
        y = session.run_many(np.ascontiguousarray(a[:, None].astype(inputs)))
        return y.reshape(len(a), w.shape[1])

    def _session(self, graph, content):
        key = hashlib.sha256(repr((content[0], content[2])).encode() + content[1]).digest()
        session = self._kept.pop(key, None)
        if session is None or not session.loaded:
            session = self._device.load(graph if session is None else session.program)
            session.expendable = True
        self._kept[key] = session
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return session


def _codes(values, name):
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.size and (values.min() < -128
                                                         or values.max() > 127):
        raise InputError(f"{name} must be integers from -128 to 127, not {values.dtype}"
                         + (f" from {values.min()} to {values.max()}" if values.size else ""))
    return values.astype(np.int8)


def _tensor(name, shape, dtype, data=None):
    coded = {"scale": np.ones(1, np.float32), "zero_point": np.zeros(1, np.int64)} \
        if dtype == "int8" else {}
    return Tensor(name=name, shape=shape, dtype=dtype, data=data, **coded)


def _graph(nodes, tensors, output):
    return Graph(name="matmul", dialect="matmul", nodes=nodes, inputs=("a",), outputs=(output,),
                 tensors={tensor.name: tensor for tensor in tensors})


def _whole(w):
    """A vector times a matrix of any codes."""
    inner, columns = w.shape
    return _graph((Node(op="SumFullyConnected", name="matmul", inputs=("a", "w"),
                        outputs=("y",)),), (
        _tensor("a", (1, inner), "int8"), _tensor("y", (1, columns), "int32"),
        _tensor("w", (columns, inner), "int8", np.ascontiguousarray(w.T))), "y")


def _few_bits(w, levels):
    """A vector of codes of few bits times such a matrix, which may be done bit by bit.

    ``None`` where the sums have too many bits for that to be worth it.
    """
    if levels is None or w.min() < -8 or w.max() > 7:
        return None
    inner, columns = w.shape
    wide  = w.astype(np.int64)
    ends  = np.stack([wide * levels[0], wide * levels[-1]])
    first = int(ends.min(axis=0).sum(axis=0).min())
    step  = 2 if levels == (-1, 1) and np.all(np.abs(w) == 1) else 1
    last  = int(ends.max(axis=0).sum(axis=0).max())
    count = max(-(-(last - first) // (255 * step)), 1)
    if count > _MAX_SEGMENTS or count * columns > _MAX_PART:
        return None
    attrs  = {"first": first, "step": step, "segments": count}
    middle = [(low + high) / 2 for low, high in zip(levels, levels[1:])]
    nodes  = (
        Node(op="Threshold", name="levels", inputs=("a", "t"), outputs=("codes",),
             attrs={"levels": levels}),
        Node(op="SegmentFullyConnected", name="matmul", inputs=("codes", "w"),
             outputs=("parts",), attrs=attrs),
        Node(op="JoinSegments", name="join", inputs=("parts",), outputs=("y",), attrs=attrs))
    return _graph(nodes, (
        _tensor("a", (1, inner), "float32"), _tensor("codes", (1, inner), "int8"),
        _tensor("t", (1, len(middle)), "float32", np.array([middle], np.float32)),
        _tensor("w", (columns, inner), "int8", np.ascontiguousarray(w.T)),
        _tensor("parts", (1, count * columns), "int8"), _tensor("y", (1, columns), "int32")),
        "y"), np.float32, True
