"""The graph that models are loaded into: tensors, nodes, and the rules they obey."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from .errors import ModelFormatError


__all__ = ["DTYPES", "Tensor", "Node", "Graph"]


#: Types that tensors may have, by name.
DTYPES = MappingProxyType({name: np.dtype(name) for name in
                           ("bool", "int8", "uint8", "int16", "int32", "int64", "float32")})


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Parameters
    ----------
    name : str
        Unique in its graph.
    shape : tuple of int
        As in the model, the batch axis included.
    dtype : str
        A key of :data:`DTYPES`.
    scale : ndarray of float32, optional
        One entry, or one per index of ``axis``; ``None`` if the tensor is not quantised.
        A code ``q`` stands for ``(q - zero_point) * scale``.
    zero_point : ndarray of int64, optional
        As many entries as ``scale``.
    axis : int, optional
        Axis that ``scale`` and ``zero_point`` run along if they have several entries.
    data : ndarray, optional
        Values of a constant.
    """

    name:       str
    shape:      tuple
    dtype:      str
    scale:      np.ndarray | None = None
    zero_point: np.ndarray | None = None
    axis:       int | None        = None
    data:       np.ndarray | None = None

    @property
    def is_constant(self):
        """Whether the values are known."""
        return self.data is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operator of a graph.

    Parameters
    ----------
    op : str
        What it computes; a key of :data:`popmac.golden.layers.OPERATORS`, or of a front end's
        own making where popmac has no such operator.
    name : str
        Unique in its graph; names the operator in messages.
    inputs, outputs : tuple of str
        Names of tensors; an input that is left out is ``""``.
    attrs : mapping
        Numbers, strings, booleans, and tuples of these.
    """

    op:      str
    name:    str
    inputs:  tuple
    outputs: tuple
    attrs:   dict = field(default_factory=dict)

    @property
    def output(self):
        """Name of the only output."""
        name, = self.outputs
        return name


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """An immutable graph of nodes in an order in which they can be computed.

    Parameters
    ----------
    name : str
        Name of the model, for messages.
    dialect : str
        Whose arithmetic the operators follow: ``"tflite"``, ``"onnx"`` (onnxruntime's quantised
        operators) or ``"qonnx"``.
    nodes : tuple of Node
    tensors : mapping of str to Tensor
    inputs, outputs : tuple of str
        Names of tensors, in the model's order.
    """

    name:    str
    dialect: str
    nodes:   tuple
    tensors: dict
    inputs:  tuple
    outputs: tuple

    @cached_property
    def _producers(self):
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def _consumers(self):
        consumers = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                consumers.setdefault(name, []).append(node)
        return consumers

    def producer(self, name):
        """Node that computes tensor ``name``, or ``None``."""
        return self._producers.get(name)

    def consumers(self, name):
        """Nodes that read tensor ``name``, in order."""
        return list(self._consumers.get(name, ()))

    def replace(self, old, new, tensors=()):
        """Graph with the nodes ``new`` in the place of the last of the nodes ``old``.

        ``tensors`` are added or take the place of those of the same name; tensors that nothing
        uses any more are left out.
        """
        old   = list(old)
        last  = max(i for i, node in enumerate(self.nodes) if node in old)
        nodes = []
        for i, node in enumerate(self.nodes):
            if node not in old:
                nodes.append(node)
            if i == last:
                nodes.extend(new)
        return replace(self, nodes=tuple(nodes),
                       tensors=self.tensors | {t.name: t for t in tensors}).pruned()

    def pruned(self):
        """Graph without the tensors that nothing uses."""
        used = {*self.inputs, *self.outputs}
        for node in self.nodes:
            used.update(node.inputs, node.outputs)
        return replace(self, tensors={n: t for n, t in self.tensors.items() if n in used})

    def verify(self):
        """Check that the graph is one, and return it.

        Raises
        ------
        ModelFormatError
            If a name is unknown or computed twice, a node comes before one it needs, or a tensor
            contradicts its own description.
        """
        def check(valid, message):
            if not valid:
                raise ModelFormatError(f"{self.name}: {message}")

        names = set()
        for node in self.nodes:
            check(node.name not in names, f"two operators are called {node.name!r}")
            names.add(node.name)

        for name, tensor in self.tensors.items():
            check(name == tensor.name, f"tensor {tensor.name!r} is filed as {name!r}")
            check(tensor.dtype in DTYPES, f"tensor {name!r} has unknown type {tensor.dtype!r}")
            check(all(isinstance(n, int) and n >= 0 for n in tensor.shape),
                  f"tensor {name!r} has shape {tensor.shape!r}")
            if tensor.data is not None:
                check(tensor.data.shape == tensor.shape
                      and tensor.data.dtype == DTYPES[tensor.dtype],
                      f"values of tensor {name!r} are {tensor.data.dtype} {tensor.data.shape}, "
                      f"not {tensor.dtype} {tensor.shape}")
            if tensor.scale is not None:
                count = 1 if tensor.axis is None else tensor.shape[tensor.axis]
                check(tensor.scale.shape == tensor.zero_point.shape == (count,),
                      f"tensor {name!r} has {tensor.scale.size} scales and "
                      f"{tensor.zero_point.size} zero points instead of {count}")
                check(np.all(np.isfinite(tensor.scale)) and np.all(tensor.scale > 0),
                      f"a scale of tensor {name!r} is not a positive number")

        check(self.outputs, "there are no outputs")
        known = {*self.inputs, *(n for n, t in self.tensors.items() if t.is_constant)}
        for node in self.nodes:
            for name in node.inputs:
                check(name == "" or name in self.tensors,
                      f"{node.name} reads tensor {name!r}, which there is not")
                check(name == "" or name in known,
                      f"{node.name} reads tensor {name!r} before it is computed")
            for name in node.outputs:
                check(name in self.tensors,
                      f"{node.name} writes tensor {name!r}, which there is not")
                check(name not in known, f"tensor {name!r} is computed twice")
                known.add(name)
        for name in (*self.inputs, *self.outputs):
            check(name in self.tensors, f"there is no tensor {name!r}")
            check(name in known, f"output {name!r} is never computed")
        return self
