"""Every bit of every memory, as 0 and as 1."""

import numpy as np

from .. import isa
from ..arch import TABLE_BYTES, TABLES
from ..compiler.nest import Loop, loop_fields
from ..errors import PopmacError
from ..protocol import Space, space_bytes


__all__ = ["Difference", "test_activations", "test_program", "test_tables", "test_weights"]


#: Iterations that a loop may have.
_MAX_COUNT = 2**11

#: Row of program memory with the parameters, behind the only layer.
_PARAMETERS = isa.LAYER_ROWS


class Difference(PopmacError):
    """Something is not as it should be."""


def test_activations(device, rng):
    """Write and read all of activation memory."""
    return _march(device, rng, Space.ACTIVATION)


def test_program(device, rng):
    """Write and read all of program memory."""
    return _march(device, rng, Space.PROGRAM)


def _march(device, rng, space):
    """Random bytes, then their complement: no two places hold the same for long."""
    size   = space_bytes(device.arch)[space]
    values = np.frombuffer(rng.bytes(size), np.uint8)
    with device.exclusive() as link:
        for pattern in (values, ~values):
            link.write(space, 0, pattern.tobytes())
            read = np.frombuffer(link.read(space, 0, size), np.uint8)
            wrong = np.flatnonzero(read != pattern)
            if wrong.size:
                at = wrong[0]
                raise Difference(f"byte {at:#x} reads as {read[at]:#04x} instead of "
                                 f"{pattern[at]:#04x}; {wrong.size} bytes are wrong")
    return f"{size:,} bytes, each bit as 0 and as 1"


def test_weights(device, rng):
    """Read all of weight memory through the array, which is the only way.

    Each weight word is a pixel of its own, whose results are sums of some rows of the word, small
    enough to come out as they are: a wrong bit changes the sum. Of each row pair one row is 0, so
    that the products of its two weights, which the fast inner product adds, are too.
    """
    arch = device.arch
    with device.exclusive() as link:
        for odd in (0, 1):
            signs = np.zeros(arch.rows, np.int8)
            signs[odd::4], signs[2 + odd::4] = 1, -1
            words = np.zeros((arch.all_weight_words, arch.rows, arch.columns), np.int8)
            minus = rng.integers(-128, 128, words[:, 2 + odd::4].shape)
            words[:, 2 + odd::4] = minus
            words[:, odd::4] = np.clip(minus + rng.integers(-16, 17, minus.shape), -128, 127)
            for invert in (False, True):
                words[:, odd::2] ^= np.int8(-invert)
                link.write(Space.WEIGHT, 0, words.tobytes())
                expected = (words.astype(np.int64) * signs[:, None]).sum(axis=1)
                actual   = _read_through_array(link, arch, signs, 0, arch.all_weight_words)
                _compare(actual, np.clip(expected, -128, 127), "weight word")
    return f"{arch.all_weight_words:,} words of {arch.weight_word_bytes} bytes, through the array"


def test_tables(device, rng):
    """Read all tables through the requantiser, with weights as indices."""
    arch = device.arch
    words = np.zeros((TABLE_BYTES, arch.rows, arch.columns), np.int8)
    words[:, 0] = np.arange(-128, 128)[:, None]
    one_hot = np.eye(arch.rows, dtype=np.int8)[0]
    tables  = rng.integers(-128, 128, (TABLES, TABLE_BYTES)).astype(np.int8)
    with device.exclusive() as link:
        link.write(Space.WEIGHT, 0, words.tobytes())
        for pattern in (tables, ~tables):
            link.write(Space.WEIGHT, arch.all_weight_words * arch.weight_word_bytes,
                       pattern.tobytes())
            for table in range(TABLES):
                actual = _read_through_array(link, arch, one_hot, 0, TABLE_BYTES, table=table,
                                             use_table=1)
                expected = np.repeat(pattern[table][:, None], arch.columns, axis=1)
                _compare(actual, expected, f"table {table}, entry")
    return f"{TABLES} of {TABLE_BYTES} bytes, each bit as 0 and as 1"


def _read_through_array(link, arch, window, first, count, **fields):
    """Sums of weight words times a window (rows,), as int8 (words, columns)."""
    size    = isa.ROW_BYTES // 2
    record  = isa.ChannelParameters(multiplier=1).encode().to_bytes(size, "little")
    link.write(Space.PROGRAM, _PARAMETERS * isa.ROW_BYTES, record * arch.columns)
    link.write(Space.ACTIVATION, 0, window.tobytes())
    room    = (arch.activation_bytes - arch.rows) // arch.columns
    results = []
    while count:
        words  = min(count, room, _MAX_COUNT)
        layer  = isa.Layer(
            **loop_fields({"column": Loop(words, weight=1, output=arch.columns)}),
            first_weight=first, height=1, row_bytes=arch.rows, unit=isa.Unit.ARRAY,
            parameters=_PARAMETERS, low=-128, high=127, first_output=arch.rows,
            channels_log2=arch.columns.bit_length() - 1, last_phase=arch.phases - 1, **fields)
        link.write(Space.PROGRAM, 0, layer.encode().to_bytes(isa.COUNTER_ROW * isa.ROW_BYTES,
                                                             "little"))
        link.run(0, 0)
        link.wait()
        results.append(link.read(Space.ACTIVATION, arch.rows, words * arch.columns))
        first, count = first + words, count - words
    return np.frombuffer(b"".join(results), np.int8).reshape(-1, arch.columns)


def _compare(actual, expected, what):
    wrong = np.argwhere(actual != expected)
    if wrong.size:
        word, column = wrong[0].tolist()
        raise Difference(f"{what} {word}, column {column} gives {actual[word, column]} instead of "
                         f"{expected[word, column]}; {len(wrong)} results are wrong")
