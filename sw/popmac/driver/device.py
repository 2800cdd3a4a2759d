"""Devices: whatever is at the other end of a link."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from .. import isa
from ..errors import DeviceError, IncompatibleProgramError, InputError, LinkError
from ..program import Program
from ..protocol import Space
from .link import Link
from .matmul import Matrices
from .residence import find_place, relocated
from .session import Session


__all__ = ["Device"]


class Device:
    """An accelerator that answers. May be used by several threads.

    Parameters
    ----------
    link : Link
        Is closed with the device.

    Raises
    ------
    LinkError, DeviceError
        If nothing answers, or something that this version of popmac cannot talk to.
    """

    def __init__(self, link: Link):
        self.link = link
        self._lock      = threading.RLock()
        self._worker    = ThreadPoolExecutor(1, thread_name_prefix="popmac")
        self._sessions  = weakref.WeakSet() # whose programs are in the device's memories
        self._disturbed = False # a command was interrupted, or the link failed
        self._matrices  = Matrices(self)
        try:
            #: What the device says about itself; an :class:`popmac.driver.link.Identity`.
            self.identity = link.hello()
        except BaseException:
            link.close()
            raise

    @property
    def arch(self):
        """Configuration that the device says it has."""
        return self.identity.arch

    @contextmanager
    def exclusive(self):
        """Have the device to oneself, and its :class:`Link`.

        Whatever was going on when this was left by an exception is stopped before the next use.
        What the device has in its memories counts as lost if the link failed.
        """
        with self._lock:
            if self._disturbed:
                if self.link.hello() != self.identity:
                    raise DeviceError("there is another device at the end of the link")
                self._disturbed = False
            try:
                yield self.link
            except InputError:
                raise
            except BaseException as error:
                self._disturbed = True
                if isinstance(error, LinkError):
                    self._evict(self._sessions)
                raise

    def submit(self, function, *arguments):
        """Call a function when those submitted before it have returned, and return its future."""
        try:
            return self._worker.submit(function, *arguments)
        except RuntimeError:
            raise LinkError("the device is closed") from None

    def load(self, program):
        """Bring a program into the device's memories.

        Programs that were loaded before stay, if all of them fit; otherwise the oldest ones make
        room. A program whose session is no longer referenced makes room at once.

        Parameters
        ----------
        program : Program, Graph, or path
            A model is compiled for the device.

        Returns
        -------
        Session

        Raises
        ------
        IncompatibleProgramError
            If the program was compiled for another configuration or instruction set.
        """
        if not isinstance(program, Program):
            from ..compiler import compile_model  # a device does without the compiler otherwise
            program = compile_model(program, self.arch)
        identity = self.identity
        if identity.isa_version != isa.ISA_VERSION:
            raise IncompatibleProgramError(
                f"the device has instruction set {identity.isa_version}, but this version of "
                f"popmac has {isa.ISA_VERSION}: build the device again, or install the other "
                f"version")
        if identity.fingerprint != program.fingerprint:
            raise IncompatibleProgramError(
                f"the program is for configuration {program.fingerprint:08x} "
                f"({program.arch.name}), but the device has {identity.fingerprint:08x} "
                f"({self.arch.name}): {program.arch.differences(self.arch) or 'no difference'}; "
                f"compile the model for {self.arch.name}")
        with self.exclusive() as link:
            place = self._make_room(program)
            link.write(Space.PROGRAM, place.row * isa.ROW_BYTES,
                       relocated(program, place)[:program.loaded_rows].tobytes())
            session = Session(self, program, place)
            self._sessions.add(session)
            return session

    def matmul(self, a, w):
        """Multiply matrices of integers: ``a @ w``, exact.

        ``w`` is compiled and loaded when it is new, and recognised by its content afterwards. Where
        all values of ``a`` are -1 and 1, or fit in four bits, and those of ``w`` fit in four bits
        too, the binary engine computes it, if that has the bits and the sums are small.

        Parameters
        ----------
        a : array_like of int (..., inner)
            From -128 to 127. Rows are computed one by one; there may be any number of them.
        w : array_like of int (inner, columns)
            From -128 to 127; ``inner`` is at most 131,071, so that sums have 32 bits. ``columns``
            may be any number. Larger matrices than the device takes at once are computed in parts.

        Returns
        -------
        ndarray of int32 (..., columns)

        Raises
        ------
        InputError
            If values, types or shapes are others.
        """
        with self._lock:
            return self._matrices.multiply(a, w)

    def _make_room(self, program):
        """Find a place for a program; those of old sessions make room if they have to."""
        kept = sorted(self._sessions,
                      key=lambda session: (not session.expendable, session.number))
        while True:
            place = find_place(program, [(session.program, session.place) for session in kept])
            if place is not None:
                return place
            if not kept:
                raise IncompatibleProgramError(
                    f"the program has {len(program.layers)} layers, {len(program.weights)} weight "
                    f"words and {program.resident_rows} rows, which the device has no room for")
            self._evict(kept[:1])
            kept = kept[1:]

    def unload(self):
        """End all sessions, because the memories are going to be overwritten."""
        with self._lock:
            self._evict(self._sessions)

    def _evict(self, sessions):
        for session in list(sessions):
            session.loaded = False
            self._sessions.discard(session)

    def close(self):
        """Let go of the device, after what is running now. What was submitted is cancelled."""
        self._worker.shutdown(cancel_futures=True)
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
