"""Which tensors share memory, and how they lie in it."""

from dataclasses import dataclass, replace

from ..layout import Layout, linear, planar
from .bit_tensors import choose_bit_tensors
from .lowering.binary import bitwise, levels_of, spare_words
from .lowering.depthwise import row_pitch, takes_words
from .lowering.thresholds import SUMS
from .view import RESHAPES, image_shape


__all__ = ["Storage", "resolve_storage"]


#: Operators whose operands have to lie alike.
PAIRS = ("Add", "Sub", "SumCodes", "Mul", "Maximum")


@dataclass(frozen=True, eq=False)
class Storage:
    """Memory of one or several tensors, as one of them sees it.

    Parameters
    ----------
    tensors : tuple of str
        Tensors with the same elements in the same order; the first one is computed.
    layout : Layout
        Of the tensor; its base is not decided yet.
    words : int
        That all of them together take.
    """

    tensors: tuple
    layout:  Layout
    words:   int

    def at(self, base):
        """The same at another address."""
        return replace(self, layout=self.layout.at(base))


def resolve_storage(graph, nodes, arch, copied=(), as_bytes=()):
    """Storage of every tensor that ``nodes`` read or write on the device.

    A reshaped tensor is the tensor that it is made of, read in another way. This takes nothing if
    both are the same image, or if only fully connected layers read it, which take elements in any
    order. Otherwise the elements must lie in the order of the array.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of Node
        Those that run on the device.
    arch : ArchConfig
    copied : container of str
        Names of reshaping nodes whose output has memory of its own.
    as_bytes : container of str
        Tensors that must not be bits.

    Returns
    -------
    storages : dict of str to Storage
        By tensor.
    failed : dict of str to str
        Reasons by the name of nodes for which there is no layout: reshaping ones if possible.
    """
    origin = {}

    def find(name):
        while name in origin:
            name = origin[name]
        return name

    for node in nodes:
        if node.op in RESHAPES and node.name not in copied:
            origin[node.output] = find(node.inputs[0])

    groups = {}
    for node in nodes:
        for name in (*node.inputs, *node.outputs):
            if name and not graph.tensors[name].is_constant:
                groups.setdefault(find(name), {})[name] = None

    # Operands of the same operator have to lie alike.
    alike = {first: {first} for first in groups}
    for node in nodes:
        if node.op in PAIRS:
            together = set().union(*(alike[find(name)] for name in node.inputs
                                     if find(name) in alike))
            alike.update(dict.fromkeys(together, together))

    def build(bits):
        return _storages(graph, nodes, arch, groups, bits, copied, alike, find)

    storages, failed = build(choose_bit_tensors(graph, nodes, arch, groups, build,
                                                as_bytes))
    for node in nodes:
        if node.op in PAIRS:
            operands = [storages[name] for name in node.inputs if name in storages]
            if len({storage.layout for storage in operands}) > 1:
                reshapes = [other.name for other in nodes for storage in operands
                            if other.op in RESHAPES and other.inputs[0] in storage.tensors
                            and other.output in storage.tensors]
                failed.update(dict.fromkeys(reshapes or [node.name],
                                            "operands would lie differently in memory"))
    return storages, failed


def _storages(graph, nodes, arch, groups, bits, copied, alike, find):
    """Storages of all groups of tensors, where those in ``bits`` are bits."""
    storages, failed = {}, {}
    vectors = {name for node in nodes if node.op == "SumFullyConnected"
               for name in (node.inputs[0], node.output)}

    def shape_of(name):
        shape = graph.tensors[name].shape
        return (1, 1, shape[-1]) if name in vectors else image_shape(shape)

    for first, names in groups.items():
        shape  = shape_of(first)
        shapes = {name: shape_of(name) for name in names}
        others = [name for name in names if shapes[name] != shape
                  and not _read_in_any_order(graph, nodes, name)]
        layout = planar(shape, arch.word_bytes, dense=_is_dense(nodes, names, copied),
                        row_pitch=_row_pitch(graph, nodes, alike[first], find, arch))
        if names.keys() & bits:
            layout = bitwise(shape, arch, levels_of(graph, first))
        layouts = dict.fromkeys(names, layout)
        if others:
            layouts = {name: None if layout.bits else
                       linear(shapes[name] if name in others else shape, arch.word_bytes)
                       for name in names}
            if None in layouts.values():
                for node in nodes:
                    if node.op in RESHAPES and node.output in names \
                            and node.inputs[0] in names:
                        failed[node.name] = "rows of the tensor do not fill words of memory"
                continue
        if any(node.op in SUMS and name == node.output for node in nodes for name in names):
            layouts = {name: replace(layout, spare=spare_words(layout, arch))
                       for name, layout in layouts.items()}
        words = max(layout.words for layout in layouts.values())
        storages.update({name: Storage(tuple(names), layout, words)
                         for name, layout in layouts.items()})
    return storages, failed


def _row_pitch(graph, nodes, firsts, find, arch):
    """Function of the words of a row for :func:`planar`, for tensors that lie alike."""
    dilations = {node.attrs["dilation"][0] for node in nodes
                 if node.op == "DepthwiseConv2D" and find(node.inputs[0]) in firsts
                 and takes_words(graph, node, arch)}
    if len(dilations) != 1:
        return None
    dilation, = dilations
    return lambda words: row_pitch(words, dilation, arch) or words


def _is_dense(nodes, names, copied):
    """Whether the host writes a tensor and only convolutions read it, from any byte on."""
    return not any(name in node.outputs and (node.op not in RESHAPES or node.name in copied)
                   for node in nodes for name in names) \
        and all(node.op == "Conv2D" for node in nodes for name in names if name in node.inputs)


def _read_in_any_order(graph, nodes, name):
    readers = [node for node in nodes if name in node.inputs and node.op not in RESHAPES]
    return all(node.op.endswith("FullyConnected")
               and image_shape(graph.tensors[name].shape)[:2] == (1, 1) for node in readers)
