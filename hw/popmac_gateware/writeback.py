"""Where the results of a layer go."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa

from .activation_memory import activation_write_layout
from .binary_foot import plane_bits_log2
from .pipeline import delay
from .records import record_layout
from .requantizer import results_layout


__all__ = ["Writeback", "output_layout"]


def output_layout():
    """The fields of a layer descriptor that say where its results go."""
    layer = record_layout(isa.Layer)
    return data.StructLayout({name: layer[name].shape for name in (
        "first_output", "after_column", "after_row", "after_block", "channels_log2", "bits",
        "plane_log2", "plane_bits_log2", "result_bits_log2")})


class Writeback(wiring.Component):
    """Writes results to activation memory, pixel by pixel.

    Where several planes of the binary engine are the bits of one pixel's activations, the results
    in the phases of the first one are those of the pixel. Those in the phases of the others are
    replaced by its further bits, or are none.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    begin : ``In(1)``
        Begin a layer: take ``output.first_output``. At least a cycle before its first result.
    output : ``In(output_layout())``
        Constant during a layer.
    results : ``In(results_layout(arch))``
    write : ``Out(activation_write_layout(arch))``
        To activation memory, :attr:`LATENCY` cycles later.
    """

    LATENCY = 2

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "begin":    In(1),
            "output":   In(output_layout()),
            "results":  In(results_layout(arch)),
            "write":    Out(activation_write_layout(arch)),
        })

    def elaborate(self, platform):
        m = Module()
        arch      = self.arch
        lanes     = arch.lanes
        byte_bits = exact_log2(arch.word_bytes)
        lane_bits = exact_log2(lanes)

        # Cycle 0: the address of this pixel, and that of the next.
        address = Signal(exact_log2(arch.activation_bytes), reset_less=True)
        tag     = self.results.tag
        with m.If(self.begin):
            m.d.sync += address.eq(self.output.first_output)
        with m.Elif(self.results.valid & self.results.last):
            m.d.sync += address.eq(address + Mux(tag.column, self.output.after_column,
                                                 Mux(tag.row, self.output.after_row,
                                                     self.output.after_block)))

        s1_results = Signal(results_layout(arch))
        s1_address = Signal.like(address, reset_less=True)
        phase_bits = exact_log2(arch.phases)
        phase      = self.results.phase[:phase_bits]
        plane      = self.results.phase[phase_bits:]

        # Which pixel of the group this is, and which bit of it, counted from the highest one.
        most  = plane_bits_log2(arch)
        pixel = Signal(range(max(arch.planes, 1)))
        bit   = Signal(most)
        with m.Switch(self.output.plane_bits_log2):
            for bits_log2 in range(most + 1):
                with m.Case(bits_log2):
                    m.d.comb += [pixel.eq(plane >> bits_log2), bit.eq(plane[:bits_log2])]
        m.d.sync += [
            s1_results.eq(self.results),
            s1_address.eq(address + ((pixel << self.output.plane_log2) | (bit << byte_bits))
                          + Mux(self.output.bits, phase >> exact_log2(arch.phases_per_byte),
                                phase << lane_bits)),
        ]

        # The bit of each lane that is due is the highest one of what is left of its result.
        left    = Signal(data.ArrayLayout(1 << most, lanes))
        kept    = Signal(data.ArrayLayout((1 << most) - 1, lanes))
        for i in range(lanes):
            m.d.comb += left[i].eq(kept[i] << 1)
            with m.If(bit == 0):
                with m.Switch(self.output.result_bits_log2):
                    for bits_log2 in range(most + 1):
                        with m.Case(bits_log2):
                            m.d.comb += left[i].eq(
                                self.results.data[i] << (1 << most) - (1 << bits_log2))
        m.d.comb += kept.eq(delay(m, Cat(value[:-1] for value in left), arch.phases, name="kept"))

        # Bits fill a byte in one phase or in several, and go with the last of these.
        earlier = Signal(lanes * (arch.phases_per_byte - 1), reset_less=True)
        byte    = Cat(earlier, (value[-1] for value in left))
        m.d.sync += earlier.eq(byte[lanes:])
        with m.If(~self.output.bits):
            with m.If(bit != 0):
                m.d.sync += s1_results.valid.eq(0)
            # Phases of a plane behind its last channel have nothing to write.
            for p in range(1, arch.phases):
                least = (p * lanes).bit_length()
                with m.If((phase == p) & (self.output.channels_log2 < least)):
                    m.d.sync += s1_results.valid.eq(0)
        with m.Else():
            m.d.sync += [
                s1_results.data[0].eq(byte),
                s1_results.valid.eq(self.results.valid & (
                    phase[:exact_log2(arch.phases_per_byte)] == arch.phases_per_byte - 1)
                    & (bit >> self.output.result_bits_log2 == 0)),
            ]

        # Cycle 1: repeat the group of channels through the word, and enable one place of it.
        place = s1_address[:byte_bits]
        m.d.sync += [
            self.write.word.eq(s1_address[byte_bits:]),
            self.write.valid.eq(s1_results.valid),
        ]
        for log2 in range(lane_bits + 1):
            group = 1 << log2
            if log2 == lane_bits:
                chosen = self.output.channels_log2 >= log2
            else:
                chosen = self.output.channels_log2 == log2
            with m.If(chosen):
                for i in range(arch.word_bytes):
                    m.d.sync += [
                        self.write.data[i].eq(s1_results.data[i % group]),
                        self.write.mask[i].eq(place[log2:] == i >> log2),
                    ]
        return m
