"""The one configuration from which compiler, golden model, gateware and driver are built."""

import json
import zlib
from dataclasses import asdict, dataclass, fields

from .errors import PopmacError


__all__ = ["ArchConfig", "ACCUMULATOR_BITS", "BANKS", "ENGINES", "LANE_ENTRIES",
           "PLANE_WORDS", "TABLES", "TABLE_BYTES", "TARGETS", "target"]


BANKS            = 8  # of the activation memory; neighbouring words are in neighbouring banks
PLANE_WORDS      = 1, 2, 4 # that there may be from the word of a binary plane to that of the next
TABLES           = 8  # of functions of one code
TABLE_BYTES      = 256
ACCUMULATOR_BITS = 28
LANE_ENTRIES     = 16 # channels whose parameters a lane holds: distributed RAM at its smallest
ENGINES          = (_SYSTOLIC, _SERIAL) = ("systolic", "serial")


def _is_power_of_two(value):
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class ArchConfig:
    """Size of every part of one accelerator.

    Parameters
    ----------
    name : str
        Name of the target that it belongs to.
    rows : int
        Activation bytes that enter the array per cycle, and bytes per word of activation memory.
        A power of two, at least 4.
    columns : int
        Sums that leave the array per cycle. A multiple of ``rows``.
    lanes : int
        Results that are requantised per cycle. Even, divides ``rows``.
    planes : int
        Pixels that the binary engine computes per cycle; 0 leaves it out.
    weight_words : int
        Words of ``rows * columns`` bytes of weight memory in block RAM.
    tail_words : int
        Further words in distributed RAM, addressed behind those in block RAM.
    activation_words : int
        Words of ``rows`` bytes of activation memory, in all of its banks.
    program_rows : int
        Rows of 288 bits of program memory: layer descriptors and channel parameters.
    receive_bytes : int
        Size of the buffer for frames from the host.
    clock_hz : int
        Clock for which times are given.
    baud : int
        Rate of the link.
    engine : str
        ``"systolic"``: the array, with all units. ``"serial"``: four products in each of four
        cycles, for two pixels at once, without the other units; see ``docs/icebreaker.md``.
    """

    name:             str
    rows:             int
    columns:          int
    lanes:            int
    planes:           int
    weight_words:     int
    tail_words:       int
    activation_words: int
    program_rows:     int
    receive_bytes:    int
    clock_hz:         int
    baud:             int
    engine:           str = _SYSTOLIC

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise ValueError(f"name must be a string, not {self.name!r}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("name", "engine") and (
                    not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"{field.name} must be a non-negative integer, not {value!r}")
        for name, valid, rule in [
            ("rows", self.rows >= 4 and _is_power_of_two(self.rows), "a power of two from 4 on"),
            ("columns", self.rows >= 4 and self.columns > 0 and self.columns % self.rows == 0,
                "a multiple of rows"),
            ("lanes", self.lanes >= 2 and _is_power_of_two(self.lanes)
                and self.rows % self.lanes == 0, "an even power of two that divides rows"),
            ("planes", self.planes in (0, 1, 2, 4, 8) and (not self.planes or self.lanes <= 8),
                "0, 1, 2, 4 or 8, and 0 with more than 8 lanes"),
            ("weight_words", self.weight_words >= 1 and _is_power_of_two(self.weight_words),
                "a power of two"),
            ("tail_words", self.tail_words in (0, 16, 32) and self.tail_words <= self.weight_words,
                "0, 16 or 32, and at most weight_words"),
            ("activation_words", self.activation_words >= BANKS
                and _is_power_of_two(self.activation_words)
                and self.activation_words * self.rows <= 2**18,
                f"a power of two from {BANKS} on, and at most 256 KiB in all"),
            ("program_rows", 8 <= self.program_rows <= 2**12, "between 8 and 4096"),
            ("receive_bytes", self.receive_bytes >= 256 and _is_power_of_two(self.receive_bytes),
                "a power of two from 256 on"),
            ("clock_hz", self.clock_hz > 0, "positive"),
            ("baud", self.baud > 0, "positive"),
        ]:
            if not valid:
                raise ValueError(f"{name} must be {rule}, not {getattr(self, name)!r}")
        if self.engine == _SERIAL:
            self._check_serial()

    def _check_serial(self):
        # Memories of one port with bytes that are written one by one; rows of the program are 64
        # bytes apart, behind the weights.
        for name, valid, rule in [
            ("rows", self.rows == 4, "4"),
            ("columns", self.columns == 4, "4"),
            ("lanes", self.lanes == 2, "2"),
            ("planes", self.planes == 0, "0"),
            ("tail_words", self.tail_words == 0, "0"),
            ("activation_words", self.activation_words <= 2**14, "at most 16384"),
            ("weight_words", self.weight_words <= 2**11, "at most 2048"),
            ("program_rows", 64 * self.program_rows == self.weight_words * self.weight_word_bytes,
                "a quarter of weight_words"),
        ]:
            if not valid:
                raise ValueError(f"{name} must be {rule} with a serial engine, "
                                 f"not {getattr(self, name)!r}")

    @property
    def phases(self):
        """Cycles in which the results of one step of the array are requantised."""
        return self.columns // self.lanes

    @property
    def all_phases(self):
        """Cycles in which the results of one step of the binary engine are requantised."""
        return self.phases * max(self.planes, 1)

    @property
    def bits_per_byte(self):
        """Channels that share a byte where they are bits: no more than there are columns."""
        return min(8, self.columns)

    @property
    def phases_per_byte(self):
        """Phases whose results fill a byte where they are bits."""
        return max(1, self.bits_per_byte // self.lanes)

    @property
    def word_bytes(self):
        """Bytes per word of activation memory."""
        return self.rows

    @property
    def weight_word_bytes(self):
        """Bytes per word of weight memory."""
        return self.rows * self.columns

    @property
    def all_weight_words(self):
        """Words of weight memory in block RAM and in distributed RAM."""
        return self.weight_words + self.tail_words

    @property
    def activation_bytes(self):
        """Bytes of activation memory."""
        return self.activation_words * self.rows

    @property
    def weight_space_bytes(self):
        """Bytes of the weights and of the tables, which the host sees behind them."""
        return self.all_weight_words * self.weight_word_bytes + TABLES * TABLE_BYTES

    @property
    def units(self):
        """Names of the members of :class:`popmac.isa.Unit` that there are."""
        if self.engine == _SERIAL:
            return ("ARRAY",)
        return ("ARRAY", "PAIR", "MAXIMUM", "DEPTHWISE", "DIFFERENCE", "PRODUCT", "UNION",
                *(("BINARY",) if self.planes else ()))

    @property
    def tap_columns(self):
        """Neighbouring words of each of two rows that a step of a depthwise layer takes.

        There is a row pair of the array for each word.
        """
        return min(3, self.rows // 4)

    @property
    def macs_per_cycle(self):
        """INT8 multiply-accumulates per cycle."""
        return 8 if self.engine == _SERIAL else self.rows * self.columns

    @property
    def binary_macs_per_cycle(self):
        """Binary multiply-accumulates per cycle."""
        return self.rows * self.bits_per_byte * self.columns * self.planes

    @property
    def cycles_per_byte(self):
        """Clock cycles that a byte takes on the link: 8 data bits, a start bit, a stop bit."""
        return self.clock_hz * 10 // self.baud

    def to_json(self):
        """Configuration as JSON text, the same text for equal configurations."""
        return json.dumps(self._values(), separators=(",", ":"), sort_keys=True)

    def _values(self):
        """Fields by name; without the engine where it is the one that all had at first."""
        values = asdict(self)
        if self.engine == _SYSTOLIC:
            del values["engine"]
        return values

    @classmethod
    def from_json(cls, text):
        """Configuration from the text of :meth:`to_json`.

        Raises
        ------
        ValueError
            If the text is not one of a configuration.
        """
        values = json.loads(text)
        names  = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) | {"engine"} != names:
            raise ValueError(f"not a configuration: {text!r:.80}")
        return cls(**values)

    def fingerprint(self, isa_version):
        """32 bits that differ if programs or results could.

        Clock and baud rate are left out: they change how fast a program runs, not what it does.
        """
        values = {name: value for name, value in self._values().items()
                  if name not in ("name", "clock_hz", "baud")}
        text = json.dumps([isa_version, values], separators=(",", ":"), sort_keys=True)
        return zlib.crc32(text.encode())

    def differences(self, other):
        """Fields in which two configurations differ, as text, for error messages."""
        return ", ".join(f"{field.name} {getattr(self, field.name)!r} against "
                         f"{getattr(other, field.name)!r}" for field in fields(self)
                         if getattr(self, field.name) != getattr(other, field.name))


TARGETS = {config.name: config for config in [
    # Small enough to build and simulate in seconds; for tests.
    ArchConfig(name="tiny", rows=4, columns=4, lanes=2, planes=1, weight_words=1024,
               tail_words=16, activation_words=4096, program_rows=1024, receive_bytes=2048,
               clock_hz=100_000_000, baud=3_000_000),
    # ULX3S with LFE5U-85F: 256 INT8 multiply-accumulates per cycle in 128 + 8 multipliers, or
    # 8,192 binary ones.
    ArchConfig(name="ulx3s-85f", rows=16, columns=16, lanes=8, planes=4, weight_words=1024,
               tail_words=16, activation_words=4096, program_rows=1536, receive_bytes=4096,
               clock_hz=100_000_000, baud=3_000_000),
    # The same with twice the binary engine.
    ArchConfig(name="ulx3s-85f-binary", rows=16, columns=16, lanes=8, planes=8, weight_words=1024,
               tail_words=16, activation_words=4096, program_rows=1536, receive_bytes=4096,
               clock_hz=75_000_000, baud=3_000_000),
    # ULX3S with smaller chips: what the block RAM and the multipliers of each allow.
    ArchConfig(name="ulx3s-45f", rows=8, columns=8, lanes=4, planes=0, weight_words=2048,
               tail_words=16, activation_words=4096, program_rows=1024, receive_bytes=2048,
               clock_hz=100_000_000, baud=3_000_000),
    ArchConfig(name="ulx3s-25f", rows=4, columns=8, lanes=2, planes=0, weight_words=2048,
               tail_words=16, activation_words=4096, program_rows=512, receive_bytes=2048,
               clock_hz=100_000_000, baud=3_000_000),
    ArchConfig(name="ulx3s-12f", rows=4, columns=4, lanes=2, planes=0, weight_words=1024,
               tail_words=16, activation_words=4096, program_rows=512, receive_bytes=2048,
               clock_hz=100_000_000, baud=3_000_000),
    # Icepi Zero: the same chip as the ULX3S 25F, in another package.
    ArchConfig(name="icepi-zero", rows=4, columns=8, lanes=2, planes=0, weight_words=2048,
               tail_words=16, activation_words=4096, program_rows=512, receive_bytes=2048,
               clock_hz=100_000_000, baud=3_000_000),
    # iCEBreaker with iCE40UP5K: 8 INT8 multiply-accumulates per cycle in 4 of 8 multipliers, the
    # other four requantise.
    ArchConfig(name="icebreaker", rows=4, columns=4, lanes=2, planes=0, weight_words=2048,
               tail_words=0, activation_words=16384, program_rows=512, receive_bytes=512,
               clock_hz=24_000_000, baud=3_000_000, engine="serial"),
]}


def target(name):
    """Configuration of the target called ``name``.

    Raises
    ------
    PopmacError
        If there is none.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise PopmacError(f"there is no target {name!r}; there are {', '.join(TARGETS)}") from None
