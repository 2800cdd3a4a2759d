"""Activation memory: banks of words, read at any byte."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac.arch import BANKS

from .pipeline import delay, hop
from .primitives.block_ram import BlockRam


__all__ = ["ActivationMemory", "activation_write_layout", "window_request_layout"]


_BANK_BITS = exact_log2(BANKS)


def activation_write_layout(arch):
    """A write of some of the bytes of a word."""
    return data.StructLayout({
        "valid": 1,
        "word":  range(arch.activation_words),
        "mask":  arch.word_bytes, # bytes to write
        "data":  data.ArrayLayout(signed(8), arch.word_bytes),
    })


def window_request_layout(arch):
    """A window of ``rows`` bytes that begins at any byte; what is outside its limits is padding."""
    return data.StructLayout({
        "word":   range(arch.activation_words),
        "offset": range(arch.word_bytes),
        "begin":  range(arch.word_bytes + 1), # first byte of the window inside of the input
        "end":    range(arch.word_bytes + 1), # the byte behind the last one inside of the input
    })


class ActivationMemory(wiring.Component):
    """Eight banks of words, of which eight neighbouring words are read at once.

    Word ``n`` is in bank ``n % 8``. A window takes its bytes from the word that it begins in and
    from the word behind it; a rotator brings the first byte to the first lane.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    write : ``In(activation_write_layout(arch))``
    request : ``In(window_request_layout(arch))``
    padding : ``In(signed(8))``
        Constant during a layer.
    window : ``Out(ArrayLayout(signed(8), rows))``

    Timing
    ------
    ``window`` follows ``request`` by :attr:`latency` cycles; one window per cycle. A request sees
    what was written :attr:`WRITE_TO_REQUEST` cycles before it or earlier, and must not ask for
    what is written between that and the cycle after it.
    """

    WRITE_TO_REQUEST = 1

    def __init__(self, arch):
        self.arch    = arch
        self.stages  = -(-exact_log2(arch.rows) // 2) # of the rotator, two bits each
        self.latency = 1 + BlockRam.LATENCY + 1 + self.stages
        super().__init__({
            "write":   In(activation_write_layout(arch)),
            "request": In(window_request_layout(arch)),
            "padding": In(signed(8)),
            "window":  Out(data.ArrayLayout(signed(8), arch.rows)),
        })

    def elaborate(self, platform):
        m = Module()
        rows = self.arch.rows
        word = data.ArrayLayout(unsigned(8), rows)

        # Cycle 0: the address in each bank, so that together they hold the eight words from the
        # requested one on. Writes are registered likewise, next to the banks.
        bank_words = []
        first      = self.request.word[_BANK_BITS:]
        start      = self.request.word[:_BANK_BITS]
        write      = Signal(activation_write_layout(self.arch), reset_less=True)
        m.d.sync += write.eq(self.write)
        for k in range(BANKS):
            address = Signal(len(first), name=f"address_{k}", reset_less=True)
            mask    = Signal(rows, name=f"mask_{k}")
            m.d.sync += [
                address.eq(first + (k < start)),
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

        # Cycle 3: select the bank of each byte. What lies before the offset is from the word
        # behind the first one.
        request  = delay(m, self.request, BlockRam.LATENCY, name="request")
        banks    = [Signal(_BANK_BITS, name=f"from_{i}", reset_less=True) for i in range(rows)]
        m.d.sync += [banks[i].eq(request.word[:_BANK_BITS] + (i < request.offset))
                     for i in range(rows)]
        request  = delay(m, request, 1, name="s3_request")
        selected = Signal(word, reset_less=True)
        m.d.sync += [selected[i].eq(Array(w[i] for w in bank_words)[banks[i]])
                     for i in range(rows)]

        # Cycles 4 and 5: rotate by the offset, in stages; at last, pad.
        inside = Signal(rows, reset_less=True)
        m.d.sync += inside.eq(Cat((i >= request.begin) & (i < request.end) for i in range(rows)))
        inside  = delay(m, inside, self.stages - 1, name="inside")
        rotated = selected
        offset  = request.offset
        for stage in range(self.stages):
            following = Signal(word, name=f"rotated_{stage}", reset_less=True)
            offset    = delay(m, offset, 1, name=f"offset_{stage}") if stage else offset
            for group in range(0, rows, 4): # each with an amount of its own
                amount = hop(m, offset[2*stage:2*stage + 2], name=f"amount_{stage}_{group}")
                for i in range(group, group + 4):
                    byte = Array(rotated[(i + (n << 2*stage)) % rows]
                                 for n in range(1 << len(amount)))[amount]
                    if stage == self.stages - 1:
                        byte = Mux(inside[i], byte, self.padding)
                    m.d.sync += following[i].eq(byte)
            rotated = following
        m.d.comb += self.window.eq(rotated)
        return m
