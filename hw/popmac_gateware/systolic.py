"""The systolic array with the weight banks beside its cells."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac.arch import ACCUMULATOR_BITS

from .activation_memory import planes_layout, taps_layout
from .binary_foot import MAX_PLANE_BITS_LOG2, BinaryFoot
from .pipeline import delay, hop
from .primitives.multiplier import Multiplier
from .tile import Tile, weight_write_layout
from .weight_bank import weight_address_layout


__all__ = ["SystolicArray", "step_layout", "sum_width"]


def step_layout(arch):
    """What enters the array in one cycle."""
    return data.StructLayout({
        "window": data.ArrayLayout(signed(8), arch.rows),
        "taps":   taps_layout(arch), # 0, or activations of each column, one word per row pair
        "planes": planes_layout(arch), # activations of the binary engine, as its cells want them
        "valid":  1, # accumulate
        "first":  1, # instead of adding to them, replace the accumulators
        "double": 1, # add to twice what the binary engine's accumulators have
        "last":   1, # the binary engine's accumulators are complete with this step
    })


def sum_width(arch):
    """Bits of the sum of one column plus the sum of ``w0*w1``, which the cells leave in."""
    return (arch.rows * 3 * 2**13 - 1).bit_length() + 1


class SystolicArray(wiring.Component):
    """``rows`` x ``columns`` multiply-accumulates per cycle, each cycle with a new weight word.

    ::

                       window 0 1      address
                            |            |
              a0*a1 <-- (0,0) tile --> (0,1) tile --> ...      activations, addresses, writes
                |           |            |                     hop east and south,
              a2*a3 <-- (1,0) tile --> (1,1) tile --> ...      partial sums go south
                |           |            |
               sum -->     foot -->     foot -->  ...          subtract, accumulate
                            |            |
                         sums 0 1     sums 2 3

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    address : ``In(weight_address_layout(arch))``
        Weight word of the step that enters :attr:`ADDRESS_LEAD` cycles later.
    step : ``In(step_layout(arch))``
    sums : ``Out(ArrayLayout(signed(ACCUMULATOR_BITS), columns))``
        Accumulators: the sum of ``(a0 + w1)*(a1 + w0) - a0*a1`` over row pairs and steps since
        the last ``first``, wrapped. Where there are taps, ``a0`` is the window's or the tap's,
        whichever is not 0, and ``a1`` must be 0.
    binary : ``In(1)``
        The sums are those of the binary engine: numbers of equal bits, those of plane ``p`` for
        ``phases`` cycles, :attr:`binary_latency` ``+ p * phases`` cycles after the last step.
        Constant during a layer.
    clear : ``In(1)``
        Begin a layer; nothing of another one is under way.
    plane_bits_log2 : ``In(range(MAX_PLANE_BITS_LOG2 + 1))``
        See :class:`BinaryFoot`.
    write : ``In(weight_write_layout(arch))``
        Writes to weight memory; may be made at any time, in any number.

    Timing
    ------
    A step shows in the sums of column ``c`` :attr:`latency` ``+ c // 2`` cycles after it entered;
    in those of the binary engine it does so earlier.
    A write has taken effect after ``rows // 2 + columns // 2 + 1`` cycles.
    """

    ADDRESS_LEAD = Tile.ADDRESS_LEAD

    def __init__(self, arch):
        self.arch    = arch
        self.latency = arch.rows // 2 + Tile.PSUM_DELAY + 2
        self.binary_latency = arch.rows // 2 + Tile.COUNT_DELAY + 1
        super().__init__({
            "address": In(weight_address_layout(arch)),
            "step":    In(step_layout(arch)),
            "binary":  In(1),
            "clear":   In(1),
            "plane_bits_log2": In(range(MAX_PLANE_BITS_LOG2 + 1)),
            "sums":    Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), arch.columns)),
            "write":   In(weight_write_layout(arch)),
        })

    def elaborate(self, platform):
        m = Module()

        row_pairs    = self.arch.rows // 2
        column_pairs = self.arch.columns // 2
        width        = sum_width(self.arch)

        # Each row pair runs one cycle behind the one above it.
        tiles = {}
        for j in range(row_pairs):
            pair = Signal(data.ArrayLayout(signed(8), 2), name=f"pair_{j}")
            m.d.comb += [pair[i].eq(self.step.window[2*j + i]) for i in range(2)]
            activations = delay(m, pair, j, name=f"skewed_{j}")
            taps        = None
            if j < len(self.step.taps):
                taps = delay(m, self.step.taps[j].as_value(), j, name=f"skewed_taps_{j}")

            planes = Signal(data.ArrayLayout(16, self.arch.planes), name=f"planes_{j}")
            m.d.comb += [planes[p].eq(self.step.planes[p].word_select(j, 16))
                         for p in range(self.arch.planes)]
            planes = delay(m, planes, j, name=f"skewed_planes_{j}")

            for k in range(column_pairs):
                m.submodules[f"tile_{j}_{k}"] = tiles[j, k] = tile = \
                    Tile(self.arch, row_pair=j, column_pair=k, psum_width=width,
                         has_taps=taps is not None and len(taps) > 0)
                west = tiles.get((j, k - 1))
                edge = west or tiles.get((j - 1, k)) # the western edge is fed from the north
                m.d.comb += [
                    tile.i_activations.eq(west.o_activations if west else activations),
                    tile.i_planes.eq(west.o_planes if west else planes),
                    tile.i_address.eq(edge.o_address if edge else self.address),
                    tile.i_write.eq(edge.o_write if edge else self.write),
                    tile.i_binary.eq(edge.o_binary if edge else self.binary),
                ]
                if tile.has_taps: # each tile takes its bytes, and passes on the others
                    m.d.comb += tile.i_taps.eq(taps[:16])
                    taps = hop(m, taps[16:], name=f"taps_{j}_{k}")
                if j > 0:
                    m.d.comb += [
                        tile.i_psums.eq(tiles[j - 1, k].o_psums),
                        tile.i_counts.eq(tiles[j - 1, k].o_counts),
                    ]

        # The term that all columns have in common, one cycle ahead of the partial sums.
        correction = Const(0, signed(width))
        for j in range(row_pairs):
            m.submodules[f"square_{j}"] = square = Multiplier(8, 8)
            m.d.comb += [
                square.a.eq(tiles[j, 0].o_activations[0]),
                square.b.eq(tiles[j, 0].o_activations[1]),
            ]
            following = Signal(signed(width), name=f"correction_{j}", reset_less=True)
            m.d.sync += following.eq(correction + square.product)
            correction = following

        # The binary engine is ahead of the multipliers.
        valid, first, double, last = (
            delay(m, flag, self.binary_latency - 2, name=name) for name, flag in [
                ("valid", self.step.valid), ("first", self.step.first),
                ("double", self.step.double), ("last", self.step.last & self.step.valid)])
        clear  = self.clear
        behind = self.latency - self.binary_latency
        valid  = Mux(self.binary, valid, delay(m, valid, behind, name="valid_array"))
        first  = Mux(self.binary, first, delay(m, first, behind, name="first_array"))
        bits  = self.plane_bits_log2
        binary = self.binary
        for k in range(column_pairs):
            correction = hop(m, correction, name=f"correction_foot_{k}")
            valid      = hop(m, valid, name=f"valid_foot_{k}")
            first      = hop(m, first, name=f"first_foot_{k}")
            double     = hop(m, double, name=f"double_foot_{k}")
            clear      = hop(m, clear, name=f"clear_foot_{k}")
            last       = hop(m, last, name=f"last_foot_{k}")
            bits       = hop(m, bits, name=f"plane_bits_log2_foot_{k}")
            binary     = hop(m, binary, name=f"binary_foot_{k}")
            for i in range(2):
                column      = 2*k + i
                difference  = Signal(signed(width), name=f"difference_{column}", reset_less=True)
                accumulator = Signal(signed(ACCUMULATOR_BITS), name=f"accumulator_{column}",
                                     reset_less=True)
                m.d.sync += difference.eq(tiles[row_pairs - 1, k].o_psums[i] - correction)
                with m.If(valid):
                    m.d.sync += accumulator.eq(Mux(first, 0, accumulator) + difference)
                m.d.comb += self.sums[column].eq(accumulator)
                if not self.arch.planes:
                    continue
                m.submodules[f"binary_foot_{column}"] = foot = BinaryFoot(self.arch)
                m.d.comb += [
                    foot.counts.eq(tiles[row_pairs - 1, k].o_counts[i]),
                    foot.clear.eq(clear),
                    foot.valid.eq(valid),
                    foot.double.eq(double),
                    foot.last.eq(last),
                    foot.plane_bits_log2.eq(bits),
                ]
                with m.If(binary):
                    m.d.comb += self.sums[column].eq(foot.sum)
        return m
