"""Programs on a device."""

import itertools
from concurrent.futures import CancelledError
from types import MappingProxyType

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES
from ..errors import DeviceError, InputError, LinkTimeoutError, ModelFormatError
from ..golden.layers import compute
from ..program import DeviceSegment, Program
from ..progress import progress
from ..protocol import Space
from .counters import layer_table, total
from .tensors import Codec


__all__ = ["Session", "Inference"]


_numbers = itertools.count()


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
    program : Program
    inputs, outputs : list of TensorInfo
    place : Place
        Where the program is in the device's memories.
    number : int
        Of sessions, in order.
    loaded : bool
        Whether the program is on the device still.
    """

    def __init__(self, device, program: Program, place):
        self.program  = program
        self.place    = place
        self.number   = next(_numbers)
        self.loaded   = True
        self._counters = None
        self._last_run = None
        self._device  = device
        self._link    = device.link
        self._page    = None # whose weights are on the device
        if program.pages:
            self._load(program.pages[0])
        self._codecs  = {name: Codec(program.graph.tensors[name])
                         for name in (*program.graph.inputs, *program.graph.outputs)}
        self._nodes   = {node.name: node for node in program.graph.nodes}
        self.inputs   = [self._codecs[name].info for name in program.graph.inputs]
        self.outputs  = [self._codecs[name].info for name in program.graph.outputs]

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
        with self._device.exclusive() as link:
            self._check_loaded()
            program = self.program.with_thresholds(name, values)
            where   = program.threshold_rows(name)
            if where[-1] < program.loaded_rows:
                for run in np.split(where, np.flatnonzero(np.diff(where) != 1) + 1):
                    link.write(Space.PROGRAM, (self.place.row + int(run[0])) * isa.ROW_BYTES,
                               program.rows[run].tobytes())
            else:
                self._page = None # they come with their page
            self.program = program

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
                    layer_table(self.program, self._read_counters()), *self._last_run))
            return self._counters

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
        inputs, real = self._encode(x)
        with self._device.exclusive() as link:
            self._check_loaded()
            values, cycles = dict(inputs), 0
            sent, received = link.bytes_sent, link.bytes_received
            for segment in self.program.segments:
                if isinstance(segment, DeviceSegment):
                    for name in segment.inputs:
                        self._write(name, values[name])
                    cycles += self._run_layers(segment.first, segment.last)
                    values.update({name: self._read(name) for name in segment.outputs})
                else:
                    self._compute(segment, values)
            self._counters = None
            self._last_run = (cycles, link.bytes_sent - sent, link.bytes_received - received)
        return self._decode(values, real)

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

        Parameters
        ----------
        xs : array_like, or mapping of str to array_like
            As for :meth:`run`, with one more axis in front.

        Returns
        -------
        ndarray, or dict of str to ndarray
            Likewise.
        """
        samples = self._samples(xs)
        results = [self.run(sample) for sample in progress(samples, "running")]
        if not results:
            raise InputError("there are no samples to run")
        if isinstance(results[0], dict):
            return {name: np.stack([result[name] for result in results]) for name in results[0]}
        return np.stack(results)

    def trace(self, x):
        """Run the program on one sample, layer by layer, and return every tensor.

        Each tensor is read back before its memory is used again.

        Returns
        -------
        dict of str to ndarray
            Codes, in the model's shapes; inputs included.
        """
        values, _ = self._encode(x)
        with self._device.exclusive():
            self._check_loaded()
            for segment in self.program.segments:
                if isinstance(segment, DeviceSegment):
                    self._trace_layers(segment, values)
                else:
                    self._compute(segment, values)
        return values

    def _trace_layers(self, segment, values):
        for name in segment.inputs:
            self._write(name, values[name])
        for name, source in segment.reshaped.items():
            values[name] = values[source].reshape(self._shape(name))
        for index in range(segment.first, segment.last + 1):
            self._run_layers(index, index)
            first, *others = self.program.layers[index].tensors
            values[first]  = self._read(first)
            for name in others:
                values[name] = values[first].reshape(self._shape(name))

    def _check_loaded(self):
        if not self.loaded:
            raise DeviceError("the program is not on the device any more, because another one was "
                              "loaded or the link failed; load it again")

    def _shape(self, name):
        return self.program.graph.tensors[name].shape

    def _samples(self, xs):
        arrays = xs if isinstance(xs, dict) else {self.inputs[0].name: xs}
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        counts = {len(array) if array.ndim else 0 for array in arrays.values()}
        if len(counts) != 1:
            raise InputError("all inputs must have the same number of samples")
        if isinstance(xs, dict):
            return [{name: array[i] for name, array in arrays.items()}
                    for i in range(counts.pop())]
        return list(np.asarray(xs))

    def _encode(self, x):
        """Values of the inputs by name, and whether they were real."""
        names = self.program.graph.inputs
        if not isinstance(x, dict):
            if len(names) != 1:
                raise InputError(f"the inputs are {', '.join(names)}: give a dict by name")
            x = {names[0]: x}
        if set(x) != set(names):
            raise InputError(f"the inputs are {', '.join(names)}, not {', '.join(x)}")
        values = {name: self._codecs[name].encode(x[name]) for name in names}
        return values, all(np.asarray(array).dtype == np.float32 for array in x.values())

    def _decode(self, values, real):
        outputs = {name: self._codecs[name].decode(values[name], real=real)
                   for name in self.program.graph.outputs}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

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

    def _write(self, name, values):
        layout = self.program.layouts[name]
        image  = values.reshape(layout.height, layout.width, layout.channels)
        self._link.write(Space.ACTIVATION, layout.base * layout.word_bytes,
                         layout.pack(image).tobytes())

    def _read(self, name):
        layout = self.program.layouts[name]
        octets = self._link.read(Space.ACTIVATION, layout.base * layout.word_bytes,
                                 layout.words * layout.word_bytes)
        return layout.unpack(np.frombuffer(octets, np.int8)) \
            .reshape(self._shape(name))

    def _load(self, page):
        """Write the weights, tables and parameters of a page, if they are not there."""
        if page == self._page:
            return
        self._page = None # until all is written
        arch    = self.program.arch
        weights, tables, rows = self.program.page_bytes(page)
        behind  = arch.all_weight_words * arch.weight_word_bytes # the tables
        for write in [
            self._link.post_write(Space.WEIGHT, self.place.word * arch.weight_word_bytes, weights),
            self._link.post_write(Space.WEIGHT, behind + self.place.table * TABLE_BYTES, tables),
            self._link.post_write(Space.PROGRAM, (self.place.row + self.program.loaded_rows)
                                  * isa.ROW_BYTES, rows),
        ]:
            write.result()
        self._page = page

    def _run_layers(self, first, last):
        """Run layers on the device and return the cycles they took."""
        cycles = 0
        for page in self.program.pages:
            if page.first <= last and first <= page.last:
                self._load(page)
                self._link.run(self.place.layer + max(first, page.first),
                               self.place.layer + min(last, page.last))
                cycles += self._link.wait().cycles
        return cycles

    def _read_counters(self):
        """Counters of all layers, by index."""
        pending = [self._link.post_read(
            Space.PROGRAM,
            (self.place.row + index * isa.LAYER_ROWS + isa.COUNTER_ROW) * isa.ROW_BYTES,
            isa.ROW_BYTES) for index in range(len(self.program.layers))]
        return [isa.LayerCounters.decode(int.from_bytes(read.result(), "little"))
                for read in pending]
