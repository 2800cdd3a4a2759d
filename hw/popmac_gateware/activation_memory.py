"""Activation memory: banks of words, read at any byte."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac.arch import BANKS, PLANE_WORDS

from .binary_cell import BITS, STORED_INVERTED
from .pipeline import delay, hop
from .primitives.block_ram import BlockRam


__all__ = ["ActivationMemory", "activation_write_layout", "planes_layout", "taps_layout",
           "window_request_layout"]


_BANK_BITS = exact_log2(BANKS)
_GROUP     = 4 # bytes of a word that have copies of their own of what is done with them


def activation_write_layout(arch):
    """A write of some of the bytes of a word."""
    return data.StructLayout({
        "valid": 1,
        "word":  range(arch.activation_words),
        "mask":  arch.word_bytes, # bytes to write
        "data":  data.ArrayLayout(signed(8), arch.word_bytes),
    })


def taps_layout(arch):
    """Words of a step of a depthwise layer: neighbours in each of two rows."""
    return data.ArrayLayout(data.ArrayLayout(signed(8), arch.rows), 2 * arch.tap_columns)


def planes_layout(arch):
    """Words of a step of the binary engine, one per plane."""
    return data.ArrayLayout(8 * arch.rows, arch.planes)


def window_request_layout(arch):
    """A window of ``rows`` bytes that begins at any byte; what is outside its limits is padding.

    Or the words of a step of a depthwise layer.
    """
    return data.StructLayout({
        "taps":   1, # words of two rows, which begin with ``word`` and ``second``
        "second": range(arch.activation_words),
        "inside": 2 * arch.tap_columns, # words inside of the input
        "word":   range(arch.activation_words),
        "offset": range(arch.word_bytes),
        "begin":  range(arch.word_bytes + 1), # first byte of the window inside of the input
        "end":    range(arch.word_bytes + 1), # the byte behind the last one inside of the input
    })


class ActivationMemory(wiring.Component):
    """Eight banks of words, of which eight neighbouring words are read at once.

    Word ``n`` is in bank ``n % 8``. One rotator brings the words in order, for all that is made of
    them. A window takes its bytes from the word that it begins in and from the word behind it;
    another rotator brings the first byte to the first lane.

    A step of a depthwise layer takes ``tap_columns`` neighbouring words of each of two rows, which
    must be in different banks.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    write : ``In(activation_write_layout(arch))``
    request : ``In(window_request_layout(arch))``
    padding : ``In(signed(8))``
        Constant during a layer.
    plane_words : ``In(3)``
        Words from the word of a plane to that of the next, one of :data:`PLANE_WORDS`; constant
        during a layer. Those planes are of use whose word is less than eight words behind the
        first.
    plane_bytes : ``In(rows)``
        Bytes of the words of planes to take, a cycle before these; the others are 0. Where windows
        or taps are wanted, all must be 0.
    window : ``Out(ArrayLayout(signed(8), rows))``
    taps : ``Out(taps_layout(arch))``
        Words that are not inside of the input are 0.
    outside : ``Out(2 * tap_columns)``
        Words of taps that are not inside, for which padding is due.
    planes : ``Out(planes_layout(arch))``
        As :class:`BinaryCell` wants them.

    Timing
    ------
    ``window`` follows ``request`` by :attr:`latency` cycles, ``taps``, ``outside`` and ``planes``
    by :attr:`words_latency`, which is less; one window per cycle. A request sees what was written
    :attr:`WRITE_TO_REQUEST` cycles before it or earlier, and must not ask for what is written in
    the cycle after that.
    """

    WRITE_TO_REQUEST = 0

    def __init__(self, arch):
        self.arch    = arch
        self.stages  = -(-exact_log2(arch.rows) // 2) # of the rotator, two bits each
        self.words_latency = 2 + BlockRam.LATENCY + 2
        self.latency       = self.words_latency + self.stages
        super().__init__({
            "write":   In(activation_write_layout(arch)),
            "request": In(window_request_layout(arch)),
            "padding": In(signed(8)),
            "plane_words": In(_BANK_BITS),
            "plane_bytes": In(arch.rows),
            "planes":  Out(planes_layout(arch)),
            "window":  Out(data.ArrayLayout(signed(8), arch.rows)),
            "taps":    Out(taps_layout(arch)),
            "outside": Out(2 * arch.tap_columns),
        })

    def elaborate(self, platform):
        m = Module()
        rows    = self.arch.rows
        columns = self.arch.tap_columns
        word    = data.ArrayLayout(unsigned(8), rows)

        # Cycle 0: which words each bank is to read, so that together they hold the eight words
        # from the requested one on, or else the words of the second row as well.
        # Cycle 1: their addresses. Writes are registered in cycle 0, next to the banks.
        bank_words = []
        first  = self.request.word
        second = self.request.second
        write  = Signal(activation_write_layout(self.arch), reset_less=True)
        m.d.sync += write.eq(self.write)
        for k in range(BANKS):
            base    = Signal(len(first) - _BANK_BITS, name=f"base_{k}", reset_less=True)
            behind  = Signal(name=f"behind_{k}", reset_less=True)
            address = Signal.like(base, name=f"address_{k}")
            mask    = Signal(rows, name=f"mask_{k}")
            with m.If(self.request.taps & ((k - second[:_BANK_BITS])[:_BANK_BITS] < columns)):
                m.d.sync += [
                    base.eq(second[_BANK_BITS:]),
                    behind.eq(k < second[:_BANK_BITS]),
                ]
            with m.Else():
                m.d.sync += [base.eq(first[_BANK_BITS:]), behind.eq(k < first[:_BANK_BITS])]
            m.d.sync += [
                address.eq(base + behind),
                mask.eq(Mux(self.write.valid & (self.write.word[:_BANK_BITS] == k),
                            self.write.mask, 0)),
            ]
            m.submodules[f"bank_{k}"] = bank = \
                BlockRam(width=8 * rows, depth=self.arch.activation_words // BANKS, granularity=8)
            m.d.comb += [
                bank.read_address.eq(address),
                bank.write_address.eq(write.word[_BANK_BITS:]),
                bank.write_enable.eq(mask),
                bank.write_data.eq(write.data.as_value()),
            ]
            bank_words.append(Signal(word, name=f"bank_word_{k}"))
            m.d.comb += bank_words[-1].eq(bank.read_data)

        # Cycle 4: bring the words in order. The first one is the requested word or, where that is
        # odd, the word before it: all that is needed is among eight, and only so is each bit of a
        # bank wired to four places instead of one per use.
        early = delay(m, self.request, 1 + BlockRam.LATENCY, name="early")
        words = [Signal(word, name=f"word_{i}", reset_less=True) for i in range(BANKS)]
        for i in range(BANKS):
            for group in range(0, rows, _GROUP): # each with what decides on it beside it
                part = slice(8 * group, 8 * (group + _GROUP))
                turn = hop(m, early.word[1:_BANK_BITS], name=f"turn_{i}_{group}")
                m.d.sync += words[i].as_value()[part].eq(
                    Array(bank_words[(i + 2*n) % BANKS].as_value()[part]
                          for n in range(BANKS // 2))[turn])

        # Cycle 5: select the word of each byte. What lies before the offset is from the word
        # behind the first one.
        request  = delay(m, early, 1, name="request")
        odd      = request.word[0]
        selected = Signal(word, reset_less=True)
        for i in range(rows):
            place = Signal(range(3), name=f"from_{i}", reset_less=True)
            m.d.sync += [
                place.eq(odd + (i < request.offset)),
                selected[i].eq(Array(words[n][i] for n in range(3))[place]),
            ]

        # Likewise, the words of taps and of planes, which no step takes both of. Taps of the second
        # row are so many words behind the others that no bank has two of them.
        outside = Const(STORED_INVERTED, BITS).replicate(8 * rows // BITS)
        taps    = range(2 * columns)
        planes  = range(self.arch.planes)
        behind  = (request.second - (request.word & ~1) - columns)[:_BANK_BITS]
        for i in range(max(len(taps), len(planes))):
            if i < columns:
                tap_places = [i, i + 1]
            elif i in taps:
                tap_places = [(i + n) % BANKS for n in range(BANKS - 2*columns + 2)]
            else:
                tap_places = []
            reach  = [n for n in PLANE_WORDS if n * i < BANKS] if i in planes else []
            places = sorted({*tap_places, *((n * i + odd) % BANKS for n in reach
                                            for odd in range(2))})
            where  = Signal(range(len(places)), name=f"where_{i}")
            with m.If(request.taps if tap_places else Const(0)):
                m.d.comb += where.eq(Array(places.index(place) for place in tap_places)
                                     [odd if i < columns else behind])
            with m.Else():
                # From an even word, and from an odd one. The first plane is where it is, however
                # far away the others are.
                ways = [Signal.like(where, name=f"way_{i}_{n}", init=n if i == 0 else 0,
                                    reset_less=True) for n in range(2)]
                with m.Switch(self.plane_words):
                    for n in reach if i else ():
                        with m.Case(n):
                            m.d.sync += [ways[k].eq(places.index((n * i + k) % BANKS))
                                         for k in range(2)]
                m.d.comb += where.eq(Mux(odd, ways[1], ways[0]))
            chosen = Signal(8 * rows, name=f"chosen_{i}", reset_less=True)
            for group in range(0, rows, _GROUP):
                part   = slice(8 * group, 8 * (group + _GROUP))
                amount = hop(m, where, name=f"chosen_from_{i}_{group}")
                inside = hop(m, request.taps & request.inside[i] if i in taps else Const(0),
                             name=f"tap_inside_{i}_{group}")
                taken  = Cat((inside | (self.plane_bytes[byte] if i in planes else 0)).replicate(8)
                             for byte in range(group, group + _GROUP))
                m.d.sync += chosen[part].eq(
                    Array(words[place].as_value()[part] for place in places)[amount] & taken)
            if i in taps:
                m.d.comb += self.taps[i].eq(chosen)
            if i in planes:
                m.d.comb += self.planes[i].eq(chosen ^ outside)
        m.d.comb += self.outside.eq(~delay(m, request.inside, 2, name="inside_taps"))
        request = delay(m, request, 1, name="request_selected")

        # Cycles 6 and 7: rotate by the offset, in stages; at last, pad.
        inside = Signal(rows, reset_less=True)
        m.d.sync += inside.eq(Cat((i >= request.begin) & (i < request.end) for i in range(rows)))
        inside  = delay(m, inside, self.stages - 1, name="inside")
        rotated = selected
        offset  = request.offset
        padding = hop(m, self.padding, name="padding")
        padding = [hop(m, padding, name=f"padding_{group}") for group in range(0, rows, _GROUP)]
        for stage in range(self.stages):
            following = Signal(word, name=f"rotated_{stage}", reset_less=True)
            offset    = delay(m, offset, 1, name=f"offset_{stage}") if stage else offset
            for group in range(0, rows, _GROUP): # each with an amount of its own
                amount = hop(m, offset[2*stage:2*stage + 2], name=f"amount_{stage}_{group}")
                for i in range(group, group + _GROUP):
                    byte = Array(rotated[(i + (n << 2*stage)) % rows]
                                 for n in range(1 << len(amount)))[amount]
                    if stage == self.stages - 1:
                        byte = Mux(inside[i], byte, padding[i // _GROUP])
                    m.d.sync += following[i].eq(byte)
            rotated = following
        m.d.comb += self.window.eq(rotated)
        return m
