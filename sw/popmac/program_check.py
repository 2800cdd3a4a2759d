"""What must hold in a program that comes from a file."""

import numpy as np

from . import isa
from .arch import ACCUMULATOR_BITS, TABLE_BYTES, TABLES
from .graph import DTYPES
from .program import DeviceSegment, HostSegment, SumSegment


__all__ = ["check_program"]


def check_program(program):
    """Raise :class:`ValueError` unless a program is one that the compiler could make."""
    _check_memory(program, program.arch)
    _check_tensors(program, program.arch, program.graph)
    _check_segments(program, program.graph)
    _check_layers(program, program.arch)
    _check_order(program, program.graph)


def _require(valid, what):
    if not valid:
        raise ValueError(what)


def _check_memory(program, arch):
    """Weights, tables and rows, and how pages divide them."""
    _require(program.weights.dtype == np.int8 and program.weights.ndim == 3
             and program.weights.shape[1:] == (arch.rows, arch.columns), "weights do not fit")
    _require(program.tables.dtype == np.int8 and program.tables.ndim == 2
             and program.tables.shape[1] == TABLE_BYTES, "tables do not fit")
    for page in program.pages:
        _require(page.words <= arch.all_weight_words and page.tables <= TABLES
                 and page.first_word + page.words <= len(program.weights)
                 and page.first_table + page.tables <= len(program.tables)
                 and page.first_row + page.rows <= len(program.rows)
                 and page.first <= page.last < len(program.layers), "a page does not fit")
    _require([n for page in program.pages for n in range(page.first, page.last + 1)]
             == list(range(len(program.layers))), "a layer is on no page")
    _require(program.rows.dtype == np.uint8 and program.rows.ndim == 2
             and program.rows.shape[1] == isa.ROW_BYTES
             and program.resident_rows <= arch.program_rows
             and len(program.rows) >= len(program.layers) * isa.LAYER_ROWS, "rows do not fit")


def _check_tensors(program, arch, graph):
    """Types of tensors, and their places in the activation memory."""
    _require(all(tensor.dtype in DTYPES for tensor in graph.tensors.values()),
             "a tensor has an unknown type")
    vectors = {name for segment in program.segments if isinstance(segment, SumSegment)
               for name in (*segment.inputs, *segment.outputs)}
    for name, layout in program.layouts.items():
        _require(name in graph.tensors, f"there is no tensor {name!r}")
        _require(layout.word_bytes == arch.word_bytes and 0 < layout.group <= arch.word_bytes
                 and min(layout.height, layout.width, layout.channels) > 0
                 and min(layout.pixel_pitch, layout.row_pitch, layout.block_pitch) >= 0
                 and layout.base + layout.words <= arch.activation_words
                 and layout.height * layout.width * layout.channels <= 8 * arch.activation_bytes
                 and layout.bits in (0, arch.bits_per_byte)
                 and layout.code_bits in (1, 2, 4) and layout.code_step > 0
                 and layout.height * layout.width * layout.channels
                 == int(np.prod(graph.tensors[name].shape[-1:] if name in vectors
                                else graph.tensors[name].shape)),
                 f"layout of {name!r} does not fit")


def _check_segments(program, graph):
    """What runs where, and what goes in and comes out."""
    names = {node.name for node in graph.nodes}
    for segment in program.segments:
        if isinstance(segment, HostSegment):
            _require(set(segment.nodes) <= names, "a node is missing")
            _require(set(segment.nodes) <= {fallback.node for fallback in program.fallbacks},
                     "a node runs on the host for no reason")
        else:
            _require(segment.first <= segment.last < len(program.layers), "a layer is missing")
            _require({*segment.inputs, *segment.outputs} <= set(program.layouts),
                     "a tensor has no layout")
            _require(not isinstance(segment, SumSegment) or (
                len(segment.inputs) == len(segment.outputs) == 1
                and 0 < segment.bits <= ACCUMULATOR_BITS
                and graph.tensors[segment.inputs[0]].dtype == "int8"
                and graph.tensors[segment.outputs[0]].dtype == "int32"
                and graph.tensors[segment.inputs[0]].shape[:-1]
                == graph.tensors[segment.outputs[0]].shape[:-1]), "sums do not fit")
            _require(set(segment.reshaped) <= set(graph.tensors)
                     and set(segment.reshaped.values()) <= set(segment.inputs),
                     "a tensor is missing")


def _check_layers(program, arch):
    """Layers of the device, and thresholds that may be replaced."""
    for layer in program.layers:
        _require(layer.tensors and set(layer.tensors) <= set(program.layouts),
                 "a tensor has no layout")
        _require(min(layer.macs, layer.weight_words) >= 0 and layer.cycles > 0,
                 "a layer takes no time")
    for name, t in program.thresholds.items():
        _require(0 < t.step < 256 and t.scale in (1, 2) and 0 < t.block <= arch.columns and all(
            a.dtype == np.int32 and a.shape == t.values.shape and a.ndim == 1
            for a in (t.values, t.low, t.high)), f"thresholds of {name!r} do not fit")
        _require(any(layer.node == name for layer in program.layers), f"there is no layer {name!r}")
        where = program.threshold_rows(name)
        _require(where.max() < len(program.rows)
                 and 2 * len(where) // arch.columns * t.block >= len(t.values),
                 f"thresholds of {name!r} have no rows")


def _check_order(program, graph):
    """Nothing is read before it is computed."""
    for node in graph.nodes:
        _require(all(n in graph.tensors for n in (*node.inputs, *node.outputs) if n),
                 "a tensor is missing")
    _require(graph.inputs and graph.outputs, "it has no inputs or no outputs")
    _require({*graph.inputs, *graph.outputs} <= set(graph.tensors), "a tensor is missing")
    known = {*graph.inputs, "",
             *(name for name, tensor in graph.tensors.items() if tensor.is_constant)}
    nodes = {node.name: node for node in graph.nodes}
    for segment in program.segments:
        if isinstance(segment, DeviceSegment):
            _require(set(segment.inputs) <= known, "a tensor is read before it is computed")
            known.update(segment.outputs)
            continue
        for node in (nodes[name] for name in segment.nodes):
            _require(set(node.inputs) <= known, "a tensor is read before it is computed")
            known.update(node.outputs)
    _require(set(graph.outputs) <= known, "an output is never computed")

