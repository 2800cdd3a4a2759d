"""From a graph to a program."""

from dataclasses import replace
from functools import partial

from .. import isa
from ..arch import ArchConfig, target as find_target
from ..errors import UnsupportedModelError
from ..golden.layers import problems
from ..graph import Graph
from ..program import DeviceSegment, Fallback, HostSegment, Layer, Program, SumSegment
from .allocate import Lifetime, MemoryFullError, allocate
from .cycles import predict
from .emit import emit, parameter_capacity, weight_capacity
from .lowering.convolution import lower_conv_2d, lower_fully_connected
from .lowering.depthwise import lower_depthwise_conv_2d
from .lowering.elementwise import (
    lower_maximum,
    lower_product,
    lower_sum,
    lower_sum_codes,
)
from .lowering.function import lower_function
from .lowering.movement import (
    can_copy,
    lower_broadcast,
    lower_concatenation,
    lower_pad,
    lower_reshape,
    lower_resize,
    lower_split,
    lower_strided_slice,
)
from .lowering.pooling import (
    lower_average_pool_2d,
    lower_max_pool_2d,
    lower_mean,
    lower_reduce_max,
)
from .lowering.sums import lower_sums
from .lowering.thresholds import SEGMENTS, THRESHOLDS, lower_segments, lower_thresholds
from .lowering.transpose_conv import lower_transpose_conv
from .macs import node_macs
from .passes.expand_operands import expand_operands
from .passes.fold_pad import fold_pad
from .passes.split_codes import COUNTS, can_split, parts, split_codes
from .passes.tile_rows import can_tile, tile_rows
from .placement import FUNCTIONS, Verdict, place
from .requantize import FitError
from .rounding import fit_layer
from .segments import cut
from .storage import resolve_storage
from .view import RESHAPES


__all__ = ["compile_graph"]


#: What is done to a graph before it is compiled; a pass whose tensors are gone is left out if these
#: are to be compared.
PASSES = (expand_operands,)
FUSING = (fold_pad,)


def _lower_arithmetic(of_tensors):
    """``of_tensors``, or where one operand is constant, a function of the other."""
    def lower(graph, node, storages, arch):
        constant = any(graph.tensors[name].is_constant for name in node.inputs)
        return (lower_function if constant else of_tensors)(graph, node, storages, arch)
    return lower


LOWERINGS = {
    "Conv2D":                lower_conv_2d,
    "DepthwiseConv2D":       lower_depthwise_conv_2d,
    "FullyConnected":        lower_fully_connected,
    "AveragePool2D":         lower_average_pool_2d,
    "MaxPool2D":             lower_max_pool_2d,
    "Mean":                  lower_mean,
    "ReduceMax":             lower_reduce_max,
    "TransposeConv":         lower_transpose_conv,
    "Add":                   _lower_arithmetic(lower_sum),
    "Sub":                   _lower_arithmetic(lower_sum),
    "Mul":                   _lower_arithmetic(lower_product),
    "Maximum":               lower_maximum,
    "SumCodes":              lower_sum_codes,
    "SumFullyConnected":     lower_sums,
    "Broadcast":             lower_broadcast,
    **dict.fromkeys(FUNCTIONS, lower_function),
    "Concatenation":         lower_concatenation,
    "Split":                 lower_split,
    "StridedSlice":          lower_strided_slice,
    "Pad":                   lower_pad,
    "ResizeNearestNeighbor": lower_resize,
    **dict.fromkeys(THRESHOLDS, lower_thresholds),
    **dict.fromkeys(SEGMENTS, lower_segments),
    **dict.fromkeys(RESHAPES, lower_reshape),
}


def compile_graph(graph: Graph, arch: ArchConfig | str, *, fuse: bool = True) -> Program:
    """Compile a model for a target.

    Parameters
    ----------
    graph : Graph
    arch : ArchConfig or str
        The target, or its name.
    fuse : bool
        Join operators where that saves time; the tensors between them are not computed then.

    Raises
    ------
    UnsupportedModelError
        With all operators that neither the device nor the host can compute exactly, or with what
        does not fit.
    """
    if isinstance(arch, str):
        arch = find_target(arch)
    graph.verify()
    if found := problems(graph):
        raise UnsupportedModelError(found)
    for simplify in (*PASSES, *(FUSING if fuse else ())):
        graph = simplify(graph).verify()

    excluded, copied, as_bytes = {}, set(), set()
    alone = {node.name for node in graph.nodes if node.op == "SumFullyConnected"}
    known = {node.name for node in graph.nodes}
    while True:
        verdicts = place(graph, excluded)
        nodes    = [node for node in graph.nodes if node.name not in verdicts]
        storages, failed = resolve_storage(graph, nodes, arch, copied, as_bytes)
        for node in nodes:
            if node.name in failed and node.name not in copied and can_copy(graph, node):
                copied.add(node.name)
            elif node.name in failed:
                excluded[node.name] = Verdict(failed[node.name], "use another shape")
        if failed:
            continue
        plans, again = {}, False
        for node in nodes:
            try:
                plans[node.name] = [
                    part for plan in LOWERINGS[node.op](graph, node, storages, arch)
                    for part in plan.split(weight_capacity(plan, arch), parameter_capacity(arch))]
            except FitError as error:
                source = node.inputs[0]
                if can_split(node) and (count := _fitting_parts(graph, node)):
                    graph, again = split_codes(graph, node, count), True
                elif node.op in THRESHOLDS and storages[source].layout.bits \
                        and source not in as_bytes:
                    as_bytes.add(source) # the array may do
                    again = True
                else:
                    excluded[node.name] = Verdict(str(error), "quantise it with other scales")
            else:
                if missing := {plan.unit.name for plan in plans[node.name]} - {*arch.units}:
                    excluded[node.name] = Verdict(
                        f"{arch.name} has no unit {' and no unit '.join(sorted(missing))}",
                        "use another target, or leave it to the host")
        if again or excluded.keys() - verdicts.keys():
            continue
        try:
            return _assemble(graph, arch, verdicts, storages, plans, alone)
        except _CrowdedError as error:
            node, = (node for node in graph.nodes if node.name == error.node)
            if error.node not in alone:
                alone.add(error.node)
            elif can_tile(graph, node):
                parts = min(2 * error.times, graph.tensors[node.output].shape[1])
                graph, moving = tile_rows(graph, node, parts)
                excluded |= dict.fromkeys(moving, Verdict(
                    "it moves rows of tensors that do not fit on the device", "nothing is lost"))
                alone |= {other.name for other in graph.nodes if other.name not in known}
                known |= alone
            else:
                excluded[error.node] = Verdict(str(error), "use a smaller input or another target")
        except _TooLargeError as error:
            excluded[error.node] = Verdict(str(error), "use a smaller model or a larger target")


def _fitting_parts(graph, node):
    """Number of parts of a layer that all have requantiser parameters, or ``None``."""
    for count in COUNTS:
        try:
            for part in parts(node, count):
                if node.op != "Mean": # one for all channels: it does no harm to try
                    fit_layer(graph, part)
        except FitError:
            continue
        return count
    return None


class _TooLargeError(Exception):
    """What a node needs does not fit on the device together with the others."""

    def __init__(self, node, message):
        self.node = node
        super().__init__(message)


class _CrowdedError(_TooLargeError):
    """The tensors that a node needs, and those that are kept meanwhile, do not fit.

    ``times`` is how many times as much memory it would take, rounded up.
    """

    def __init__(self, node, message, times):
        self.times = times
        super().__init__(node, message)


def _assemble(graph, arch, verdicts, storages, plans, alone):
    segments, layers, lifetimes = [], [], {}
    written,  read = [], set() # times of inputs, and memory of outputs

    def keep(name, time):
        """Have the memory of tensor ``name`` at a time."""
        storage = storages[name]
        _, spans = lifetimes.setdefault(storage.tensors[0], (storage, {}))
        first, last = spans.get(len(segments), (time, time))
        spans[len(segments)] = min(first, time), max(last, time)

    # Time 4n + 2 is that of layer n: what it reads and what it writes must not overlap. Inputs
    # of a segment are written before its first layer, outputs are read behind its last one.
    for host, nodes in cut(graph, verdicts, alone):
        if host:
            segments.append(HostSegment(nodes=tuple(node.name for node in nodes)))
            continue
        first   = len(layers)
        own     = {name for node in nodes for name in node.outputs}
        inputs  = list(dict.fromkeys(
            name for node in nodes for name in node.inputs
            if name and name not in own and not graph.tensors[name].is_constant))
        outside = {*graph.outputs}
        outside.update(name for node in graph.nodes if node not in nodes for name in node.inputs)
        outputs = [name for node in nodes for name in node.outputs if name in outside]
        written.append(4 * first)
        for name in inputs:
            keep(name, 4 * first)
        for node in nodes:
            for plan in plans[node.name]:
                time = 4 * len(layers) + 2
                for name in (plan.source, plan.second, plan.target):
                    if name is not None:
                        keep(name, time)
                layers.append(plan)
        for name in outputs:
            keep(name, 4 * len(layers) - 1)
            read.add(storages[name].tensors[0])
        if len(layers) > first:
            reshaped = {other: name for name in inputs for other in storages[name].tensors
                        if other in own}
            kind = DeviceSegment if not layers[first].sum_bits else \
                partial(SumSegment, bits=layers[first].sum_bits)
            segments.append(kind(first=first, last=len(layers) - 1, inputs=tuple(inputs),
                                 outputs=tuple(outputs), reshaped=reshaped))
        else:
            segments.append(HostSegment(nodes=tuple(node.name for node in nodes)))
            verdicts |= {node.name: Verdict("nothing else runs on the device", "nothing is lost")
                         for node in nodes}

    needed   = [Lifetime(name, storage.words, tuple(spans.values()))
                for name, (storage, spans) in lifetimes.items()]
    # The next sample's inputs are written while this one's outputs are read, if there is room.
    ahead    = tuple((time, time) for time in written)
    generous = [replace(new, spans=new.spans + ahead) if new.name in read else new
                for new in needed]
    try:
        try:
            bases = allocate(generous, arch.activation_words)
        except MemoryFullError:
            bases = allocate(needed, arch.activation_words)
    except MemoryFullError as error:
        layer = layers[min(error.index // 4, len(layers) - 1)]
        raise _CrowdedError(
            layer.node, f"{error.words * arch.word_bytes} bytes of activations are needed at the "
            f"same time, but {arch.name} has {arch.activation_bytes}",
            -(-error.words // arch.activation_words)) from None
    placed   = {name: storage.at(bases[storage.tensors[0]]) for name, storage in storages.items()
                if storage.tensors[0] in bases}
    for plan in layers:
        capacity = weight_capacity(plan, arch)
        if len(plan.weights) > capacity:
            raise _TooLargeError(plan.node, f"it takes {len(plan.weights)} weight words, but "
                                            f"{arch.name} has {capacity} for its engine")
    image    = emit(layers, placed, arch)
    for what, needed, capacity, share in [
        ("rows of program memory", image.resident_rows, arch.program_rows,
            lambda p: len(p.parameters)),
        ("layers", len(layers), isa.MAX_LAYERS, lambda p: 1),
    ]:
        if needed > capacity:
            largest = max(layers, key=share)
            raise _TooLargeError(largest.node, f"{needed} {what} are needed, but {arch.name} has "
                                               f"{capacity}")

    begin   = {part.first for part in (*segments, *image.pages) if not hasattr(part, "nodes")}
    on_host = [node for node in graph.nodes if node.name in verdicts]
    needed  = {name for node in on_host for name in node.inputs}
    tensors = {name: tensor for name, tensor in graph.tensors.items()
               if not tensor.is_constant or name in needed}
    return Program(
        arch=arch, segments=tuple(segments),
        layouts={name: storage.layout for name, storage in placed.items()},
        graph=replace(graph, nodes=tuple(on_host), tensors=tensors),
        layers=tuple(Layer(node=plan.node, op=plan.op, tensors=storages[plan.target].tensors,
                           macs=plan.macs, weight_words=words,
                           cycles=plan.runs * predict(plan, arch, begins=index in begin
                                                      or plan.sum_bits > 0))
                     for index, (plan, words) in enumerate(zip(layers, image.new_words))),
        fallbacks=tuple(Fallback(node=node.name, op=node.op, reason=verdicts[node.name].reason,
                                 remedy=verdicts[node.name].remedy) for node in on_host),
        macs=sum(node_macs(graph, node) for node in graph.nodes),
        macs_on_device=sum(plan.macs for plan in layers),
        pages=image.pages, weights=image.weights, tables=image.tables, rows=image.rows,
        thresholds={plan.node: plan.thresholds for plan in layers if plan.thresholds is not None})
