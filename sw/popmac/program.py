"""Compiled programs, and the files that they are kept in."""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from . import isa
from .arch import ACCUMULATOR_BITS, TABLE_BYTES, TABLES, ArchConfig
from .errors import InputError, ModelFormatError
from .graph import DTYPES, Graph, Node, Tensor
from .layout import Layout
from .thresholds import Thresholds


__all__ = ["Program", "Layer", "Page", "DeviceSegment", "SumSegment", "HostSegment",
           "Fallback"]


MAGIC       = b"POPMAC\r\n"
VERSION     = 6
_HEADER     = struct.Struct("<8sII")
_MAX_HEADER = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the program, for reports.

    ``node`` and ``op`` are those of the graph; ``tensors`` are those that the layer writes, the
    same elements in several shapes; ``weight_words`` are those that no layer before it uses.
    """

    node:         str
    op:           str
    tensors:      tuple
    macs:         int
    weight_words: int
    cycles:       int # predicted


@dataclass(frozen=True, kw_only=True)
class Page:
    """Layers ``first`` to ``last``, whose weights and tables are on the device at the same time.

    They are ``words`` words from ``first_word`` on, and ``tables`` tables from ``first_table`` on,
    of those of the program; and ``rows`` rows of parameters from ``first_row`` on, which are 0
    where the parameters of all pages are on the device at the same time.
    """

    first:       int
    last:        int
    first_word:  int
    words:       int
    first_table: int
    tables:      int
    first_row:   int
    rows:        int


@dataclass(frozen=True, kw_only=True)
class DeviceSegment:
    """Layers ``first`` to ``last`` of the device, and the tensors that go in and come out.

    ``reshaped`` are the names of inputs in other shapes, each with the input's name.
    """

    first:    int
    last:     int
    inputs:   tuple
    outputs:  tuple
    reshaped: dict


@dataclass(frozen=True, kw_only=True)
class SumSegment(DeviceSegment):
    """Layers that read a vector of the last axis of an input, and whose output are whole sums.

    Sums are between ``-2**(bits - 1)`` and ``2**(bits - 1) - 1``. The driver runs the layers
    several times per vector, each time with parameters for eight further bits of the sums.
    """

    bits: int

    @property
    def shifts(self):
        """By how many bits sums are shifted in each run, the highest bits first."""
        return [max(self.bits - 8 * n, 0) for n in range(1, -(-self.bits // 8) + 1)]


@dataclass(frozen=True, kw_only=True)
class HostSegment:
    """Nodes that the host computes, by name."""

    nodes: tuple


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """A node that the host computes, why, and how the device could."""

    node:   str
    op:     str
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A network for one configuration of the accelerator.

    Parameters
    ----------
    arch : ArchConfig
    graph : Graph
        Tensors, inputs and outputs of the model; of its nodes those that the host computes.
    segments : tuple of DeviceSegment and HostSegment
        In the order in which they run.
    layers : tuple of Layer
    layouts : dict of str to Layout
        Tensors on the device. Several may have the same place, one after the other.
    fallbacks : tuple of Fallback
    macs, macs_on_device : int
        Multiply-accumulates of the model, and of these the device's.
    pages : tuple of Page
        Parts of the program, in order, if its weights do not fit on the device at the same time.
        Usually there is one.
    weights : ndarray of int8 (words, rows, columns)
        Those of a page are written to word 0 and on.
    tables : ndarray of int8 (tables, TABLE_BYTES)
        Those of a page are written to table 0 and on.
    rows : ndarray of uint8 (rows, isa.ROW_BYTES)
        Program memory from row 0 on; behind the layers, the parameters of one page take the place
        of those of the one before, unless the pages' ``rows`` are 0.
    thresholds : dict of str to Thresholds
        Those that may be replaced, by name of the node.
    """

    arch:           ArchConfig
    graph:          Graph
    segments:       tuple
    layers:         tuple
    layouts:        dict
    fallbacks:      tuple
    macs:           int
    macs_on_device: int
    pages:          tuple
    weights:        np.ndarray = field(repr=False)
    tables:         np.ndarray = field(repr=False)
    rows:           np.ndarray = field(repr=False)
    thresholds:     dict = field(repr=False, default_factory=dict)

    def descriptor(self, index):
        """Descriptor of a layer: an :class:`popmac.isa.Layer`."""
        first = index * isa.LAYER_ROWS
        return isa.Layer.decode(int.from_bytes(
            self.rows[first:first + isa.COUNTER_ROW].tobytes(), "little"))

    def threshold_rows(self, name):
        """Indices of the rows with the parameters of the channels of a node, in order."""
        return np.concatenate([self.parameter_rows(index) for index, layer
                               in enumerate(self.layers) if layer.node == name])

    def page_of(self, index):
        """Page with a layer."""
        return next(page for page in self.pages if page.first <= index <= page.last)

    def parameter_rows(self, index):
        """Indices of the rows with the parameters of the channels of a layer, in order."""
        page  = self.page_of(index)
        moved = page.first_row - len(self.layers) * isa.LAYER_ROWS if page.rows else 0
        layer = self.descriptor(index)
        count = (layer.output_block.last + 1) * self.arch.columns // 2
        return np.arange(count) + layer.parameters + moved

    def with_thresholds(self, name, values):
        """The same program with other thresholds in a layer of bits.

        Parameters
        ----------
        name : str
            A key of ``thresholds``.
        values : array_like of int (channels,)
            In the units of the model's sums; see :class:`popmac.thresholds.Thresholds`.

        Raises
        ------
        InputError
            If there are no such thresholds, or as many.
        """
        if name not in self.thresholds:
            raise InputError(f"{name!r} has no thresholds that can be replaced; "
                             f"{', '.join(self.thresholds) or 'no layer'} has")
        old    = self.thresholds[name]
        values = old.checked(values, name)
        rows   = self.rows.copy()
        where  = self.threshold_rows(name)
        rows[where] = old.replaced(rows[where], values, self.arch.columns)
        return replace(self, rows=rows,
                       thresholds=self.thresholds | {name: replace(old, values=values)})

    def page_bytes(self, page):
        """Weights, tables and parameters of a page, as they are written to the device."""
        return tuple(array[first:first + count].tobytes() for array, first, count in [
            (self.weights, page.first_word, page.words),
            (self.tables, page.first_table, page.tables),
            (self.rows, page.first_row, page.rows)])

    @property
    def loaded_rows(self):
        """Rows that are written when it is loaded, and stay: all, or those of the layers."""
        paged = any(page.rows for page in self.pages)
        return len(self.layers) * isa.LAYER_ROWS if paged else len(self.rows)

    @property
    def resident_rows(self):
        """Rows that it takes on the device."""
        return self.loaded_rows + max((page.rows for page in self.pages), default=0)

    @property
    def resident_words(self):
        """Weight words that it takes on the device."""
        return max((page.words for page in self.pages), default=0)

    @property
    def resident_tables(self):
        """Tables that it takes on the device."""
        return max((page.tables for page in self.pages), default=0)

    @property
    def bytes_per_run(self):
        """Bytes of weights, tables and parameters that each run writes; 0 if all stay there."""
        return sum(len(part) for page in self.pages for part in self.page_bytes(page)) \
            if len(self.pages) > 1 else 0

    @property
    def fingerprint(self):
        """Fingerprint of the configuration that it was compiled for."""
        return self.arch.fingerprint(isa.ISA_VERSION)

    def report(self):
        """What runs where and what it takes, as text."""
        from .report import program_report
        return program_report(self)

    def to_bytes(self):
        """Program as the contents of a file."""
        blobs = []

        def blob(array):
            blobs.append(np.ascontiguousarray(array))
            return {"dtype": array.dtype.name, "shape": list(array.shape)}

        graph  = self.graph
        header = {
            "isa":       isa.ISA_VERSION,
            "arch":      asdict(self.arch),
            "name":      graph.name,
            "dialect":   graph.dialect,
            "inputs":    list(graph.inputs),
            "outputs":   list(graph.outputs),
            "tensors":   [{
                "name": t.name, "shape": list(t.shape), "dtype": t.dtype, "axis": t.axis,
                "scale": None if t.scale is None else blob(t.scale),
                "zero_point": None if t.zero_point is None else blob(t.zero_point),
                "data": None if t.data is None else blob(t.data),
            } for t in graph.tensors.values()],
            "nodes":     [asdict(node) for node in graph.nodes],
            "segments":  [asdict(segment) for segment in self.segments],
            "layers":    [asdict(layer) for layer in self.layers],
            "layouts":   {name: asdict(layout) for name, layout in self.layouts.items()},
            "fallbacks": [asdict(fallback) for fallback in self.fallbacks],
            "macs":      [self.macs, self.macs_on_device],
            "pages":     [asdict(page) for page in self.pages],
            "weights":   blob(self.weights),
            "tables":    blob(self.tables),
            "rows":      blob(self.rows),
            "thresholds": {name: {
                "values": blob(t.values), "low": blob(t.low), "high": blob(t.high), "step": t.step,
                "block": t.block, "scale": t.scale,
            } for name, t in self.thresholds.items()},
        }
        text = json.dumps(header, separators=(",", ":"), default=_plain).encode()
        data = b"".join([_HEADER.pack(MAGIC, VERSION, len(text)), text,
                         *(array.tobytes() for array in blobs)])
        return data + hashlib.sha256(data).digest()

    @classmethod
    def from_bytes(cls, data, name="program"):
        """Program from the contents of a file.

        Raises
        ------
        ModelFormatError
            If it is damaged, or no program, or of another version of popmac.
        """
        header, blobs = _open(data, name)
        try:
            return cls._from_header(header, blobs)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ModelFormatError(f"{name}: contradicts itself ({error})") from None

    @classmethod
    def _from_header(cls, header, blobs):
        def array(description):
            if description is None:
                return None
            dtype = {**DTYPES, "float64": np.dtype("float64")}[description["dtype"]]
            shape = tuple(_count(n) for n in description["shape"])
            return blobs.take(dtype, shape)

        tensors = {}
        for t in header["tensors"]:
            scale, zero_point, values = (array(t[key]) for key in ("scale", "zero_point", "data"))
            tensors[t["name"]] = Tensor(
                name=_text(t["name"]), shape=tuple(map(_count, t["shape"])),
                dtype=_text(t["dtype"]), axis=t["axis"], scale=scale, zero_point=zero_point,
                data=values)
        nodes = tuple(Node(op=_text(n["op"]), name=_text(n["name"]), inputs=_texts(n["inputs"]),
                           outputs=_texts(n["outputs"]), attrs=_frozen(n["attrs"]))
                      for n in header["nodes"])
        graph = Graph(name=_text(header["name"]), dialect=_text(header["dialect"]), nodes=nodes,
                      tensors=tensors, inputs=_texts(header["inputs"]),
                      outputs=_texts(header["outputs"]))
        arch     = ArchConfig(**header["arch"])
        segments = tuple(
            HostSegment(nodes=_texts(s["nodes"])) if "nodes" in s else
            (SumSegment if "bits" in s else DeviceSegment)(
                first=_count(s["first"]), last=_count(s["last"]),
                inputs=_texts(s["inputs"]), outputs=_texts(s["outputs"]),
                reshaped={_text(a): _text(b) for a, b in s["reshaped"].items()},
                **({"bits": _count(s["bits"])} if "bits" in s else {}))
            for s in header["segments"])
        layers   = tuple(_record(Layer, layer) for layer in header["layers"])
        layouts  = {_text(name): Layout(**{
            key: _code(value) if key == "lowest" else _count(value)
            for key, value in layout.items()}) for name, layout in header["layouts"].items()}
        macs, macs_on_device = map(_count, header["macs"])
        program  = cls(arch=arch, graph=graph, segments=segments, layers=layers, layouts=layouts,
                       fallbacks=tuple(_record(Fallback, f) for f in header["fallbacks"]),
                       macs=macs, macs_on_device=macs_on_device,
                       pages=tuple(_record(Page, page) for page in header["pages"]),
                       weights=array(header["weights"]), tables=array(header["tables"]),
                       rows=array(header["rows"]),
                       thresholds={_text(name): Thresholds(
                           **{key: array(t[key]) for key in ("values", "low", "high")},
                           **{key: _count(t[key]) for key in ("step", "block", "scale")})
                           for name, t in header["thresholds"].items()})
        program._check(header["isa"])
        return program

    def _check(self, isa_version):
        """Raise :class:`ValueError` unless the program is one that the compiler could make."""
        def check(valid, what):
            if not valid:
                raise ValueError(what)

        arch, graph = self.arch, self.graph
        check(isa_version == isa.ISA_VERSION,
              f"it is for instruction set {isa_version}, not {isa.ISA_VERSION}")
        check(self.weights.dtype == np.int8 and self.weights.ndim == 3
              and self.weights.shape[1:] == (arch.rows, arch.columns), "weights do not fit")
        check(self.tables.dtype == np.int8 and self.tables.ndim == 2
              and self.tables.shape[1] == TABLE_BYTES, "tables do not fit")
        for page in self.pages:
            check(page.words <= arch.all_weight_words and page.tables <= TABLES
                  and page.first_word + page.words <= len(self.weights)
                  and page.first_table + page.tables <= len(self.tables)
                  and page.first_row + page.rows <= len(self.rows)
                  and page.first <= page.last < len(self.layers), "a page does not fit")
        check([n for page in self.pages for n in range(page.first, page.last + 1)]
              == list(range(len(self.layers))), "a layer is on no page")
        check(self.rows.dtype == np.uint8 and self.rows.ndim == 2
              and self.rows.shape[1] == isa.ROW_BYTES and self.resident_rows <= arch.program_rows
              and len(self.rows) >= len(self.layers) * isa.LAYER_ROWS, "rows do not fit")
        check(all(tensor.dtype in DTYPES for tensor in graph.tensors.values()),
              "a tensor has an unknown type")
        vectors = {name for segment in self.segments if isinstance(segment, SumSegment)
                   for name in (*segment.inputs, *segment.outputs)}
        for name, layout in self.layouts.items():
            check(name in graph.tensors, f"there is no tensor {name!r}")
            check(layout.word_bytes == arch.word_bytes and 0 < layout.group <= arch.word_bytes
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
        names = {node.name for node in graph.nodes}
        for segment in self.segments:
            if isinstance(segment, HostSegment):
                check(set(segment.nodes) <= names, "a node is missing")
                check(set(segment.nodes) <= {fallback.node for fallback in self.fallbacks},
                      "a node runs on the host for no reason")
            else:
                check(segment.first <= segment.last < len(self.layers), "a layer is missing")
                check({*segment.inputs, *segment.outputs} <= set(self.layouts),
                      "a tensor has no layout")
                check(not isinstance(segment, SumSegment) or (
                    len(segment.inputs) == len(segment.outputs) == 1
                    and 0 < segment.bits <= ACCUMULATOR_BITS
                    and graph.tensors[segment.inputs[0]].dtype == "int8"
                    and graph.tensors[segment.outputs[0]].dtype == "int32"
                    and graph.tensors[segment.inputs[0]].shape[:-1]
                    == graph.tensors[segment.outputs[0]].shape[:-1]), "sums do not fit")
                check(set(segment.reshaped) <= set(graph.tensors)
                      and set(segment.reshaped.values()) <= set(segment.inputs),
                      "a tensor is missing")
        for layer in self.layers:
            check(layer.tensors and set(layer.tensors) <= set(self.layouts),
                  "a tensor has no layout")
            check(min(layer.macs, layer.weight_words) >= 0 and layer.cycles > 0,
                  "a layer takes no time")
        for name, t in self.thresholds.items():
            check(0 < t.step < 256 and t.scale in (1, 2) and 0 < t.block <= arch.columns and all(
                a.dtype == np.int32 and a.shape == t.values.shape and a.ndim == 1
                for a in (t.values, t.low, t.high)), f"thresholds of {name!r} do not fit")
            check(any(layer.node == name for layer in self.layers), f"there is no layer {name!r}")
            where = self.threshold_rows(name)
            check(where.max() < len(self.rows)
                  and 2 * len(where) // arch.columns * t.block >= len(t.values),
                  f"thresholds of {name!r} have no rows")
        for node in graph.nodes:
            check(all(n in graph.tensors for n in (*node.inputs, *node.outputs) if n),
                  "a tensor is missing")
        check(graph.inputs and graph.outputs, "it has no inputs or no outputs")
        check({*graph.inputs, *graph.outputs} <= set(graph.tensors), "a tensor is missing")
        self._check_order(check)

    def _check_order(self, check):
        """Check that nothing is read before it is computed."""
        known = {*self.graph.inputs, "",
                 *(name for name, tensor in self.graph.tensors.items() if tensor.is_constant)}
        nodes = {node.name: node for node in self.graph.nodes}
        for segment in self.segments:
            if isinstance(segment, DeviceSegment):
                check(set(segment.inputs) <= known, "a tensor is read before it is computed")
                known.update(segment.outputs)
                continue
            for node in (nodes[name] for name in segment.nodes):
                check(set(node.inputs) <= known, "a tensor is read before it is computed")
                known.update(node.outputs)
        check(set(self.graph.outputs) <= known, "an output is never computed")

    def save(self, path):
        """Write the program to a file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path):
        """Program from a file; see :meth:`from_bytes`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ModelFormatError(f"{path}: {error.strerror}") from None
        return cls.from_bytes(data, str(path))


class _Blobs:
    """Arrays, one behind the other."""

    def __init__(self, data):
        self._data   = data
        self._offset = 0

    def take(self, dtype, shape):
        count = 1
        for n in shape:
            count *= n
        size = count * dtype.itemsize
        if size > len(self._data) - self._offset:
            raise ValueError("an array is larger than the file")
        values = np.frombuffer(self._data, dtype, count, self._offset).reshape(shape)
        self._offset += size
        return values


def _open(data, name):
    """Header and arrays of a file."""
    if len(data) < _HEADER.size + 32 or not data.startswith(MAGIC):
        raise ModelFormatError(f"{name}: is not a popmac program, or is truncated")
    _, version, length = _HEADER.unpack_from(data)
    if version != VERSION:
        raise ModelFormatError(f"{name}: file version {version}, but this popmac reads {VERSION}; "
                               "compile the model again")
    body, digest = data[:-32], data[-32:]
    if hashlib.sha256(body).digest() != digest:
        raise ModelFormatError(f"{name}: is damaged (its checksum is wrong); "
                               "compile the model again")
    if length > min(_MAX_HEADER, len(body) - _HEADER.size):
        raise ModelFormatError(f"{name}: contradicts itself (header of {length} bytes)")
    try:
        header = json.loads(body[_HEADER.size:_HEADER.size + length])
    except (ValueError, RecursionError):
        raise ModelFormatError(f"{name}: contradicts itself (header)") from None
    if not isinstance(header, dict):
        raise ModelFormatError(f"{name}: contradicts itself (header)")
    return header, _Blobs(body[_HEADER.size + length:])


def _plain(value):
    """numpy numbers, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be saved")


def _count(value):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**48:
        raise ValueError(f"{value!r} is not a count")
    return value


def _code(value):
    if not isinstance(value, int) or isinstance(value, bool) or not -128 <= value < 128:
        raise ValueError(f"{value!r} is not a code")
    return value


def _text(value):
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a name")
    return value


def _texts(values):
    if not isinstance(values, list):
        raise ValueError(f"{values!r} is not a list of names")
    return tuple(_text(value) for value in values)


def _record(cls, values):
    """Dataclass of counts, names, and tuples of names."""
    readers = {int: _count, str: _text, tuple: _texts}
    types   = {f.name: f.type for f in fields(cls)}
    if not isinstance(values, dict) or set(values) != set(types):
        raise ValueError(f"not a {cls.__name__}")
    return cls(**{name: readers[types[name]](value) for name, value in values.items()})


def _frozen(value):
    """Lists of JSON as the tuples that they were."""
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    if isinstance(value, dict):
        return {key: _frozen(v) for key, v in value.items()}
    return value
