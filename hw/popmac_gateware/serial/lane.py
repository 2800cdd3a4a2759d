"""From sums to results with multipliers of 16 x 16 bits."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa
from popmac.arch import ACCUMULATOR_BITS

from ..pipeline import delay
from ..primitives.small_multiplier import WordMultiplier
from ..records import record_layout
from ..requantize_lane import PARAMETERS
from ..saturating_shift import CLAMP, exceeds


__all__ = ["SliceRequantizer", "SLICE_BITS", "SLICES"]


#: Parameters are written in slices of this many bits.
SLICE_BITS = 16
SLICES     = isa.ChannelParameters.width() // SLICE_BITS

_CHANNELS = 4
_LOW      = 15 # bits of the lower part of a sum, and of a multiplier


class SliceRequantizer(wiring.Component):
    """Multiply, shift, round, saturate: one result per cycle, of four channels.

    ``acc = sum + bias``,
    ``y = clamp((acc * multiplier + (offset_negative if acc < 0 else offset_positive)) >> shift)``;
    see :class:`popmac.isa.ChannelParameters`. The product is that of two halves of each factor, so
    that signed multipliers of 16 bits suffice.

    The parameters are in block RAM, a block for each 16 bits of them. Fields that are needed later
    are read later: a block's address lags behind by as many cycles.

    Members
    -------
    channel : ``In(range(4))``
        Whose sum follows in the next cycle.
    sum : ``In(signed(ACCUMULATOR_BITS))``
    clamp : ``In(CLAMP)``
        Constant during a layer.
    result : ``Out(signed(8))``
    write_slices : ``In(9)``
        Which slices of parameters to write.
    write_channel : ``In(range(4))``
    write_data : ``In(16)``

    Timing
    ------
    A result follows its sum by :attr:`LATENCY` cycles; throughput is one result per cycle.
    """

    LATENCY = 9

    sum:           In(signed(ACCUMULATOR_BITS))
    channel:       In(range(_CHANNELS))
    clamp:         In(CLAMP)
    result:        Out(signed(8))
    write_slices:  In(SLICES)
    write_channel: In(range(_CHANNELS))
    write_data:    In(SLICE_BITS)

    def elaborate(self, platform):
        m = Module()

        # Slice -> cycle in which its data is there.
        channels = [self.channel]
        for cycle in range(1, 4):
            channels.append(delay(m, channels[-1], 1, name=f"channel_{cycle}"))
        slices = []
        for i, cycle in enumerate((2, 1, 1, 1, 4, 4, 4, 4, 4)):
            m.submodules[f"slice_{i}"] = mem = memory.Memory(
                shape=unsigned(SLICE_BITS), depth=_CHANNELS, init=[],
                attrs={"ram_style": "block"})
            write, read = mem.write_port(), mem.read_port()
            m.d.comb += [
                write.addr.eq(self.write_channel),
                write.data.eq(self.write_data),
                write.en.eq(self.write_slices[i]),
                read.addr.eq(channels[cycle - 1]),
                read.en.eq(1),
            ]
            slices.append(read.data)

        early = Signal(record_layout(isa.ChannelParameters))
        m.d.comb += early.as_value().eq(Cat(slices))

        # Cycle 0: read the bias. Cycle 1: add it to the sum, which has come.
        s2_sum = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.sync += s2_sum.eq(self.sum + early.bias)
        s2_upper   = delay(m, early.multiplier[SLICE_BITS:], 1, name="s2_upper")
        multiplier = Cat(slices[0], s2_upper)

        # Cycles 2 and 3: multiply.
        products = {}
        halves   = {
            "sum":        (Cat(s2_sum[:_LOW], Const(0, 1)).as_signed(), s2_sum[_LOW:].as_signed()),
            "multiplier": (Cat(multiplier[:_LOW], Const(0, 1)).as_signed(),
                           Cat(multiplier[_LOW:], Const(0, 1)).as_signed()),
        }
        for i, a in enumerate(halves["sum"]):
            for j, b in enumerate(halves["multiplier"]):
                m.submodules[f"multiplier_{i}_{j}"] = block = WordMultiplier()
                m.d.comb += [block.a.eq(a), block.b.eq(b)]
                products[i, j] = block.product

        # Cycle 4: add the inner products to each other, and the offset to the outer ones.
        width       = ACCUMULATOR_BITS + len(multiplier) + 1
        negative    = delay(m, s2_sum[-1], 2, name="negative")
        # The slice in which the positive offset begins was needed earlier.
        begin    = PARAMETERS["offset_positive"].offset
        shared   = begin // SLICE_BITS
        kept     = delay(m, slices[shared], 3, name="kept")
        positive = Signal.like(early.offset_positive)
        m.d.comb += positive.eq(Cat(kept, *slices[shared + 1:])[begin % SLICE_BITS:])
        outer  = Cat(products[0, 0][:2*_LOW], products[1, 1]).as_signed()
        inner  = Signal(signed(ACCUMULATOR_BITS + 2), reset_less=True)
        s5_sum = Signal(signed(width), reset_less=True)
        m.d.sync += [
            inner.eq(products[0, 1] + products[1, 0]),
            s5_sum.eq(outer + Mux(negative, early.offset_negative, positive)),
        ]

        # Cycle 5: add them all.
        value = Signal(signed(width), name="s6_value", reset_less=True)
        m.d.sync += value.eq(s5_sum + (inner << _LOW))
        shift = delay(m, early.shift, 5, name="shift")

        # Cycles 6, 7, 8: shift by 16, by 4, by 1, and saturate so that what is left suffices.
        for cycle, step, bits in [(6, 16, 26), (7, 4, 14), (8, 1, 10)]:
            amount    = shift.bit_select(step.bit_length() - 1, 2)
            shifted   = Array((value >> n * step)[:bits] for n in range(4))[amount]
            too_large = Array(exceeds(value >> n * step, bits) for n in range(4))[amount]
            sign      = value[-1]
            following = Signal(signed(bits), name=f"s{cycle + 1}_value", reset_less=True)
            m.d.sync += following.eq(Mux(too_large, Cat((~sign).replicate(bits - 1), sign),
                                         shifted))
            value = following
            shift = delay(m, shift, 1, name=f"s{cycle + 1}_shift")

        # Cycle 9: add the zero point, and limit. The sum of 10 and 8 bits has 11.
        total = Signal(signed(11))
        m.d.comb += total.eq(value + self.clamp.zero_point)
        with m.If(total < self.clamp.low):
            m.d.sync += self.result.eq(self.clamp.low)
        with m.Elif(total > self.clamp.high):
            m.d.sync += self.result.eq(self.clamp.high)
        with m.Else():
            m.d.sync += self.result.eq(total)
        return m
