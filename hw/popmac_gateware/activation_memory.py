"""Activation memory: banks of words, read at any byte."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac.arch import BANKS

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

    Word ``n`` is in bank ``n % 8``. A window takes its bytes from the word that it begins in and
    from the word behind it; a rotator brings the first byte to the first lane.

    A step of a depthwise layer takes ``tap_columns`` neighbouring words of each of two rows, which
    must be in different banks. Words that are not inside of the input are 0 then, and the even
    lanes of the window hold the padding that is due instead, one lane per word.

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
        Words from the word of a plane to that of the next; constant during a layer.
    plane_bytes : ``In(rows)``
        Bytes of the words of planes to take, a cycle before these; the others are 0.
    window : ``Out(ArrayLayout(signed(8), rows))``
    taps : ``Out(taps_layout(arch))``
    planes : ``Out(planes_layout(arch))``
        As :class:`BinaryCell` wants them.

    Timing
    ------
    ``window`` and ``taps`` follow ``request`` by :attr:`latency` cycles, ``planes`` by
    :attr:`planes_latency`, which is less; one window per cycle. A request sees what was written
    :attr:`WRITE_TO_REQUEST` cycles before it or earlier, and must not ask for what is written in
    the cycle after that.
    """

    WRITE_TO_REQUEST = 0

    def __init__(self, arch):
        self.arch    = arch
        self.stages  = -(-exact_log2(arch.rows) // 2) # of the rotator, two bits each
        self.latency = 2 + BlockRam.LATENCY + max(1 + self.stages, _BANK_BITS)
        self.planes_latency = 2 + BlockRam.LATENCY + 1
        super().__init__({
            "write":   In(activation_write_layout(arch)),
            "request": In(window_request_layout(arch)),
            "padding": In(signed(8)),
            "plane_words": In(_BANK_BITS),
            "plane_bytes": In(arch.rows),
            "planes":  Out(planes_layout(arch)),
            "window":  Out(data.ArrayLayout(signed(8), arch.rows)),
            "taps":    Out(taps_layout(arch)),
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

        # Cycle 4: select the bank of each byte. What lies before the offset is from the word
        # behind the first one.
        request  = delay(m, self.request, 1 + BlockRam.LATENCY, name="request")
        s3_word  = request.word[:_BANK_BITS]
        banks    = [Signal(_BANK_BITS, name=f"from_{i}", reset_less=True) for i in range(rows)]
        m.d.sync += [banks[i].eq(request.word[:_BANK_BITS] + (i < request.offset))
                     for i in range(rows)]
        early    = request
        request  = delay(m, request, 1, name="s4_request")
        selected = Signal(word, reset_less=True)
        for group in range(0, rows, _GROUP): # each with what decides on it beside it
            taps = hop(m, early.taps, name=f"taps_at_{group}")
            for i in range(group, group + _GROUP):
                byte = Array(w[i] for w in bank_words)[banks[i]]
                m.d.sync += selected[i].eq(Mux(taps, 0, byte))

        # Likewise, the words of taps: rotate the banks until the first word comes first.
        for row in range(2):
            words  = bank_words
            where  = (early.word, early.second)[row][:_BANK_BITS] # a cycle ahead of the words
            inside = Mux(early.taps, early.inside.word_select(row, columns), 0)
            for stage in reversed(range(_BANK_BITS)):
                step    = 1 << stage
                needed  = columns + step - 1 # words, for those that follow
                rotated = []
                for i in range(needed):
                    following = Signal(word, name=f"tap_{row}_{i}_{stage}", reset_less=True)
                    for group in range(0, rows, _GROUP):
                        part   = slice(8 * group, 8 * (group + _GROUP))
                        place  = f"{row}_{i}_{stage}_{group}"
                        amount = hop(m, where[stage], name=f"tap_amount_{place}")
                        moved  = Mux(amount, words[(i + step) % len(words)].as_value()[part],
                                     words[i % len(words)].as_value()[part])
                        if stage == 0:
                            moved = Mux(hop(m, inside[i], name=f"tap_inside_{place}"), moved, 0)
                        m.d.sync += following.as_value()[part].eq(moved)
                    rotated.append(following)
                words = rotated
                if stage > 0:
                    where  = delay(m, where, 1, name=f"where_{row}_{stage}")
                    inside = delay(m, inside, 1, name=f"inside_{row}_{stage}")
            spare = self.latency - (2 + BlockRam.LATENCY + _BANK_BITS)
            m.d.comb += [
                self.taps[row * columns + i].as_value().eq(
                    delay(m, words[i].as_value(), spare, name=f"taps_{row}_{i}"))
                for i in range(columns)]

        # The words of planes: each from its bank.
        for plane in range(self.arch.planes):
            where   = Signal(_BANK_BITS, name=f"plane_from_{plane}", reset_less=True)
            chosen  = Signal(8 * rows, name=f"plane_{plane}", reset_less=True)
            nothing = Const(STORED_INVERTED, BITS).replicate(8 * rows // BITS)
            apart  = delay(m, (self.plane_words * plane)[:_BANK_BITS], 1, name=f"apart_{plane}")
            m.d.sync += [
                where.eq(s3_word + apart),
                chosen.eq(Array(w.as_value() for w in bank_words)[where] ^ nothing),
            ]
            for i in range(rows):
                with m.If(~self.plane_bytes[i]):
                    m.d.sync += chosen.word_select(i, 8).eq(nothing.word_select(i, 8))
            m.d.comb += self.planes[plane].eq(chosen)

        # Cycles 5 and 6: rotate by the offset, in stages; at last, pad.
        inside = Signal(rows, reset_less=True)
        with m.If(request.taps):
            m.d.sync += inside.eq(~0)
            for word_index in range(2 * columns):
                m.d.sync += inside[2 * word_index].eq(request.inside[word_index])
        with m.Else():
            m.d.sync += inside.eq(Cat((i >= request.begin) & (i < request.end)
                                      for i in range(rows)))
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
        spare = self.latency - (2 + BlockRam.LATENCY + 1 + self.stages)
        m.d.comb += self.window.eq(delay(m, rotated, spare, name="window"))
        return m
