"""The golden machine in the place of an accelerator."""

import math

import numpy as np

from .. import isa
from ..errors import DeviceError
from ..golden.machine import Machine
from ..protocol import Space


__all__ = ["GoldenCore"]


#: Steps of a layer that the golden machine has time and memory for. Pixels and weight words, whose
#: product the steps are, have to fit on the device: that is 5.5 million on any target, at most.
_MAX_STEPS = 3 * 2**21


class GoldenCore:
    """What :class:`SoftwareEndpoint` needs, by the golden machine.

    Parameters
    ----------
    arch : ArchConfig
    """

    #: The golden machine has no clock.
    cycles = 0

    def __init__(self, arch):
        self._machine  = Machine(arch)
        self._memories = {
            Space.ACTIVATION: self._machine.activations.view(np.uint8),
            Space.WEIGHT:     self._machine.weight_space.view(np.uint8),
            Space.PROGRAM:    self._machine.program.reshape(-1),
        }

    def write(self, space, address, data):
        """Write bytes to a memory."""
        self._memories[space][address:address + len(data)] = np.frombuffer(data, np.uint8)

    def read(self, space, address, length):
        """Read bytes of a memory."""
        return self._memories[space][address:address + length].tobytes()

    def run(self, first, last):
        """Run layers. Their counters are all 0."""
        for index in range(first, last + 1):
            layer = self._machine.layer(index)
            steps = math.prod(level.last + 1 for level in layer.levels)
            if steps > _MAX_STEPS:
                raise DeviceError(f"layer {index} takes {steps:,} steps, and the golden machine "
                                  f"at most {_MAX_STEPS:,}")
        try:
            self._machine.run(first, last)
        except (IndexError, ValueError):
            raise DeviceError("a layer's addresses or groups are out of range") from None
        rows = np.arange(first, last + 1) * isa.LAYER_ROWS + isa.COUNTER_ROW
        self._machine.program[rows] = 0
