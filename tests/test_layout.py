import numpy as np
import pytest

from popmac.arch import target
from popmac.compiler.lowering.binary import bits_of, bitwise


ARCH = target("ulx3s-85f")


@pytest.mark.parametrize("levels", [(-1, 1), (0, 1), (-2, -1, 0, 1), (0, 1, 2), (-3, -1, 1, 3),
                                    tuple(range(-8, 8)), tuple(range(5))], ids=str)
@pytest.mark.parametrize("channels", [1, 16, 17, 100, 128, 129, 200, 784])
def test_codes_of_bits_come_back(rng, channels, levels):
    layout = bitwise((3, 4, channels), ARCH, levels)
    codes  = rng.choice(levels, (3, 4, channels)).astype(np.int8)
    octets = layout.pack(codes)
    np.testing.assert_array_equal(layout.unpack(octets), codes)
    # What belongs to no channel is 0, so that the first bytes of each word may be compared.
    most   = layout.pack(np.full_like(codes, levels[-1]))
    ones   = np.unpackbits(most.view(np.uint8)).sum()
    assert ones == (len(levels) - 1).bit_count() * codes.size


@pytest.mark.parametrize("channels, words, used", [
    (1, 1, 2), (128, 1, 16), (129, 2, 10), (192, 2, 12), (200, 2, 14), (784, 7, 14)])
def test_bits_of_a_code_lie_behind_each_other(channels, words, used):
    layout = bitwise((2, 3, channels), ARCH, tuple(range(16)))
    assert (layout.blocks, layout.group, layout.code_bits) == (words, used, 4)
    codes  = np.zeros((2, 3, channels), np.int8)
    codes[1, 2, -1] = 0b0110
    octets = layout.pack(codes).reshape(-1, ARCH.word_bytes)
    pixel  = (1 * 3 + 2) * words * 4
    places = np.flatnonzero(octets.any(axis=1))
    assert places.tolist() == [pixel + (words - 1) * 4 + bit for bit in (1, 2)]


@pytest.mark.parametrize("levels, bits", [
    (None, None), ((0,), None), ((0, 1), 1), ((-1, 0, 1), 2), (tuple(range(5)), 4),
    (tuple(range(17)), None), ((0, 1, 3), None)], ids=str)
def test_bits_of_levels(levels, bits):
    assert bits_of(levels) == bits
