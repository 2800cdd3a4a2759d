"""Functions of one code, as tables between the requantiser and activation memory."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa
from popmac.arch import TABLE_BYTES, TABLES

from .pipeline import delay, hop
from .primitives.block_ram import BlockRam
from .records import record_layout
from .requantizer import results_layout


__all__ = ["FunctionTable", "table_choice_layout", "table_write_layout"]


def table_write_layout():
    """Two neighbouring entries of a table."""
    return data.StructLayout({
        "valid":   1,
        "address": range(TABLES * TABLE_BYTES // 2),
        "data":    16, # the first entry is the low byte
    })


def table_choice_layout():
    """The fields of a layer descriptor that choose a table."""
    layer = record_layout(isa.Layer)
    return data.StructLayout({name: layer[name].shape for name in ("table", "use_table")})


class FunctionTable(wiring.Component):
    """Replaces each result by an entry of a table, or lets it pass.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    choice : ``In(table_choice_layout())``
        Constant during a layer.
    i_results, o_results : ``results_layout(arch)``
    write : ``In(table_write_layout())``
        Not while the tables are used.

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, throughput one result per lane and cycle.
    """

    LATENCY = BlockRam.LATENCY

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "choice":    In(table_choice_layout()),
            "i_results": In(results_layout(arch)),
            "o_results": Out(results_layout(arch)),
            "write":     In(table_write_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        results = delay(m, self.i_results, self.LATENCY, name="results")
        m.d.comb += self.o_results.eq(results)
        for lane in range(self.arch.lanes):
            choice = hop(m, self.choice, name=f"choice_{lane}")
            code   = Signal(8, name=f"code_{lane}")
            m.d.comb += code.eq(self.i_results.data[lane] ^ 0x80)
            odd    = delay(m, code[0], self.LATENCY, name=f"odd_{lane}")

            m.submodules[f"table_{lane}"] = table = \
                BlockRam(width=16, depth=TABLES * TABLE_BYTES // 2)
            write = hop(m, self.write, name=f"write_{lane}")
            m.d.comb += [
                table.read_address.eq(Cat(code[1:], choice.table)),
                table.write_address.eq(write.address),
                table.write_enable.eq(write.valid),
                table.write_data.eq(write.data),
            ]
            with m.If(choice.use_table):
                m.d.comb += self.o_results.data[lane].eq(table.read_data.word_select(odd, 8))
        return m
