"""Random commands of the driver to ``link_core``, compared with what they should do."""

from link_core import ARCH, RUN_BYTES, TRACE

from popmac import isa
from popmac.protocol import Space


__all__ = ["random_commands"]


def random_commands(rng, link, core, count):
    """Do the same on both sides, much of it overlapping, and compare."""
    pending = []
    for _ in range(count):
        match rng.choice(["activation", "weight", "program", "read", "run"]):
            case "activation":
                start, stop = sorted(rng.integers(0, ARCH.activation_bytes, 2).tolist())
                stop = min(stop, start + int(rng.choice([1, 30, 700])))
                data = rng.bytes(stop - start)
                pending.append((link.post_write(Space.ACTIVATION, start, data), None))
                core.write(Space.ACTIVATION, start, data)
            case "weight":
                start = 2 * int(rng.integers(0, 1000))
                data  = rng.bytes(2 * int(rng.integers(0, 100)))
                pending.append((link.post_write(Space.WEIGHT, start, data), None))
                core.write(Space.WEIGHT, start, data)
            case "program":
                start, rows = int(rng.integers(0, 50)), int(rng.integers(1, 10))
                data = rng.bytes(rows * isa.ROW_BYTES)
                pending.append((link.post_write(Space.PROGRAM, start * isa.ROW_BYTES, data), None))
                core.write(Space.PROGRAM, start * isa.ROW_BYTES, data)
            case "read":
                space  = Space(rng.choice([Space.ACTIVATION, Space.PROGRAM]))
                unit   = isa.ROW_BYTES if space == Space.PROGRAM else 1
                start  = unit * int(rng.integers(0, 50))
                length = unit * int(rng.integers(0, 10))
                pending.append((link.post_read(space, start, length),
                                core.read(space, start, length)))
            case "run":
                first = int(rng.integers(0, 200))
                last  = first + int(rng.integers(0, 4))
                pending.append((link.post_run(first, last), None))
                core.run(first, last)
                pending.append((link.post_wait(), core.cycles))
                pending.append((link.post_read(Space.ACTIVATION, 0, RUN_BYTES),
                                core.read(Space.ACTIVATION, 0, RUN_BYTES)))
    for answer, expected in pending:
        result = answer.result()
        assert getattr(result, "cycles", result) == expected
    trace = core.read(Space.PROGRAM, TRACE, isa.ROW_BYTES)[:8]
    assert link.read(Space.PROGRAM, TRACE, isa.ROW_BYTES)[:8] == trace
