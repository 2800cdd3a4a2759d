"""A client written from docs/protocol.md alone; it shares nothing with the driver.

One command at a time, repeated until it is answered.
"""

import json
import os
import struct
import zlib


class Client:
    """``send(bytes)`` sends, ``receive(seconds)`` returns the bytes that have come, if any."""

    def __init__(self, send, receive, seconds=0.1):
        self.send, self.receive, self.seconds = send, receive, seconds
        self.line, self.sequence = b"", 0
        report = self.command(0, os.urandom(4))
        if report[0] != 1:
            raise OSError(f"the device speaks version {report[0]} of the protocol")
        size, self.instruction_set, self.fingerprint = struct.unpack("<HHI", self.read(3, 0, 8))
        self.configuration = json.loads(self.read(3, 8, size))

    def command(self, code, arguments=b""):
        content = bytes([code, self.sequence]) + arguments
        checked = content + struct.pack("<I", zlib.crc32(content))
        escaped = checked.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
        for _ in range(100):
            self.send(b"\x7e" + escaped + b"\x7e")
            while (answer := self.answer()) is not None:
                if answer[:2] == bytes([code | 0x80, self.sequence]):
                    self.sequence = (self.sequence + 1) % 256
                    if answer[2]:
                        raise OSError(f"command {code}: status {answer[2]}")
                    return answer[3:]
                if answer[0] == 0xff and answer[1] == self.sequence:
                    break # not received, or not finished: send it again
        raise TimeoutError(f"command {code}: no answer")

    def answer(self):
        """The next frame that is not garbled, or None."""
        while True:
            while b"\x7e" not in self.line:
                received = self.receive(self.seconds)
                if not received:
                    return None
                self.line += received
            frame, _, self.line = self.line.partition(b"\x7e")
            frame = frame.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")
            if len(frame) >= 7 and frame[-4:] == struct.pack("<I", zlib.crc32(frame[:-4])):
                return frame[:-4]

    def read(self, space, address, size):
        return b"".join(self.command(5, struct.pack("<BIH", space, start, length))
                        for start, length in pieces(address, size))

    def write(self, space, address, data):
        for start, length in pieces(address, len(data)):
            piece = data[start - address:start - address + length]
            self.command(6, struct.pack("<BIH", space, start, length) + piece)

    def run(self, first, last):
        self.command(4, bytes([first, last]))
        return struct.unpack("<4BII", self.command(3))[5]


def pieces(address, size):
    # 216 is a multiple of all units, and fits into the smallest receive buffer.
    return [(start, min(216, address + size - start))
            for start in range(address, address + size, 216)]
