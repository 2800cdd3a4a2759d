"""Which tensors are kept as bits."""

import numpy as np

from .lowering.binary import bits_of, levels_of
from .lowering.thresholds import SUMS, THRESHOLDS, fits_engine, sums_cost
from .view import RESHAPES


__all__ = ["choose_bit_tensors"]


BIPOLAR = (-1, 1)


def _is_binary(graph, node):
    """Whether the binary engine computes a node whose input is bipolar, without further ado."""
    weights = graph.tensors[node.inputs[1]]
    return node.op in SUMS and bool(np.all(np.abs(weights.data) == 1)) \
        and not np.any(node.attrs.get("padding", 0)) \
        and node.attrs.get("step", 2) == 2


def _binary_tensors(graph, nodes, as_bytes):
    """Tensors that are bipolar, and that only binary layers and pools of such ones read."""
    bits = {name for node in nodes for name in (*node.inputs, *node.outputs)
            if name and not graph.tensors[name].is_constant and levels_of(graph, name) == BIPOLAR
            and name not in as_bytes}

    def allowed(node, name):
        if node.op in SUMS and name == node.inputs[0]:
            return _is_binary(graph, node)
        if node.op in THRESHOLDS or node.op in RESHAPES:
            return name == node.output or node.output in bits
        pool = node.op == "MaxPool2D" and not np.any(node.attrs["padding"])
        return pool and {node.inputs[0], node.output} <= bits

    while True:
        wrong = {name for node in nodes for name in (*node.inputs, *node.outputs)
                 if name in bits and not allowed(node, name)}
        wrong |= {name for node in nodes if node.op in RESHAPES
                  for name in (node.inputs[0], node.output)
                  if (node.inputs[0] in bits) != (node.output in bits)}
        if not wrong & bits:
            return bits
        bits -= wrong


def choose_bit_tensors(graph, nodes, arch, groups, build, as_bytes=()):
    """Tensors that are kept as bits: those of binary layers, and others where that saves cycles.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of Node
        Those that run on the device.
    arch : ArchConfig
    groups : dict of str to collection of str
        Tensors that share memory, by the first of them.
    build : function of set of str to (dict of str to Storage, dict)
        Storages where these tensors are bits, and what has none.
    as_bytes : container of str
        Tensors that must not be bits.

    Returns
    -------
    set of str
    """
    sums = [node for node in nodes if node.op in SUMS]
    if not sums or not arch.planes or arch.rows != arch.columns:
        return set()
    chosen = _binary_tensors(graph, nodes, as_bytes)
    known  = {}

    def cost(bits):
        """Weight words that do not fit, and cycles of all layers of sums.

        ``None`` if these tensors cannot be bits.
        """
        storages, failed = build(bits)
        if any(node.name in failed for node in nodes):
            return None
        cycles, words = 0, 0
        for node in sums:
            if not {node.inputs[0], node.output} <= storages.keys():
                continue
            key = node.name, storages[node.inputs[0]].layout, storages[node.output].layout
            if key not in known:
                fits = not key[1].bits or fits_engine(graph, node, storages, arch)
                known[key] = sums_cost(graph, node, storages, arch) if fits else None
            if known[key] is None:
                return None
            cycles += known[key][0]
            words  += known[key][1]
        return max(words - arch.weight_words, 0), cycles

    apart, _ = build(chosen)
    candidates = []
    for component in _components(graph, nodes, groups):
        if component.isdisjoint(chosen.union(as_bytes)) \
                and _may_be_bits(graph, nodes, component, arch) \
                and cost(chosen | component) is not None \
                and _is_small(component, apart, build(chosen | component)[0], arch):
            candidates.append(component)

    # What a tensor costs depends on those before and behind it: try from either end.
    best = None
    for start in (chosen, chosen.union(*candidates)):
        bits, least = set(start), cost(start)
        while least is not None:
            trials = [bits ^ component for component in candidates]
            better = [(now, i) for i, now in enumerate(map(cost, trials))
                      if now is not None and now < least]
            if not better:
                break
            least, index = min(better)
            bits = trials[index]
        if least is not None and (best is None or least < best[0]):
            best = least, bits
    return best[1] if best else chosen


def _components(graph, nodes, groups):
    """Sets of tensors that share memory, or that pools make of each other."""
    component = {}
    for names in groups.values():
        together = set(names)
        component.update(dict.fromkeys(names, together))
    for node in nodes:
        if node.op == "MaxPool2D":
            together = component[node.inputs[0]] | component[node.output]
            component.update(dict.fromkeys(together, together))
    return list({id(together): together for together in component.values()}.values())


def _is_small(names, storages, others, arch):
    """Whether tensors take little memory in ``others``, or not more than in ``storages``."""
    return all(others[name].words <= max(storages[name].words, arch.activation_words // 4)
               for name in names if name in storages)


def _may_be_bits(graph, nodes, names, arch):
    """Whether all that read and write these tensors can do so where they are bits."""
    levels = {levels_of(graph, name) for name in names}
    bits   = bits_of(levels.pop()) if len(levels) == 1 else None
    if bits is None or bits > arch.planes:
        return False
    read = False
    for node in nodes:
        if node.op in SUMS and node.inputs[0] in names:
            read = True
            if np.any(node.attrs.get("padding", 0)):
                return False
        elif node.op in RESHAPES or (node.op in THRESHOLDS and node.output in names):
            continue
        elif node.op == "MaxPool2D" and bits == 1 and not np.any(node.attrs["padding"]):
            continue
        elif not names.isdisjoint((*node.inputs, *node.outputs)):
            return False
    return read
