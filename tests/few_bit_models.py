"""Random graphs of layers whose weights and activations have few bits."""

import numpy as np

from popmac.compiler import bit_tensors
from popmac.graph import Graph, Node, Tensor


__all__ = ["WEIGHTS", "FewBitModel", "levels", "prefer_engine"]


#: Weights by kind: from and to, and from one to the next.
WEIGHTS = {"bipolar": (-1, 1, 2), "ternary": (-1, 1, 1), "odd": (-3, 3, 2), "int2": (-2, 1, 1),
           "int3": (-4, 3, 1), "int4": (-8, 7, 1), "narrow4": (-7, 7, 1)}


def prefer_engine(monkeypatch):
    """Have layers run on the binary engine wherever they can, whatever it takes."""
    monkeypatch.setattr(bit_tensors, "sums_cost", lambda graph, node, storages, arch:
                        (10 - 5 * (storages[node.inputs[0]].layout.bits > 0), 0))


def levels(bits, kind):
    """Codes of ``bits`` bits: ``signed``, ``unsigned`` or ``bipolar``, which have no 0."""
    first, step = {"signed": (-2**(bits - 1), 1), "unsigned": (0, 1),
                   "bipolar": (1 - 2**bits, 2)}[kind]
    return tuple(range(first, first + step * 2**bits, step))


class FewBitModel:
    """Collects the nodes of a graph, one behind the other.

    Parameters
    ----------
    rng : Generator
    shape : (int, int, int)
        Of the input: height, width and channels.
    codes : tuple of int
        Levels of the input.
    extreme : bool
        All weights and activations are the least or the greatest.
    """

    def __init__(self, rng, shape, codes, *, extreme=False):
        self.rng, self.extreme = rng, extreme
        self.tensors, self.nodes = {}, []
        self._tensor("x", (1, *shape), "float32")
        limits = np.arange(1, len(codes), dtype=np.float32)[None]
        self.codes = codes
        self._add("Threshold", ["x", self._constant(limits)], (1, *shape), levels=codes)

    def input(self):
        """Values that make random codes."""
        shape = self.tensors["x"].shape
        index = self.rng.integers(len(self.codes), size=shape)
        if self.extreme:
            index = self.rng.choice([0, len(self.codes) - 1], shape)
            if self.rng.random() < 0.6:
                index[...] = index.flat[0]
        return (index + 0.5).astype(np.float32)

    def convolution(self, outputs, kernel, codes, weights, *, strides=(1, 1), dilation=(1, 1)):
        """A convolution with thresholds."""
        _, height, width, inputs = self.last.shape
        data = self._weights((outputs, *kernel, inputs), weights)
        size = [(n - (k - 1) * d - 1) // s + 1
                for n, k, d, s in zip((height, width), kernel, dilation, strides)]
        self._add("ThresholdConv2D", [self.last.name, self._constant(data),
                                      self._thresholds(data, codes)], (1, *size, outputs),
                  levels=codes, strides=strides, dilation=dilation, padding=((0, 0), (0, 0)))

    def fully_connected(self, outputs, codes, weights):
        """A fully connected layer with thresholds."""
        data = self._weights((outputs, self._flatten()), weights)
        self._add("ThresholdFullyConnected", [self.last.name, self._constant(data),
                                              self._thresholds(data, codes)], (1, outputs),
                  levels=codes)

    def sums(self, outputs, weights):
        """A fully connected layer whose sums are the output."""
        data  = self._weights((outputs, self._flatten()), weights)
        low, high = self._reach(data)
        low, high = int(low.min()), int(high.max())
        count = -(-(high - low) // 255) or 1
        self._add("SegmentFullyConnected", [self.last.name, self._constant(data)],
                  (1, outputs * count), first=low, step=1, segments=count)

    def graph(self):
        """Graph whose output is that of the last layer."""
        return Graph(name="few bits", dialect="qonnx", nodes=tuple(self.nodes),
                     tensors=self.tensors, inputs=("x",), outputs=(self.last.name,)).verify()

    @property
    def last(self):
        """Tensor that was computed last."""
        return self.tensors[self.nodes[-1].output]

    def _flatten(self):
        count = int(np.prod(self.last.shape))
        if len(self.last.shape) == 4:
            self._add("Reshape", [self.last.name], (1, count), shape=(1, count))
        return count

    def _levels(self):
        return [node.attrs["levels"] for node in self.nodes if "levels" in node.attrs][-1]

    def _reach(self, data):
        codes = self._levels()
        flat  = data.reshape(len(data), -1).astype(np.int64)
        ends  = np.stack([flat * codes[0], flat * codes[-1]])
        return ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)

    def _weights(self, shape, kind):
        low, high, step = WEIGHTS[kind]
        data = np.array(range(low, high + 1, step))
        data = self.rng.choice(data[[0, -1]] if self.extreme else data, shape).astype(np.int8)
        if self.extreme:
            data[::3], data[1::3] = low, high
        return data

    def _thresholds(self, data, codes):
        low, high = self._reach(data)
        number    = len(codes) - 1
        spread    = np.maximum((high - low) // 8, 1)
        first     = (low + high) // 2 + self.rng.integers(-spread, spread + 1)
        apart     = self.rng.integers(1, np.maximum(spread // number, 1) + 1)
        limits    = first[:, None] + apart[:, None] * (np.arange(number) - number // 2)
        limits[::7] += (high - low)[::7, None] # never, as good as
        return self._constant(limits.astype(np.int32))

    def _tensor(self, name, shape, dtype, **fields):
        self.tensors[name] = Tensor(name=name, shape=tuple(int(n) for n in shape), dtype=dtype,
                                    **fields)
        return name

    def _constant(self, data):
        return self._tensor(f"c{len(self.tensors)}", data.shape, data.dtype.name, data=data,
                            scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))

    def _add(self, op, inputs, size, /, **attrs):
        name = self._tensor(f"t{len(self.tensors)}", size, "int8",
                            scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))
        self.nodes.append(Node(op=op, name=f"{op} {name}", inputs=tuple(inputs), outputs=(name,),
                               attrs=attrs))
