"""Program memory: layer descriptors, channel parameters, counters."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .pipeline import delay
from .primitives.block_ram import BlockRam


__all__ = ["ProgramMemory", "program_reply_layout", "program_write_layout"]


def program_reply_layout(clients):
    """A row that was read, and for whom."""
    return data.StructLayout({"valid": clients, "data": isa.ROW_BITS})


def program_write_layout(arch):
    """A row to write."""
    return data.StructLayout({"row": range(arch.program_rows), "data": isa.ROW_BITS})


class ProgramMemory(wiring.Component):
    """Rows of 288 bits with one read port and one write port, each shared.

    Parameters
    ----------
    arch : :class:`ArchConfig`
    readers, writers : int
        Number of clients of each port. Those with lower numbers go first.

    Members
    -------
    requests : array of ``In(stream.Signature(range(program_rows)))``
    reply : ``Out(program_reply_layout(readers))``
        :attr:`LATENCY` cycles after the transfer of a request, with the bit of the client set.
    writes : array of ``In(stream.Signature(program_write_layout(arch)))``
    """

    LATENCY = 1 + BlockRam.LATENCY + 1

    def __init__(self, arch, *, readers, writers):
        self.arch    = arch
        self.readers = readers
        self.writers = writers
        super().__init__({
            "requests": In(stream.Signature(range(arch.program_rows))).array(readers),
            "reply":    Out(program_reply_layout(readers)),
            "writes":   In(stream.Signature(program_write_layout(arch))).array(writers),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = BlockRam(width=isa.ROW_BITS, depth=self.arch.program_rows)

        granted = Signal(self.readers)
        row     = Signal(range(self.arch.program_rows), reset_less=True)
        m.d.sync += granted.eq(0)
        for client in reversed(range(self.readers)):
            request = self.requests[client]
            m.d.comb += request.ready.eq(~_any_valid(self.requests, client))
            with m.If(request.valid):
                m.d.sync += [granted.eq(1 << client), row.eq(request.payload)]
        m.d.comb += ram.read_address.eq(row)
        m.d.sync += self.reply.data.eq(ram.read_data)
        m.d.comb += self.reply.valid.eq(
            delay(m, granted, self.LATENCY - 1, name="granted"))

        write_enable = Signal()
        write        = Signal(program_write_layout(self.arch), reset_less=True)
        m.d.sync += [
            write_enable.eq(_any_valid(self.writes, self.writers)),
            write.eq(self.writes[-1].payload), # unless there is another one
        ]
        for client in reversed(range(self.writers)):
            request = self.writes[client]
            m.d.comb += request.ready.eq(~_any_valid(self.writes, client))
            if client < self.writers - 1:
                with m.If(request.valid):
                    m.d.sync += write.eq(request.payload)
        # A register more: those who write are far from each other, and nobody waits for it.
        m.d.comb += [
            ram.write_address.eq(delay(m, write.row, 1, name="write_row")),
            ram.write_data.eq(delay(m, write.data, 1, name="write_data")),
            ram.write_enable.eq(delay(m, write_enable, 1, name="write_enable")),
        ]
        return m


def _any_valid(requests, count):
    return Cat(requests[client].valid for client in range(count)).any() if count else Const(0)
