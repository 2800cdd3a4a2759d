"""A tile of the systolic array: two rows by two columns with their weights."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .binary_cell import BITS, BinaryCell, count_width
from .pe import PAIR, ProcessingElement
from .pipeline import hop
from .primitives.simulated import is_simulated
from .weight_bank import WeightBank, weight_address_layout


__all__ = ["Tile", "weight_write_layout"]


def weight_write_layout(arch):
    """One write to weight memory, on its way to the bank that it is for."""
    return data.StructLayout({
        "valid":       1,
        "row":         range(arch.rows),
        "column_pair": range(arch.columns // 2),
        "address":     weight_address_layout(arch),
        "data":        16,
    })


class Tile(wiring.Component):
    """Two rows by two columns: four weight banks in two memories, two cells.

    Everything that enters from the west or the north is passed on one cycle later, so that all
    wires are local.

    Parameters
    ----------
    arch : :class:`ArchConfig`
    row_pair, column_pair : int
        Place in the array; decides which writes are for this tile.
    psum_width : int
    has_taps : bool
        The row pair takes a word of depthwise layers.

    Members
    -------
    i_address, o_address : ``weight_address_layout(arch)``
        Weight word to use, :attr:`ADDRESS_LEAD` cycles before the activations.
    i_write, o_write : ``weight_write_layout(arch)``
    i_activations, o_activations : ``PAIR``
    i_taps : ``In(PAIR)``
        One activation for the upper row of each column, where ``has_taps``. Either these or the
        activations are 0.
    i_psums, o_psums : ``ArrayLayout(signed(psum_width), 2)``
        ``i_psums`` is added :attr:`PSUM_DELAY` cycles after its activations entered.
    i_binary, o_binary : 1
        The cells of the binary engine, if there are any, are needed. Otherwise they stand still in
        the simulated board, which saves its time; on a chip, so many enables would take wires that
        are scarce. Constant during a layer.
    i_planes, o_planes : ``ArrayLayout(16, planes)``
        Activations of the binary engine.
    i_counts, o_counts : ``ArrayLayout(ArrayLayout(count_width(arch), planes), 2)``
        ``i_counts`` is added :attr:`COUNT_DELAY` cycles after its activations entered.
    """

    ADDRESS_LEAD = WeightBank.LATENCY
    PSUM_DELAY   = 1 + ProcessingElement.PSUM_DELAY
    COUNT_DELAY  = 1 + BinaryCell.PSUM_DELAY

    def __init__(self, arch, *, row_pair, column_pair, psum_width, has_taps):
        self.arch        = arch
        self.row_pair    = row_pair
        self.column_pair = column_pair
        self.psum_width  = psum_width
        self.has_taps    = has_taps
        counts = data.ArrayLayout(data.ArrayLayout(count_width(arch), arch.planes), 2)
        planes = data.ArrayLayout(BITS, arch.planes)
        super().__init__({
            "i_binary":      In(1),
            "o_binary":      Out(1),
            "i_planes":      In(planes),
            "o_planes":      Out(planes),
            "i_counts":      In(counts),
            "o_counts":      Out(counts),
            "i_address":     In(weight_address_layout(arch)),
            "o_address":     Out(weight_address_layout(arch)),
            "i_write":       In(weight_write_layout(arch)),
            "o_write":       Out(weight_write_layout(arch)),
            "i_activations": In(PAIR),
            "o_activations": Out(PAIR),
            "i_taps":        In(PAIR),
            "i_psums":       In(data.ArrayLayout(signed(psum_width), 2)),
            "o_psums":       Out(data.ArrayLayout(signed(psum_width), 2)),
        })

    def elaborate(self, platform):
        m = Module()

        address     = hop(m, self.i_address, name="address")
        write       = hop(m, self.i_write, name="write")
        activations = hop(m, self.i_activations, name="activations")
        m.d.comb += [
            self.o_address.eq(address),
            self.o_write.eq(write),
            self.o_activations.eq(activations),
        ]

        # Follows the address at the pace of the memories.
        use_tail = address.tail
        for cycle in range(WeightBank.LATENCY):
            use_tail = hop(m, use_tail, name=f"use_tail_{cycle}")

        # Whether a write is for one of the banks is known when it is here.
        here  = self.i_write.valid & (self.i_write.column_pair == self.column_pair)
        banks = []
        for i in range(2):
            m.submodules[f"bank_{i}"] = bank = WeightBank(self.arch)
            write_enable = Signal(name=f"write_enable_{i}")
            m.d.sync += write_enable.eq(here & (self.i_write.row == 2*self.row_pair + i))
            m.d.comb += [
                bank.read_address.eq(address),
                bank.write_address.eq(write.address),
                bank.write_data.eq(write.data),
                bank.write_enable.eq(write_enable),
            ]
            banks.append(bank)

        for column in range(2):
            m.submodules[f"pe_{column}"] = pe = ProcessingElement(psum_width=self.psum_width)
            upper = activations[0]
            if self.has_taps:
                upper = hop(m, (self.i_activations[0] | self.i_taps[column])[:8],
                            name=f"upper_{column}")
            m.d.comb += [
                pe.activations[0].eq(upper),
                pe.activations[1].eq(activations[1]),
                pe.use_tail.eq(use_tail),
                pe.i_psum.eq(self.i_psums[column]),
                self.o_psums[column].eq(pe.o_psum),
            ]
            for i in range(2):
                m.d.comb += [
                    pe.weights[i].eq(banks[i].block_data.word_select(column, 8)),
                    pe.tail_weights[i].eq(banks[i].tail_data.word_select(column, 8)),
                ]

        if self.arch.planes:
            planes = hop(m, self.i_planes, name="planes")
            m.d.comb += self.o_planes.eq(planes)
            if is_simulated(platform):
                binary = hop(m, self.i_binary, name="binary")
                m.d.comb += self.o_binary.eq(binary)
            for column in range(2):
                cell = BinaryCell(self.arch, row_pair=self.row_pair)
                m.submodules[f"binary_{column}"] = \
                    EnableInserter(binary)(cell) if is_simulated(platform) else cell
                m.d.comb += [
                    cell.activations.eq(planes),
                    cell.weights.eq(Cat(bank.block_data.word_select(column, 8) for bank in banks)),
                    cell.i_psums.eq(self.i_counts[column]),
                    self.o_counts[column].eq(cell.o_psums),
                ]
        return m
