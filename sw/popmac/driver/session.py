"""Programs on a device."""

import itertools
from collections import deque
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..errors import DeviceError, InputError, LinkTimeoutError, ModelFormatError
from ..golden.layers import compute
from ..program import DeviceSegment, Program, SumSegment
from ..progress import progress_bar
from .counters import counters_of, layer_table, total
from .loaded_program import LoadedProgram
from .sums import Sums
from .tensors import Codec


__all__ = ["Session", "Inference"]


_numbers = itertools.count()

#: Samples that are packed and posted at once. While the results of some are unpacked and the host
#: computes its part, the device has those of the next.
_BATCH = 8

#: Samples after which other threads get their turn.
_TURN = 8 * _BATCH


@dataclass
class _Batch:
    """Samples on their way through a program, all of them at the same place of it.

    Parameters
    ----------
    values : dict of str to ndarray (samples, ...)
        By name of the tensor.

    Attributes
    ----------
    cycles, bytes_sent, bytes_received : int
        Of the last sample: cycles of its runs, and what the link carried for it.
    """
    values:         dict
    cycles:         int = 0
    bytes_sent:     int = 0
    bytes_received: int = 0

    def __len__(self):
        return len(next(iter(self.values.values())))


@dataclass
class _Posted:
    """What was posted for a sample: all of it, and the part that has results."""
    pending: list
    waits:   list
    reads:   dict


class Inference:
    """A run that was submitted; made by :meth:`Session.submit`."""

    def __init__(self, future):
        self._future = future

    def done(self):
        """Whether there is a result, or an error."""
        return self._future.done()

    def cancel(self):
        """Take it back if it has not begun; return whether that was so."""
        return self._future.cancel()

    def result(self, timeout=None):
        """Wait for the result, and return it.

        Parameters
        ----------
        timeout : float, optional
            Seconds. Without it, the link's own limits are what bounds the wait.

        Raises
        ------
        LinkTimeoutError
            If it has not come within ``timeout``. It goes on, and may be asked again.
        DeviceError
            If it was cancelled, or the device was closed before it began.
        PopmacError
            As :meth:`Session.run` does.
        """
        try:
            return self._future.result(timeout)
        except TimeoutError:
            raise LinkTimeoutError(f"no result within {timeout} s") from None
        except CancelledError:
            raise DeviceError("the inference was cancelled") from None


class Session:
    """A program that is loaded on a device; made by :meth:`Device.load`.

    May be used by several threads, of which each gets its own results. ``counters`` are those of
    the last run, whoever ran it.

    Attributes
    ----------
    inputs, outputs : list of TensorInfo
    place : Place
        Where the program is in the device's memories.
    number : int
        Of sessions, in order.
    loaded : bool
        Whether the program is on the device still.
    expendable : bool
        It makes room for others before those that are not.
    """

    def __init__(self, device, program: Program, place):
        self.place    = place
        self.number   = next(_numbers)
        self.loaded   = True
        self.expendable = False
        self._counters = None
        self._last_run = None
        self._device  = device
        self._resident = LoadedProgram(program, place, device.link)
        self._sums    = {} # by index of the first layer
        self._codecs  = {name: Codec(program.graph.tensors[name], program.graph.dialect)
                         for name in (*program.graph.inputs, *program.graph.outputs)}
        self._nodes   = {node.name: node for node in program.graph.nodes}
        self.inputs   = [self._codecs[name].info for name in program.graph.inputs]
        self.outputs  = [self._codecs[name].info for name in program.graph.outputs]

    @property
    def program(self):
        """The program, with the thresholds that hold now."""
        return self._resident.program

    @property
    def thresholds(self):
        """Thresholds that may be replaced: arrays of int32 (channels,), by name of the node."""
        return {name: t.values.copy() for name, t in self.program.thresholds.items()}

    def set_thresholds(self, name, values):
        """Replace the thresholds of a layer of bits, from the next run on; nothing is recompiled.

        Parameters
        ----------
        name : str
            A key of :attr:`thresholds`.
        values : array_like of int (channels,)
            A result is the upper level if its sum, in the model's units, is at least its channel's
            threshold.

        Raises
        ------
        InputError
            If there are no such thresholds, or as many.
        """
        with self._device.exclusive():
            self._check_loaded()
            program = self.program.with_thresholds(name, values)
            self._resident.replace(program, program.threshold_rows(name))

    @property
    def counters(self):
        """What was counted in the last run, as a mapping.

        ``cycles`` (from the acceptance of the run command, with the input in device memory, to
        the last output written), ``stalls`` (cause to cycles), ``link_bytes_in`` and
        ``link_bytes_out`` (to and from the device), and ``layers`` (list of mappings with
        ``name``, ``op``, ``where``, ``cycles``, ``macs``, ``stalls``). Cycles are the device's.

        Raises
        ------
        DeviceError
            If there was no run yet, or another program was loaded since.
        """
        with self._device.exclusive():
            if self._counters is None:
                if self._last_run is None or not self.loaded:
                    raise DeviceError("there is nothing to count: run the program first")
                self._counters = MappingProxyType(total(
                    layer_table(self.program, self.layer_counters()), *self._last_run))
            return self._counters

    def layer_counters(self):
        """What the device counted when it ran each of its layers last, by index of the layer.

        Returns
        -------
        list of LayerCounters
        """
        with self._exclusive():
            pending = [self._resident.post_counters(index)
                       for index in range(len(self.program.layers))]
            counted = [counters_of(read) for read in pending]
        for sums in self._sums.values(): # which ran several times
            counted[sums.segment.first:sums.segment.last + 1] = sums.counted
        return counted

    def run(self, x):
        """Run the program on one sample.

        Parameters
        ----------
        x : array_like, or mapping of str to array_like
            Of a model with several inputs: by name. Integers are the model's own codes; float32
            are real values.

        Returns
        -------
        ndarray, or dict of str to ndarray
            Codes, or float32 if ``x`` is.

        Raises
        ------
        InputError
            If a name, shape or type is wrong.
        """
        values, real = self._encode(self._arrays(x, lambda array: np.asarray(array)[None]))
        with self._exclusive():
            (values,) = self._stream([values])
        results = {name: array[0] for name, array in self._decode(values, real).items()}
        return results if len(results) > 1 else next(iter(results.values()))

    def submit(self, x):
        """Run the program on one sample, when those submitted before it are done.

        Parameters
        ----------
        x : array_like, or mapping of str to array_like
            As for :meth:`run`. Must not be changed before there is a result.

        Returns
        -------
        Inference
        """
        return Inference(self._device.submit(self.run, x))

    def run_many(self, xs):
        """Run the program on many samples, with a progress bar on a terminal.

        While the device computes one sample, the next is on its way already, as far as there is
        room for it: :attr:`counters` have the bytes of one sample, wherever they came in between.
        Other threads get their turn after some samples.

        Parameters
        ----------
        xs : array_like, or mapping of str to array_like
            As for :meth:`run`, with one more axis in front.

        Returns
        -------
        ndarray, or dict of str to ndarray
            Likewise.
        """
        arrays = self._arrays(xs, np.asarray)
        counts = {len(array) if array.ndim else 0 for array in arrays.values()}
        if len(counts) != 1:
            raise InputError("all inputs must have the same number of samples")
        if not (count := counts.pop()):
            raise InputError("there are no samples to run")
        values, real = self._encode(arrays)
        batches = [{name: array[first:first + _BATCH] for name, array in values.items()}
                   for first in range(0, count, _BATCH)]
        done    = []
        with progress_bar(len(batches), "running") as advance:
            for first in range(0, len(batches), _TURN // _BATCH):
                with self._exclusive():
                    for values in self._stream(batches[first:first + _TURN // _BATCH]):
                        done.append(self._decode(values, real))
                        advance(1)
        results = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
        return results if len(results) > 1 else next(iter(results.values()))

    def trace(self, x, *, before=None):
        """Run the program on one sample, layer by layer, and return every tensor.

        Each tensor is read back before its memory is used again.

        Parameters
        ----------
        x : array_like, or mapping of str to array_like
            As for :meth:`run`.
        before : callable, optional
            Is called with the index of each layer of the device before that is run.

        Returns
        -------
        dict of str to ndarray
            Codes, in the model's shapes; inputs included.
        """
        values, _ = self._encode(self._arrays(x, lambda array: np.asarray(array)[None]))
        values = {name: array[0] for name, array in values.items()}
        with self._exclusive():
            for segment in self.program.segments:
                if isinstance(segment, SumSegment):
                    x = {name: values[name][None] for name in segment.inputs}
                    for batch in self._on_sums(segment, [_Batch(x)]):
                        values.update({name: array[0] for name, array in batch.values.items()})
                elif isinstance(segment, DeviceSegment):
                    self._trace_layers(segment, values, before)
                else:
                    self._compute(segment, values)
        return values

    def _trace_layers(self, segment, values, before):
        for name in segment.inputs:
            octets, = self._resident.pack(name, values[name][None])
            self._resident.post_write(name, octets).result()
        for name, source in segment.reshaped.items():
            values[name] = values[source].reshape(self._shape(name))
        for index in range(segment.first, segment.last + 1):
            first, *others = self.program.layers[index].tensors
            if before is not None:
                before(index)
            pending, _ = self._resident.post_layers(index, index)
            for posted in pending:
                posted.result()
            octets = self._resident.post_read(first).result()
            values[first] = self._resident.unpack(first, [octets])[0]
            for name in others:
                values[name] = values[first].reshape(self._shape(name))

    def _check_loaded(self):
        if not self.loaded:
            raise DeviceError("the program is not on the device any more, because another one was "
                              "loaded or the link failed; load it again")

    def _shape(self, name):
        return self.program.graph.tensors[name].shape

    def _arrays(self, x, convert):
        """What was given, by name of the input."""
        names = self.program.graph.inputs
        if not isinstance(x, dict):
            if len(names) != 1:
                raise InputError(f"the inputs are {', '.join(names)}: give a dict by name")
            x = {names[0]: x}
        if set(x) != set(names):
            raise InputError(f"the inputs are {', '.join(names)}, not {', '.join(x)}")
        return {name: convert(x[name]) for name in names}

    def _encode(self, arrays):
        """Values of the inputs by name, and whether they were real."""
        values = {name: self._codecs[name].encode(array) for name, array in arrays.items()}
        return values, all(array.dtype == np.float32 for array in arrays.values())

    def _decode(self, values, real):
        return {name: self._codecs[name].decode(values[name], real=real)
                for name in self.program.graph.outputs}

    @contextmanager
    def _exclusive(self):
        """Have the device to oneself, with the program on it."""
        with self._device.exclusive():
            self._check_loaded()
            try:
                yield
            except BaseException:
                self._resident.forget_page() # who knows whether it is there
                raise

    def _stream(self, batches):
        """Run the program on batches of samples, which are dicts of arrays by name.

        Yields
        ------
        dict of str to ndarray (samples, ...)
            For each batch, with the outputs among others.
        """
        self._counters = self._last_run = None
        stream = map(_Batch, map(dict, batches))
        for segment in self.program.segments:
            step   = self._on_sums if isinstance(segment, SumSegment) else \
                self._on_device if isinstance(segment, DeviceSegment) else self._on_host
            stream = step(segment, stream)
        for batch in stream:
            self._last_run = (batch.cycles, batch.bytes_sent, batch.bytes_received)
            yield batch.values

    def _on_host(self, segment, batches):
        """Compute a segment for each batch."""
        for batch in batches:
            rows = [{name: array[i] for name, array in batch.values.items()}
                    for i in range(len(batch))]
            for row in rows:
                self._compute(segment, row)
            batch.values = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            yield batch

    def _on_sums(self, segment, batches):
        """Compute whole sums for each batch, a vector after the other."""
        sums = self._sums.setdefault(segment.first, Sums(self._resident, segment))
        for batch in batches:
            sums.run(batch)
            yield batch

    def _on_device(self, segment, batches):
        """Run a segment for each batch; the next one is posted before one is waited for."""
        posted = deque()
        for batch in batches:
            posted.append((batch, self._post(segment, batch)))
            if len(posted) > 1:
                yield self._collect(*posted.popleft())
        while posted:
            yield self._collect(*posted.popleft())

    def _post(self, segment, batch):
        """Post all that a segment takes, and return a :class:`_Posted` for each sample."""
        octets = {name: self._resident.pack(name, batch.values[name]) for name in segment.inputs}
        posted = []
        for i in range(len(batch)):
            writes = [self._resident.post_write(name, packed[i]) for name, packed in octets.items()]
            layers, waits = self._resident.post_layers(segment.first, segment.last)
            reads = {name: self._resident.post_read(name) for name in segment.outputs}
            posted.append(_Posted([*writes, *layers, *reads.values()], waits, reads))
        return posted

    def _collect(self, batch, posted):
        """Wait for all that was posted for a batch, and add the results to its values."""
        octets = {name: [] for name in posted[0].reads}
        for sample in posted:
            for pending in sample.pending:
                pending.result()
            for name, read in sample.reads.items():
                octets[name].append(read.result())
        batch.values.update({name: self._resident.unpack(name, o) for name, o in octets.items()})
        batch.cycles         += sum(wait.result().cycles for wait in sample.waits)
        batch.bytes_sent     += sum(pending.bytes_sent for pending in sample.pending)
        batch.bytes_received += sum(pending.bytes_received for pending in sample.pending)
        return batch

    def _compute(self, segment, values):
        for name in segment.nodes:
            node = self._nodes[name]
            constants = {n: self.program.graph.tensors[n].data for n in node.inputs
                         if n and self.program.graph.tensors[n].is_constant}
            try:
                results = compute(self.program.graph, node, {**constants, **values})
                for output, result in zip(node.outputs, results):
                    if result.shape != self._shape(output):
                        raise ValueError(f"{output} gets shape {result.shape}")
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise ModelFormatError(f"the program contradicts itself: {name} cannot be "
                                       f"computed ({error})") from None
            values.update(zip(node.outputs, results))
