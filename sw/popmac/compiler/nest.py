"""Loop nests from counts and strides."""

from .. import isa


__all__ = ["Loop", "loop_fields"]


class Loop:
    """Iterations of one loop of a layer, and what each of them adds to the addresses.

    Parameters
    ----------
    count : int
    row, column, word, weight, output : int
        See :class:`popmac.isa.Level`; ``output`` is in bytes.
    """

    def __init__(self, count=1, *, row=0, column=0, word=0, weight=0, output=0):
        self.count   = count
        self.strides = {"row": row, "column": column, "word": word, "weight": weight}
        self.output  = output


def loop_fields(loops):
    """Fields of :class:`popmac.isa.Layer` for ``loops``, a mapping with an entry per level.

    The machine adds when a loop goes on; what the loops inside of it have added by then is taken
    back at the same time.
    """
    fields = {}
    reset  = dict.fromkeys(("row", "column", "word", "weight"), 0)
    reset_output = 0
    for name in isa.LEVELS:
        loop  = loops.get(name) or Loop()
        added = {key: stride - reset[key] for key, stride in loop.strides.items()}
        for key in ("word", "weight"):
            added[key] %= 2**16
        fields[name] = isa.Level(last=loop.count - 1, **added)
        for key, stride in loop.strides.items():
            reset[key] += (loop.count - 1) * stride
        if name in ("column", "row", "output_block"):
            after = {"column": "after_column", "row": "after_row", "output_block": "after_block"}
            fields[after[name]] = (loop.output - reset_output) % 2**18
            reset_output += (loop.count - 1) * loop.output
    return fields
