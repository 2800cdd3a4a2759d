"""A program's places in the memories of a device, and what goes to and from there."""

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES
from ..protocol import Space


__all__ = ["LoadedProgram"]


class LoadedProgram:
    """Posts reads, writes and runs of a program that is on a device.

    Parameters
    ----------
    program : Program
    place : Place
        Where it is in the device's memories.
    link : Link
    """

    def __init__(self, program, place, link):
        self.program = program
        self._place  = place
        self._link   = link
        self._page   = None # whose weights are on the device
        if program.pages:
            for write in self.post_page(program.pages[0]):
                write.result()

    def forget_page(self):
        """Its page is written again before it is needed."""
        self._page = None

    def replace(self, program, rows):
        """Take a program that differs in these rows of the program memory."""
        if rows[-1] < program.loaded_rows:
            for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
                self._link.write(Space.PROGRAM, (self._place.row + int(run[0])) * isa.ROW_BYTES,
                                 program.rows[run].tobytes())
        else:
            self.forget_page() # they come with their page
        self.program = program

    def pack(self, name, values):
        """Bytes of a tensor in the device's memory, from values (samples, ...)."""
        layout = self.program.layouts[name]
        return layout.pack(values.reshape(-1, layout.height, layout.width, layout.channels))

    def unpack(self, name, octets):
        """Values (samples, ...) of a tensor, from the bytes of each sample."""
        octets = np.frombuffer(b"".join(octets), np.int8).reshape(len(octets), -1)
        values = self.program.layouts[name].unpack(octets)
        return values.reshape(-1, *self.program.graph.tensors[name].shape)

    def post_write(self, name, octets):
        """Write a tensor, as :meth:`pack` makes it."""
        layout = self.program.layouts[name]
        return self._link.post_write(Space.ACTIVATION, layout.base * layout.word_bytes,
                                     octets.tobytes())

    def post_read(self, name):
        """Read a tensor, for :meth:`unpack`."""
        layout = self.program.layouts[name]
        return self._link.post_read(Space.ACTIVATION, layout.base * layout.word_bytes,
                                    layout.words * layout.word_bytes)

    def post_counters(self, index):
        """Read what the device counted in its last run of a layer."""
        row = self._place.row + index * isa.LAYER_ROWS + isa.COUNTER_ROW
        return self._link.post_read(Space.PROGRAM, row * isa.ROW_BYTES, isa.ROW_BYTES)

    def post_parameters(self, index, octets):
        """Write the parameters of a layer, whose page is on the device."""
        row = self._place.row + self.program.descriptor(index).parameters
        return self._link.post_write(Space.PROGRAM, row * isa.ROW_BYTES, octets)

    def post_page(self, page):
        """Write the weights, tables and parameters of a page, if they are not there."""
        if page == self._page:
            return []
        self._page = page
        arch    = self.program.arch
        weights, tables, rows = self.program.page_bytes(page)
        behind  = arch.all_weight_words * arch.weight_word_bytes # the tables
        return [
            self._link.post_write(Space.WEIGHT, self._place.word * arch.weight_word_bytes, weights),
            self._link.post_write(Space.WEIGHT, behind + self._place.table * TABLE_BYTES, tables),
            self._link.post_write(Space.PROGRAM, (self._place.row + self.program.loaded_rows)
                                  * isa.ROW_BYTES, rows),
        ]

    def post_layers(self, first, last):
        """Run layers on the device; return all that was posted, and the reports of it."""
        pending, waits = [], []
        for page in self.program.pages:
            if page.first <= last and first <= page.last:
                pending += self.post_page(page)
                pending.append(self._link.post_run(self._place.layer + max(first, page.first),
                                                   self._place.layer + min(last, page.last)))
                waits.append(self._link.post_wait())
                pending.append(waits[-1])
        return pending, waits

