"""Comparison of every tensor, from the reference runtime down to the device."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .compiler import compile_graph
from .driver.tensors import Codec
from .driver.urls import open_device
from .golden import layers
from .models import load
from .progress import progress
from .reference import open_reference


__all__ = ["Difference", "Verification", "verify"]


@dataclass(frozen=True)
class Difference:
    """The first element that differs.

    ``stage`` is what computed ``actual``; ``expected`` is the reference's. ``layer`` is the node
    that the tensor is the output of; ``channel`` is the last number of ``element``. ``fused`` says
    whether the program is the one in which operators are joined, or the second one.
    """

    input:    int
    stage:    str
    fused:    bool
    layer:    str
    tensor:   str
    element:  tuple
    channel:  int
    expected: object
    actual:   object

    def __str__(self):
        return (f"input {self.input}, {self.stage}: layer {self.layer!r}, tensor {self.tensor!r}, "
                f"channel {self.channel}, element {list(self.element)}: expected {self.expected}, "
                f"got {self.actual}")


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify`.

    Parameters
    ----------
    bit_exact : bool
    tensors : int
        Tensors that were compared per input.
    elements : int
        Elements that were compared, over all inputs.
    inputs : int
    reference, device : str
    stages : tuple of str
        What was compared with the reference.
    first_difference : Difference or None
    """

    bit_exact:        bool
    tensors:          int
    elements:         int
    inputs:           int
    reference:        str
    device:           str
    stages:           tuple
    first_difference: Difference | None

    def as_dict(self):
        """As plain values, for JSON."""
        return asdict(self)

    def __str__(self):
        if self.bit_exact:
            return (f"bit-exact: {self.tensors} tensors, {self.elements} elements, "
                    f"{self.inputs} inputs ({', '.join(self.stages)} against {self.reference})")
        return f"different from {self.reference}: {self.first_difference}"


def verify(path, device, inputs):
    """Compare every tensor of a model on a device with its reference runtime.

    The reference's tensors are compared with those of the golden layers, of the golden machine
    that executes the compiled program, and of the device, which runs layer by layer, so that each
    tensor is read before its memory is used again. Tensors that fusion removes are compared on a
    second program that is compiled without it. Stops at the first difference.

    Parameters
    ----------
    path : path
        Of the model.
    device : str or Device
        As :func:`popmac.open` takes it; a device that is open already stays so.
    inputs : dict of str to ndarray
        Samples by name of the input, along the first axis.

    Returns
    -------
    Verification
    """
    graph     = load(path)
    reference = open_reference(Path(path).read_bytes(), graph)
    opened    = open_device(device) if isinstance(device, str) else device
    try:
        with open_device(f"golden:{opened.arch.name}") as golden:
            return _verify(graph, reference, golden, opened, inputs,
                           device if isinstance(device, str) else opened.arch.name)
    finally:
        if opened is not device:
            opened.close()


def _verify(graph, reference, golden, device, inputs, name):
    codes    = {name: Codec(graph.tensors[name], graph.dialect).encode(values)
                for name, values in inputs.items()}
    count    = len(next(iter(inputs.values())))
    samples  = [{name: values[index] for name, values in codes.items()} for index in range(count)]
    stages   = ("golden.layers", "golden.machine", "device")
    tensors, elements = set(), 0
    for fuse in (True, False): # tensors that fusion removes are in a second program
        program  = compile_graph(graph, device.arch, fuse=fuse)
        sessions = {"golden.machine": golden.load(program), "device": device.load(program)}
        fresh    = set()
        for index, sample in enumerate(progress(samples, "verifying")):
            expected = reference.run(sample)
            for stage in stages:
                actual = sessions[stage].trace(sample) if stage in sessions \
                    else layers.run(graph, sample)
                found, names = _first_difference(graph, expected, actual, index, stage, fuse)
                if found:
                    return Verification(False, len(tensors | fresh), elements, index + 1,
                                        reference.description, name, stages, found)
            fresh     = {name for name in names if name not in tensors}
            elements += sum(expected[name].size for name in fresh)
        tensors |= fresh
        if all(name in tensors or name not in expected
               for node in graph.nodes for name in node.outputs):
            break
    return Verification(True, len(tensors), elements, count, reference.description, name,
                        stages, None)


def _first_difference(graph, expected, actual, index, stage, fuse):
    names = []
    for node in graph.nodes:
        for name in node.outputs:
            if name not in expected or name not in actual:
                continue
            names.append(name)
            want, have = expected[name], actual[name]
            differs = (want != have) & ~(_is_nan(want) & _is_nan(have))
            if np.any(differs):
                element = tuple(int(i) for i in np.argwhere(differs)[0])
                return Difference(
                    input=index, stage=stage, fused=fuse, layer=node.name, tensor=name,
                    element=element, channel=element[-1] if element else 0,
                    expected=want[element].item(), actual=have[element].item()), names
    return None, names


def _is_nan(values):
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
