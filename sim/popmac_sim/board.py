"""The board in a simulator."""

import math
from pathlib import Path

import popmac.arch
import popmac.isa
import popmac.protocol
import popmac_gateware
from popmac_gateware.core import Core

from .verilated import Simulation, build


__all__ = ["GATEWARE", "SimulatedBoard", "build_board", "open_board"]


#: Sources of everything that the core is made of, for :func:`popmac_sim.verilated.build`; what is
#: around it on boards and in builds is not simulated.
GATEWARE = [
    *(path for path in sorted(Path(popmac_gateware.__file__).parent.iterdir())
      if path.suffix == ".py" or path.name in ("link", "primitives", "serial")),
    *(Path(module.__file__) for module in (popmac.arch, popmac.isa, popmac.protocol)),
]


#: Cycles per call of the simulator, so that the user can interrupt it.
_EFFORT = 1_000_000

#: Times that a byte takes; the host sees what it received no later than this.
_HOST_LATENCY = 64

_FAST = 1


class SimulatedBoard:
    """Verilated component behind a link with the speed of a real one, as a driver ``Transport``.

    All times are those of the simulated clock. The host takes no time.

    Parameters
    ----------
    library : path-like
        What :func:`popmac_sim.verilated.build` returned.
    arch : :class:`popmac.arch.ArchConfig`
        Clock, and cycles per byte on the link.
    fast : bool
        A byte takes one cycle on the link.
    skip : bool
        Do not simulate cycles in which nothing can change; the results are the same.

    Attributes
    ----------
    bytes_in, bytes_out : int
        What the link has carried to the board and from it.
    pending : bytes
        What is on its way to the board.
    """

    def __init__(self, library, arch, *, fast=False, skip=True):
        self.arch = arch
        self.bytes_in = self.bytes_out = 0
        self.pending = b"" # on its way to the board
        self._simulation = Simulation(
            library, cycles_per_byte=_FAST if fast else arch.cycles_per_byte, skip=skip)

    @property
    def cycles(self):
        """Cycles of the clock so far."""
        return self._simulation.cycles

    @property
    def simulated(self):
        """How many of the cycles had to be simulated."""
        return self._simulation.simulated

    def write(self, data):
        """Send all of ``data``; the link takes its time while :meth:`read` waits."""
        self.pending += data

    def read(self, length, *, timeout):
        """Return what the board sends, at most ``length`` bytes.

        Waits for the first byte at most ``timeout`` seconds of simulated time.
        """
        simulation = self._simulation
        until = simulation.cycles + math.ceil(timeout * self.arch.clock_hz)
        received = b""
        while not received and simulation.cycles < until:
            sent, received = simulation.run(
                self.pending, capacity=length, until=until, effort=_EFFORT,
                patience=_HOST_LATENCY * simulation.cycles_per_byte)
            self.pending = self.pending[sent:]
            self.bytes_in += sent
            self.bytes_out += len(received)
        return received

    def record(self, path, first, last):
        """Write all signals from cycle ``first`` to ``last`` of the next run.

        Only if ``library`` was built for ``recording``; see :meth:`.verilated.Simulation.record`.
        """
        self._simulation.record(path, first, last, half=round(1e12 / self.arch.clock_hz / 2))

    def end_recording(self):
        """Complete the file of :meth:`record`."""
        self._simulation.end_recording()

    def time(self):
        """Seconds of simulated time."""
        return self._simulation.cycles / self.arch.clock_hz

    def close(self):
        """End the simulation."""
        self._simulation.close()


def build_board(arch, *, recording=False, folder=None):
    """Library of the simulated board of a target; see :func:`popmac_sim.verilated.build`."""
    return build(lambda: Core(arch), sources=GATEWARE, parameters=arch.to_json(),
                 description=f"{arch.name} (about a minute)", recording=recording, folder=folder)


def open_board(arch, *, link="real", recording=False):
    """The simulated board of a target.

    Parameters
    ----------
    arch : :class:`popmac.arch.ArchConfig`
    link : "real" or "fast"
    recording : bool
        Its signals can be recorded.
    """
    return SimulatedBoard(build_board(arch, recording=recording), arch, fast=link == "fast")
