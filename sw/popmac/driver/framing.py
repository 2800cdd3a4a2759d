"""Frames as bytes: HDLC-like framing (RFC 1662) with a 32-bit frame check sequence."""

import re
import struct
import zlib

from ..protocol import DATA_BYTES, ESCAPE, ESCAPE_XOR, FCS_BYTES, FLAG


__all__ = ["encode", "Decoder"]


_FLAG   = bytes([FLAG])
_ESCAPE = bytes([ESCAPE])
_ESCAPED_FLAG   = bytes([ESCAPE, FLAG ^ ESCAPE_XOR])
_ESCAPED_ESCAPE = bytes([ESCAPE, ESCAPE ^ ESCAPE_XOR])
_ESCAPED = re.compile(re.escape(_ESCAPE) + b"(.)", re.DOTALL)

#: No frame is longer, all of its bytes escaped and some room for its header.
_LIMIT = 2 * (DATA_BYTES + 64)


def encode(content):
    """Bytes of the frame with this content, flags included."""
    checked = content + struct.pack("<I", zlib.crc32(content))
    return (_FLAG
            + checked.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_FLAG, _ESCAPED_FLAG)
            + _FLAG)


class Decoder:
    """Finds frames in a stream of bytes, however it is cut.

    Attributes
    ----------
    garbled : int
        Frames with a wrong frame check sequence, so far.
    """

    def __init__(self):
        self.garbled = 0
        self._pending = b"" # of the frame that is coming

    def feed(self, received):
        """Take further bytes, and return the content of each frame that they end, or ``None``.

        A frame with a wrong frame check sequence is a ``None``.
        """
        *frames, self._pending = (self._pending + received).split(_FLAG)
        # Bytes without end are noise, whatever ends them.
        self._pending = self._pending[:_LIMIT]
        contents = [self._content(frame) for frame in frames if frame]
        self.garbled += contents.count(None)
        return contents

    @staticmethod
    def _content(frame):
        checked = _ESCAPED.sub(lambda pair: bytes([pair[1][0] ^ ESCAPE_XOR]), frame + _FLAG)
        if checked[-1:] != _FLAG: # an escape in front of it: the sender gave the frame up
            return None
        checked = checked[:-1]
        content, fcs = checked[:-FCS_BYTES], checked[-FCS_BYTES:]
        if not content or fcs != struct.pack("<I", zlib.crc32(content)):
            return None
        return content
