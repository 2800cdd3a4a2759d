"""The instruction set: layer descriptors and channel parameters, as records of bits.

The gateware derives its layouts from these records and the golden machine executes them, so that
both sides agree by construction. Bit 0 of the first field is bit 0 of the record; in memory,
records are little-endian.

What a record *means* is defined by :mod:`popmac.golden.machine`.
"""

import enum
from dataclasses import dataclass, field, fields


__all__ = ["ISA_VERSION", "ROW_BITS", "ROW_BYTES", "LAYER_ROWS", "COUNTER_ROW", "MAX_LAYERS",
           "LEVELS", "Unit", "Doubling", "Record", "Level", "Layer", "ChannelParameters",
           "PairParameters", "LayerCounters"]


#: Changes with every change of a record or of its meaning.
ISA_VERSION = 4

#: Program memory is read in rows of this many bits: two channels, or a third of a descriptor.
ROW_BITS    = 288
ROW_BYTES   = ROW_BITS // 8

#: Rows of a layer: three of descriptor, and one that the device writes its counters to.
LAYER_ROWS  = 4
COUNTER_ROW = 3

MAX_LAYERS  = 256

#: Loops of a layer, innermost first: input-channel block, column and row of the kernel, column
#: and row of the output, output-channel block.
LEVELS      = ("input_block", "kernel_column", "kernel_row", "column", "row", "output_block")


class Unit(enum.IntEnum):
    """What computes the values that are requantised."""
    #: The systolic array: sums of activations times weights; ChannelParameters apply.
    ARRAY   = 0
    #: The first and the last word of each pixel, channel by channel; PairParameters apply.
    PAIR    = 1
    #: The greatest of all words of each pixel and 0, channel by channel; PairParameters apply.
    MAXIMUM = 2
    #: The systolic array, each column with activations of its own, see :attr:`Layer.tap_words`:
    #: sums of words times weights, channel by channel; ChannelParameters apply.
    DEPTHWISE  = 3
    #: As PAIR, with the bits of the second word inverted: ``-1 - x`` for each ``x``.
    DIFFERENCE = 4
    #: Products of the first word less ``padding`` and the last word less ``second_zero_point`` of
    #: each pixel, channel by channel; ChannelParameters apply.
    PRODUCT    = 5
    #: The binary engine: bits that windows and weights have in common, in several neighbouring
    #: pixels at once, see :attr:`Layer.plane_words`; ChannelParameters apply.
    BINARY     = 6
    #: The bits that are set in any word of each pixel, and 0; PairParameters apply.
    UNION      = 7

    @property
    def is_pair(self):
        """Whether PairParameters apply."""
        return self in (Unit.PAIR, Unit.MAXIMUM, Unit.DIFFERENCE, Unit.UNION)


class Doubling(enum.IntEnum):
    """Whether sums of the binary engine are doubled when the loop over kernel rows goes on."""
    NEVER     = 0
    ALWAYS    = 1
    #: Not when it goes on to its last iteration.
    BUT_LAST  = 2


def _bits(width, *, signed=False):
    return field(default=0, metadata={"width": width, "signed": signed})


def _record(cls):
    return field(default_factory=cls, metadata={"record": cls})


class Record:
    """A dataclass whose fields are integers of given widths, or other records."""

    @classmethod
    def width(cls):
        """Number of bits of the record."""
        return sum(f.metadata["record"].width() if "record" in f.metadata else f.metadata["width"]
                   for f in fields(cls))

    def encode(self):
        """Record as an integer of :meth:`width` bits.

        Raises
        ------
        ValueError
            If a field is out of range.
        """
        value = offset = 0
        for f in fields(self):
            item = getattr(self, f.name)
            if "record" in f.metadata:
                bits, width = item.encode(), item.width()
            else:
                width, signed = f.metadata["width"], f.metadata["signed"]
                low, high = (-2**(width - 1), 2**(width - 1) - 1) if signed else (0, 2**width - 1)
                if not low <= item <= high:
                    raise ValueError(f"{type(self).__name__}.{f.name} must be between {low} and "
                                     f"{high}, not {item}")
                bits = int(item) & (2**width - 1)
            value |= bits << offset
            offset += width
        return value

    @classmethod
    def decode(cls, value):
        """Record from an integer as made by :meth:`encode`."""
        values, offset = {}, 0
        for f in fields(cls):
            width = f.metadata["record"].width() if "record" in f.metadata else f.metadata["width"]
            bits = value >> offset & (2**width - 1)
            if "record" in f.metadata:
                values[f.name] = f.metadata["record"].decode(bits)
            elif f.metadata["signed"] and bits >> width - 1:
                values[f.name] = bits - 2**width
            else:
                values[f.name] = bits
            offset += width
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Level(Record):
    """One loop of a layer, and what is added to each address when it goes on.

    A loop goes on when all loops inside of it have ended; these begin again, and what is added
    here takes that into account.
    """
    #: Index of the last iteration: iterations - 1.
    last:   int = _bits(11)
    #: Added to the row of the input, which decides on padding.
    row:    int = _bits(12, signed=True)
    #: Added to the position within the row of the input, in bytes; decides on padding too.
    column: int = _bits(17, signed=True)
    #: Added to the word address of the row of the input. Wraps.
    word:   int = _bits(16)
    #: Added to the word address of the weights. Wraps.
    weight: int = _bits(16)


@dataclass(frozen=True, kw_only=True)
class Layer(Record):
    """Descriptor of one layer: a nest of six loops, executed by the sequencer.

    Each innermost iteration, a *step*, reads a window of ``rows`` activation bytes, which may
    begin at any byte and cross into the next word, and a weight word. Bytes of the window that
    lie outside of the input read as ``padding``. The steps of the three inner loops belong to one
    *pixel*: their results are accumulated, requantised and written.
    """
    # Loops, innermost first: see LEVELS.
    input_block:   Level = _record(Level)
    kernel_column: Level = _record(Level)
    kernel_row:    Level = _record(Level)
    column:        Level = _record(Level)
    row:           Level = _record(Level)
    output_block:  Level = _record(Level)

    #: Row, position in bytes, word address of the row and weight word of the first step.
    first_row:     int = _bits(12, signed=True)
    first_column:  int = _bits(17, signed=True)
    first_word:    int = _bits(16)
    first_weight:  int = _bits(16)

    #: Rows of the input, and bytes of each; what lies outside is padding.
    height:        int = _bits(11)
    row_bytes:     int = _bits(17)
    padding:       int = _bits(8, signed=True)

    unit:          int = _bits(3)
    #: Unit DEPTHWISE: a step reads no window, but ``tap_columns`` neighbouring words (see
    #: :class:`popmac.arch.ArchConfig`) of each of two rows, of which the second one is so many
    #: rows and words behind the first. Steps begin on a word. The words of both rows must be in
    #: different banks: ``tap_words`` modulo 8 is between ``tap_columns`` and ``8 - tap_columns``.
    #: Column ``c`` of the array adds up byte ``c`` of word ``i`` times the weight of row ``2*i``.
    tap_rows:      int = _bits(4)
    tap_words:     int = _bits(16)
    #: Unit BINARY: windows begin on a word, and plane ``p`` reads the word that is
    #: ``p * plane_words`` behind the first, which is less than 8 (and ``plane_words`` one of
    #: :data:`popmac.arch.PLANE_WORDS`) where there are several; nothing is padded. Byte ``r`` of
    #: the word and of row ``r`` of the weight word have bits in common where these are equal; of
    #: the last step of each loop over input blocks, or of each step if ``tail_always``, only the
    #: first ``tail_bytes`` bytes count, and the others are 0.
    #:
    #: The sums of a pixel are numbers of bits in common, below ``2**16``. Those so far are doubled
    #: when the loop over kernel rows goes on, as :class:`Doubling` says, so that its iterations can
    #: be the digits of weights. Each ``2**plane_bits_log2`` planes are the bits of one pixel's
    #: activations, the highest one first: their sums are added up, doubled from one to the next.
    #: The results of pixel ``g`` of these are written ``g << plane_log2`` bytes behind those of the
    #: first; see ``bits`` for results of several bits.
    plane_words:   int = _bits(3)
    plane_log2:    int = _bits(3)
    tail_bytes:    int = _bits(6)
    tail_always:   int = _bits(1)
    doubling:      int = _bits(2)
    plane_bits_log2:  int = _bits(2)
    result_bits_log2: int = _bits(2)
    #: Unit PRODUCT: zero point of the second operand.
    second_zero_point: int = _bits(8, signed=True)

    #: Row of program memory with the parameters of the first output-channel block.
    parameters:    int = _bits(12)
    #: All output-channel blocks use the parameters of the first one.
    shared:        int = _bits(1)

    zero_point:    int = _bits(8, signed=True)
    low:           int = _bits(8, signed=True)
    high:          int = _bits(8, signed=True)

    #: Byte address of the first result, and what is added after each pixel, by the level of the
    #: loop that goes on. Wraps.
    first_output:  int = _bits(18)
    after_column:  int = _bits(18)
    after_row:     int = _bits(18)
    after_block:   int = _bits(18)
    #: Results per pixel are written in groups of this many channels: a power of two, as log2.
    #: Fewer than ``lanes``: only so many of the first phase of each plane; otherwise ``lanes`` in
    #: each phase, as long as there are channels.
    channels_log2: int = _bits(3)
    #: Results are bits: the lowest of each, up to eight channels of a block in a byte, the first
    #: one lowest. Unit BINARY: the lowest ``2**result_bits_log2`` bits, no more than activations
    #: have; bit ``b`` of these, counted from the highest one, is written ``b`` words behind the
    #: first.
    bits:          int = _bits(1)
    #: Index of the last phase, over all planes: phases - 1.
    last_phase:    int = _bits(4)
    #: Each result ``y`` is replaced by entry ``y + 128`` of this table, if ``use_table``.
    table:         int = _bits(3)
    use_table:     int = _bits(1)

    @property
    def levels(self):
        """Loops, innermost first."""
        return tuple(getattr(self, name) for name in LEVELS)


@dataclass(frozen=True, kw_only=True)
class ChannelParameters(Record):
    """How the sums of one output channel become its results.

    ``acc = sum + bias`` (wraps at 28 bits);
    ``y = clamp((acc * multiplier + (offset_negative if acc < 0 else offset_positive)) >> shift)``
    where ``clamp(v)`` is ``min(max(v + zero_point, low), high)`` with the layer's values, and
    ``>>`` rounds down.
    """
    multiplier:      int = _bits(25)
    shift:           int = _bits(6)
    bias:            int = _bits(28, signed=True)
    offset_positive: int = _bits(42, signed=True)
    offset_negative: int = _bits(42, signed=True)
    reserved:        int = _bits(1)


@dataclass(frozen=True, kw_only=True)
class PairParameters(Record):
    """How the two operands of an element-wise operation become its results.

    ``y = clamp((first * multiplier + second * second_multiplier + offset) >> shift)``
    """
    multiplier:        int = _bits(25)
    shift:             int = _bits(6)
    second_multiplier: int = _bits(25)
    gap:               int = _bits(3)
    offset:            int = _bits(42, signed=True)
    reserved:          int = _bits(43)


@dataclass(frozen=True, kw_only=True)
class LayerCounters(Record):
    """What the device counted in one layer, in cycles of its clock.

    ``cycles`` runs from the end of the layer before, or from the run command, to the last result
    written. It is the sum of all others.
    """
    cycles:       int = _bits(32)
    #: Steps issued.
    steps:        int = _bits(32)
    #: Not issued because the results of the pixel before were still waiting for the lanes.
    requantise:   int = _bits(32)
    #: Not issued because the parameters of the block were not there yet.
    parameters:   int = _bits(32)
    #: Not issued because the weight word was not there yet.
    weights:      int = _bits(32)
    #: Not issued because the host read activation memory.
    link:         int = _bits(32)
    #: Nothing to issue: descriptor fetched, results of the layer still on their way.
    layer_change: int = _bits(32)


assert Layer.width() <= COUNTER_ROW * ROW_BITS
assert 2 * ChannelParameters.width() == 2 * PairParameters.width() == ROW_BITS
assert LayerCounters.width() <= ROW_BITS
