"""Where the cycles of a program go."""

import math
from dataclasses import asdict, dataclass

from .errors import PopmacError
from .program import DeviceSegment


__all__ = ["LayerProfile", "Profile", "profile"]


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """One node of a model on the device.

    ``use`` is the share of the array's multiply-accumulates; ``bound`` says what most cycles went
    to: ``array``, ``memory`` (reading, in layers without weights), or a cause of ``stalls``.
    ``results`` are the values that it computes.
    """

    name:      str
    op:        str
    where:     str
    cycles:    int
    predicted: int
    macs:      int
    results:   int
    use:       float
    bound:     str
    stalls:    dict


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What :func:`profile` found; ``cycles`` were counted by the device, ``predicted`` not."""

    model:         str
    target:        str
    clock_hz:      int
    cycles:        int
    predicted:     int
    macs:          int
    macs_per_cycle: int
    lanes:         int
    link_bytes_in: int
    link_bytes_out: int
    link_seconds:  float
    layers:        tuple

    def as_dict(self):
        """As plain values, for JSON."""
        return asdict(self)


def profile(session, x):
    """Run a program once and set what the device counted beside what the compiler predicted.

    Parameters
    ----------
    session : Session
    x : array_like or dict
        One sample, as :meth:`Session.run` takes it.

    Returns
    -------
    Profile

    Raises
    ------
    PopmacError
        If the device counts no cycles, as the golden machine does not.
    """
    session.run(x)
    counters, program = session.counters, session.program
    arch = program.arch
    if not counters["cycles"]:
        raise PopmacError("this device counts no cycles; use sim:TARGET or a board")
    predicted, results = {}, {}
    for segment in program.segments:
        if isinstance(segment, DeviceSegment):
            for layer in program.layers[segment.first:segment.last + 1]:
                predicted[layer.node] = predicted.get(layer.node, 0) + layer.cycles
                shapes = results.setdefault(layer.node, {})
                shapes[layer.tensors[0]] = program.graph.tensors[layer.tensors[0]].shape

    layers = []
    for row in counters["layers"]:
        cycles = row["cycles"]
        spent  = dict(row["stalls"])
        spent["array" if row["macs"] else "memory"] = cycles - sum(spent.values())
        on_device = row["where"] == "device"
        layers.append(LayerProfile(
            name=row["name"], op=row["op"], where=row["where"], cycles=cycles,
            predicted=predicted.get(row["name"], 0), macs=row["macs"],
            results=sum(math.prod(shape) for shape in results.get(row["name"], {}).values()),
            use=row["macs"] / (cycles * arch.macs_per_cycle) if on_device else 0.0,
            bound=max(spent, key=spent.get) if on_device else "host", stalls=row["stalls"]))
    octets = counters["link_bytes_in"] + counters["link_bytes_out"]
    return Profile(
        model=program.graph.name, target=arch.name, clock_hz=arch.clock_hz,
        cycles=counters["cycles"], predicted=sum(layer.predicted for layer in layers),
        macs=program.macs_on_device, macs_per_cycle=arch.macs_per_cycle, lanes=arch.lanes,
        link_bytes_in=counters["link_bytes_in"], link_bytes_out=counters["link_bytes_out"],
        link_seconds=octets * arch.cycles_per_byte / arch.clock_hz, layers=tuple(layers))
