import zlib

import pytest
from hypothesis import given, strategies as st

from popmac.driver.framing import Decoder, encode


#: Contents of frames, full of what has to be escaped.
contents = st.lists(st.sampled_from(b"\x7e\x7d\x5e\x5d\x00a"), min_size=1, max_size=40).map(bytes)


def test_published_frame():
    # CRC-32/ISO-HDLC of "123456789", sent with the least significant byte first.
    assert encode(b"123456789") == b"\x7e123456789\x26\x39\xf4\xcb\x7e"
    assert encode(b"\x7e\x7d")[1:5] == b"\x7d\x5e\x7d\x5d"


@given(st.lists(contents), st.lists(st.integers(0, 200)))
def test_frames_come_back_however_they_are_cut(frames, cuts):
    octets  = b"".join(map(encode, frames))
    decoder = Decoder()
    found   = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(octets)]):
        found += decoder.feed(octets[start:stop])
    assert found == frames
    assert decoder.garbled == 0


@given(contents, st.data())
def test_a_damaged_frame_is_garbled_and_the_next_is_not(content, data):
    frame = bytearray(encode(content))
    place = data.draw(st.integers(1, len(frame) - 2))
    frame[place] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    found   = decoder.feed(bytes(frame) + encode(b"next"))
    assert found[-1] == b"next"
    # Escapes may make other bytes of the same frame.
    assert all(other in (None, content) for other in found[:-1])
    assert decoder.garbled == found.count(None)


@pytest.mark.parametrize("octets", [
    b"\x7e\x7e\x7e", b"\x7e", b"", b"noise without an end",
])
def test_what_is_no_frame(octets):
    assert Decoder().feed(octets) == []


@pytest.mark.parametrize("octets", [
    b"\x7ea\x7e", b"\x7e\0\0\0\0\x7e", encode(b"given up")[:-1] + b"\x7d\x7e",
    b"\x7ea}" + zlib.crc32(b"a}").to_bytes(4, "little") + b"\x7e",
])
def test_garbled(octets):
    decoder = Decoder()
    assert decoder.feed(octets) == [None]
    assert decoder.garbled == 1


def test_endless_noise_takes_no_memory():
    decoder = Decoder()
    for _ in range(1000):
        assert decoder.feed(bytes(10_000)) == []
    assert len(decoder._pending) < 10_000
    assert decoder.feed(b"\x7e" + encode(b"next")) == [None, b"next"]
