"""Damages files at random, as transmission errors and attackers do."""



__all__ = ["corrupted"]


NUMBERS = [0, 1, 2, 4, 7, 127, 128, 255, 256, 2**15, 2**16, 2**30, 2**31 - 1, 2**31, 2**32 - 4,
           2**32 - 1]


def corrupted(data, rng):
    """A damaged copy of ``data``."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        at = int(rng.integers(len(data)))
        # Offsets and lengths stand at the beginning and at the end of tables, not in weights.
        if rng.random() < 0.5:
            at = int(min(at, abs(rng.normal(0, 500))))
        elif rng.random() < 0.5:
            at = int(max(0, len(data) - 1 - abs(rng.normal(0, 5000))))
        match rng.integers(7):
            case 0: # a bit
                data[at] ^= 1 << int(rng.integers(8))
            case 1: # a byte
                data[at] = int(rng.integers(256))
            case 2 | 3: # a number that is often a limit
                at -= at % 4
                value = int(rng.choice(NUMBERS)) if rng.random() < 0.7 else int(
                    rng.integers(len(data)))
                data[at:at + 4] = value.to_bytes(4, "little")[:len(data) - at]
            case 4: # a piece from elsewhere
                source, size = int(rng.integers(len(data))), int(rng.choice([4, 8, 32, 100]))
                data[at:at + size] = data[source:source + size]
            case 5: # a number that is off by a little
                at -= at % 4
                value = int.from_bytes(data[at:at + 4], "little") + int(rng.integers(-8, 9))
                data[at:at + 4] = (value % 2**32).to_bytes(4, "little")[:len(data) - at]
            case 6:
                if rng.random() < 0.3:
                    del data[at:]
        if not data:
            return b""
    return bytes(data)
