"""Files of compiled programs."""

import hashlib
import json
import struct
from dataclasses import asdict, fields

import numpy as np

from . import isa
from .arch import ArchConfig
from .errors import ModelFormatError
from .graph import DTYPES, Graph, Node, Tensor
from .layout import Layout
from .program import (
    DeviceSegment,
    Fallback,
    HostSegment,
    Layer,
    Page,
    Program,
    SumSegment,
)
from .program_check import check_program
from .thresholds import Thresholds


__all__ = ["read_program", "write_program"]


MAGIC       = b"POPMAC\r\n"
VERSION     = 6
_HEADER     = struct.Struct("<8sII")
_MAX_HEADER = 64 << 20


def write_program(program):
    """Program as the contents of a file: a header in JSON, arrays, and a checksum."""
    blobs = []

    def blob(array):
        blobs.append(np.ascontiguousarray(array))
        return {"dtype": array.dtype.name, "shape": list(array.shape)}

    graph  = program.graph
    header = {
        "isa":       isa.ISA_VERSION,
        "arch":      asdict(program.arch),
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
        "segments":  [asdict(segment) for segment in program.segments],
        "layers":    [asdict(layer) for layer in program.layers],
        "layouts":   {name: asdict(layout) for name, layout in program.layouts.items()},
        "fallbacks": [asdict(fallback) for fallback in program.fallbacks],
        "macs":      [program.macs, program.macs_on_device],
        "pages":     [asdict(page) for page in program.pages],
        "weights":   blob(program.weights),
        "tables":    blob(program.tables),
        "rows":      blob(program.rows),
        "thresholds": {name: {
            "values": blob(t.values), "low": blob(t.low), "high": blob(t.high), "step": t.step,
            "block": t.block, "scale": t.scale,
        } for name, t in program.thresholds.items()},
    }
    text = json.dumps(header, separators=(",", ":"), default=_plain).encode()
    data = b"".join([_HEADER.pack(MAGIC, VERSION, len(text)), text,
                     *(array.tobytes() for array in blobs)])
    return data + hashlib.sha256(data).digest()


def read_program(data, name):
    """Program from the contents of a file.

    Raises
    ------
    ModelFormatError
        If it is damaged, or no program, or of another version of popmac.
    """
    header, blobs = _open(data, name)
    try:
        program = _from_header(header, blobs)
        if header["isa"] != isa.ISA_VERSION:
            raise ValueError(f"it is for instruction set {header['isa']}, not {isa.ISA_VERSION}")
        check_program(program)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFormatError(f"{name}: contradicts itself ({error})") from None
    return program


def _from_header(header, blobs):
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
    return Program(arch=arch, graph=graph, segments=segments, layers=layers, layouts=layouts,
                   fallbacks=tuple(_record(Fallback, f) for f in header["fallbacks"]),
                   macs=macs, macs_on_device=macs_on_device,
                   pages=tuple(_record(Page, page) for page in header["pages"]),
                   weights=array(header["weights"]), tables=array(header["tables"]),
                   rows=array(header["rows"]),
                   thresholds={_text(name): Thresholds(
                       **{key: array(t[key]) for key in ("values", "low", "high")},
                       **{key: _count(t[key]) for key in ("step", "block", "scale")})
                       for name, t in header["thresholds"].items()})


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
