"""Large memory with one port."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .ice40 import is_ice40, sb_spram256ka
from .simulated import is_simulated, single_port_ram


__all__ = ["SinglePortRam"]


_BLOCK_DEPTH = 2**14
_BLOCK_WIDTH = 16


class SinglePortRam(wiring.Component):
    """Memory that is read or written in a cycle, whose bytes are written one by one.

    Parameters
    ----------
    width : int
        Bits per word; a multiple of 16.
    depth : int
        Words: a power of two, at most 16,384.

    Members
    -------
    address : ``In(exact_log2(depth))``
    write_enable : ``In(width // 8)``
    write_data : ``In(width)``
    read_data : ``Out(width)``

    Timing
    ------
    ``read_data`` is what was stored at the ``address`` of the cycle before. It is not defined
    where that was a cycle of a write, nor is what was never written.

    Raises
    ------
    ValueError
        If the blocks do not have such words.
    """

    def __init__(self, *, width, depth):
        if width % _BLOCK_WIDTH or width < _BLOCK_WIDTH:
            raise ValueError(f"width must be a multiple of {_BLOCK_WIDTH}, not {width!r}")
        if not 2 <= depth <= _BLOCK_DEPTH or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two up to {_BLOCK_DEPTH}, not {depth!r}")
        self.width = width
        self.depth = depth
        super().__init__({
            "address":      In(exact_log2(depth)),
            "write_enable": In(width // 8),
            "write_data":   In(width),
            "read_data":    Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        if is_ice40(platform):
            address = Signal(14)
            m.d.comb += address.eq(self.address)
            for i in range(self.width // _BLOCK_WIDTH):
                part = slice(_BLOCK_WIDTH * i, _BLOCK_WIDTH * (i + 1))
                m.submodules[f"block_{i}"] = sb_spram256ka(
                    address=address, write_enable=self.write_enable[2*i:2*i + 2],
                    write_data=self.write_data[part], read_data=self.read_data[part])
        elif is_simulated(platform):
            m.submodules.block = single_port_ram(
                depth=self.depth, address=self.address, write_enable=self.write_enable,
                write_data=self.write_data, read_data=self.read_data)
        else:
            m.submodules.mem = mem = memory.Memory(shape=unsigned(self.width), depth=self.depth,
                                                   init=[])
            read, write = mem.read_port(), mem.write_port(granularity=8)
            m.d.comb += [
                read.addr.eq(self.address),
                read.en.eq(~self.write_enable.any()),
                self.read_data.eq(read.data),
                write.addr.eq(self.address),
                write.data.eq(self.write_data),
                write.en.eq(self.write_enable),
            ]
        return m
