"""Block RAM with one write port and one read port."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..pipeline import delay, hop
from .ecp5 import dp16kd, is_ecp5
from .simulated import block_ram, is_simulated


__all__ = ["BlockRam"]


class BlockRam(wiring.Component):
    """Memory with one write port and one read port, and a register behind the read port.

    Parameters
    ----------
    width : int
        Bits per word.
    depth : int
        Words.
    granularity : int, optional
        Bits per write enable; ``width`` if left out.

    Members
    -------
    write_address, read_address : ``In(ceil_log2(depth))``
    write_enable : ``In(width // granularity)``
    write_data : ``In(width)``
    read_data : ``Out(width)``

    Timing
    ------
    ``read_data`` is what was stored at ``read_address`` two cycles earlier (:attr:`LATENCY`).
    There is no read enable. Reading a word in the cycle in which it is written is not defined.
    """

    LATENCY = 2

    def __init__(self, *, width, depth, granularity=None):
        if granularity is None:
            granularity = width
        if width % granularity:
            raise ValueError(f"Granularity must divide the width {width}, not {granularity!r}")
        self.width       = width
        self.depth       = depth
        self.granularity = granularity
        super().__init__({
            "write_address": In(ceil_log2(depth)),
            "write_enable":  In(width // granularity),
            "write_data":    In(width),
            "read_address":  In(ceil_log2(depth)),
            "read_data":     Out(width),
        })

    def elaborate(self, platform):
        if is_ecp5(platform):
            return self._elaborate_ecp5()

        m = Module()
        if is_simulated(platform):
            m.submodules.block = block_ram(
                depth=self.depth, write_address=self.write_address,
                write_enable=self.write_enable, write_data=self.write_data,
                read_address=self.read_address, read_data=self.read_data)
            return m

        m.submodules.mem = mem = memory.Memory(shape=unsigned(self.width), depth=self.depth,
                                               init=[])
        read  = mem.read_port()
        write = mem.write_port(granularity=self.granularity)
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
            read.addr.eq(self.read_address),
            read.en.eq(1),
        ]
        output = Signal(self.width, reset_less=True)
        m.d.sync += output.eq(read.data)
        m.d.comb += self.read_data.eq(output)
        return m

    def _elaborate_ecp5(self):
        m = Module()
        block_width = {9: 36, 10: 18, 11: 9}[min(max(ceil_log2(self.depth), 9), 11)]
        if self.depth % 512 == 0 and self.depth & (self.depth - 1):
            block_width = 36 # not a power of two: in segments of 512 words
        block_depth = 18 * 1024 // block_width
        bits        = ceil_log2(block_depth)
        # A block has one write enable per 9 bits; of these, 8 are used where bytes are written.
        lane        = 8 if self.granularity == 8 else 9
        per_block   = block_width // 9 * lane
        segments    = -(-self.depth // block_depth)

        data = [Signal(self.width, name=f"data_{s}") for s in range(segments)]
        if segments == 1:
            m.d.comb += self.read_data.eq(data[0])
        else:
            segment = delay(m, self.read_address[bits:], self.LATENCY - 1, name="segment")
            for low in range(0, self.width, per_block): # a select for each column of blocks
                column = slice(low, min(low + per_block, self.width))
                select = hop(m, segment, name=f"select_{low}")
                m.d.comb += self.read_data[column].eq(Array(d[column] for d in data)[select])

        for s in range(segments):
            for low in range(0, self.width, per_block):
                written    = Signal(block_width, name=f"written_{s}_{low}")
                read       = Signal(block_width, name=f"read_{s}_{low}")
                mask       = Signal(block_width // 9, name=f"mask_{s}_{low}")
                for i in range(block_width // 9):
                    first = low + i * lane
                    width = min(lane, self.width - first)
                    if width <= 0:
                        continue
                    m.d.comb += [
                        written[9*i:9*i + width].eq(self.write_data[first:first + width]),
                        data[s][first:first + width].eq(read[9*i:9*i + width]),
                        mask[i].eq(self.write_enable[first // self.granularity]),
                    ]
                    assert first // self.granularity == (first + width - 1) // self.granularity
                here = self.write_address[bits:] == s if segments > 1 else 1
                m.submodules[f"block_{s}_{low}"] = dp16kd(width=block_width,
                    write_address=self.write_address[:bits], write_enable=mask.any() & here,
                    write_mask=mask, write_data=written,
                    read_address=self.read_address[:bits], read_data=read)
        return m
