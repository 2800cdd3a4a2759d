"""Waveforms of the simulated board around the moment in which an element is written."""

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from popmac.compiler import compile_graph
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.errors import PopmacError
from popmac.golden.loops import steps
from popmac.golden.machine import Machine


__all__ = ["Waveform", "record"]


# What is recorded in front of the moment and behind it, in cycles: a pixel takes its time from its
# first step to its results, and the moment is known from the layer's cycles to one part of twenty.
_BEFORE, _BEHIND, _PART = 128, 32, 20

#: Cycles in front and behind, at most: a cycle of `ulx3s-85f` takes about 50 kB.
_MOST = 512


@dataclass(frozen=True)
class Waveform:
    """A file with the signals of some cycles of a layer.

    Parameters
    ----------
    path : Path
        Value change dump. Cycle ``n`` of the layer begins at ``n`` times the period.
    layer : str
        Name of the node.
    cycles : int
        Of the layer, as the device counted them.
    first, last : int
        Those in the file, from the run command on.
    about : int
        That in which the element is written, as far as it can be told.
    period : float
        Of the clock, in seconds.
    """

    path:   Path
    layer:  str
    cycles: int
    first:  int
    last:   int
    about:  int
    period: float

    def as_dict(self):
        """As plain values, for JSON."""
        return asdict(self) | {"path": str(self.path)}

    def __str__(self):
        return (f"{self.path}: cycles {self.first} to {self.last} of {self.cycles} of layer "
                f"{self.layer!r}; the element is written about cycle {self.about}, at "
                f"{self.about * self.period * 1e9:.0f} ns")


def record(path, graph, inputs, difference, open_board):
    """Show an element again that differs, on a new board, and record how it is written.

    Parameters
    ----------
    path : path-like
        Of the waveform.
    graph : Graph
        The model ..
    inputs : dict of str to ndarray
        .. and its inputs, as :func:`popmac.verify.verify` got them.
    difference : Difference
        What it found on the device.
    open_board : callable
        Returns a :class:`.board.SimulatedBoard` that can record.

    Returns
    -------
    Waveform

    Raises
    ------
    PopmacError
        If the difference does not show again, or the file cannot be written.
    """
    path    = Path(path)
    board   = open_board()
    samples = [{name: values[index] for name, values in inputs.items()}
               for index in range(difference.input + 1)]
    with Device(Link(board)) as device:
        # As in verify(): programs are where they were then.
        sessions = [device.load(compile_graph(graph, board.arch, fuse=fuse))
                    for fuse in ((True,) if difference.fused else (True, False))]
        session  = sessions[-1]
        _show_again(session, difference, samples)
        index, position = _find(session.program, difference)
        counted = session.layer_counters()[index]
        # The last pixel is written in the last cycle, and those before it at equal distances.
        about   = counted.cycles - round((1 - position) * (counted.cycles - counted.layer_change))
        margin  = counted.cycles // _PART
        first   = max(0, about - min(margin + _BEFORE, _MOST))
        last    = min(counted.cycles + _BEHIND, about + min(margin + _BEHIND, _MOST))
        try:
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                flat = Path(folder) / "flat.vcd"

                def before(layer):
                    if layer == index:
                        board.record(flat, first, last)

                session.trace(samples[-1], before=before)
                board.end_recording()
                nested = Path(folder) / "nested.vcd"
                _nest(flat, nested)
                os.replace(nested, path)
        except OSError as error:
            raise PopmacError(f"{path}: {error.strerror}") from None
    return Waveform(path=path, layer=difference.layer, cycles=counted.cycles, first=first,
                    last=last, about=about, period=1 / board.arch.clock_hz)


def _show_again(session, difference, samples):
    """Run the sample, and if that is not enough, all samples."""
    for several in (samples[-1:], samples):
        for sample in several:
            values = session.trace(sample)
        if values[difference.tensor][difference.element] != difference.expected:
            return
    raise PopmacError("the difference does not show on a new board, so there is no waveform of it")


def _find(program, difference):
    """Layer of the program that writes the element, and which part of its pixels is done then."""
    machine = Machine(program.arch)
    indices = [index for index, layer in enumerate(program.layers)
               if difference.tensor in layer.tensors]
    layout  = program.layouts[program.layers[indices[0]].tensors[0]]
    shape   = program.graph.tensors[difference.tensor].shape
    y, x, channel = np.unravel_index(np.ravel_multi_index(difference.element, shape),
                                     (layout.height, layout.width, layout.channels))
    octet   = layout.base * layout.word_bytes \
        + layout.addresses()[y, x, channel // max(layout.bits, 1)]
    for index in reversed(indices):
        layer   = program.descriptor(index)
        written = machine.targets(layer, steps(layer).output.reshape(-1))
        pixels  = np.flatnonzero((written == octet).any(axis=(1, 2)))
        if len(pixels):
            return index, (int(pixels[-1]) + 1) / len(written)
    raise AssertionError(f"no layer writes {difference.element} of {difference.tensor!r}")


def _nest(flat, nested):
    """Copy a dump, and make scopes of names with dots, which are those of the flattened design."""
    with flat.open() as source, nested.open("w") as target:
        scopes, depth = {}, 0
        for line in source:
            words = line.split()
            match words[:1]:
                case ["$scope"]:
                    depth += 1
                case ["$upscope"]:
                    depth -= 1
                case ["$var"] if depth > 1: # those of the outermost scope are there again
                    name, *bits = words[4:-1]
                    *path, name = name.split(".")
                    scope = scopes
                    for part in ("board", *path):
                        scope = scope.setdefault((part,), {})
                    scope[name] = " ".join([*words[:4], name, *bits, "$end"])
                case ["$var"]:
                    pass
                case ["$enddefinitions"]:
                    target.writelines(f"{text}\n" for text in _header(scopes))
                    target.write(line)
                    break
                case _:
                    target.write(line)
        for line in source:
            target.write(line)


def _header(scope):
    """Lines that declare scopes (keys are tuples) and variables."""
    for key, value in scope.items():
        if isinstance(key, tuple):
            yield f"$scope module {key[0]} $end"
            yield from _header(value)
            yield "$upscope $end"
        else:
            yield value
