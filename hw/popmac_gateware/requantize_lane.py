"""From sums to results: one lane of the requantiser."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa
from popmac.arch import ACCUMULATOR_BITS, LANE_ENTRIES

from .pipeline import delay
from .primitives.lut_multiplier import LutMultiplier
from .primitives.multiplier import Multiplier
from .records import record_layout
from .saturating_shift import CLAMP, SaturatingShift


__all__ = ["RequantizeLane", "PARAMETERS", "LOW", "PAIR_OPERANDS"]


#: Parameters of one channel.
PARAMETERS   = record_layout(isa.ChannelParameters)

#: Bits of the lower part of a sum, and of the lower part of a multiplier.
LOW = 17

#: Operands of an element-wise operation in the place of a sum.
PAIR_OPERANDS = data.StructLayout({
    "first":  signed(LOW),
    "second": signed(ACCUMULATOR_BITS - LOW),
})


class RequantizeLane(wiring.Component):
    """Multiply, shift, round, saturate: one result per cycle.

    For sums: ``acc = sum + bias``,
    ``y = clamp((acc * multiplier + (offset_negative if acc < 0 else offset_positive)) >> shift)``.
    For pairs of operands:
    ``y = clamp((first * multiplier + second * second_multiplier + offset) >> shift)``.
    See :class:`popmac.isa.ChannelParameters` and :class:`popmac.isa.PairParameters`.

    The sum of 28 bits times the multiplier of 25 bits takes two multiplier blocks for the lower 17
    bits of the multiplier and logic for the upper 8 bits. The same two halves take the two
    products of a pair, each with a multiplier of its own.

    Members
    -------
    sum : ``In(signed(ACCUMULATOR_BITS))``
        Sum, or ``PAIR_OPERANDS``.
    entry : ``In(range(LANE_ENTRIES))``
        Which parameters to use.
    pair : ``In(1)``
        Whether ``sum`` and the parameters are those of a pair; constant during a layer.
    clamp : ``In(CLAMP)``
        Constant during a layer.
    result : ``Out(signed(8))``
    write_enable : ``In(1)``
    write_entry : ``In(range(LANE_ENTRIES))``
    write_data : ``In(PARAMETERS)``

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, throughput one result per cycle. An entry must not be
    written while it is used.
    """

    LATENCY = 8 + SaturatingShift.LATENCY

    def __init__(self):
        super().__init__({
            "sum":          In(signed(ACCUMULATOR_BITS)),
            "entry":        In(range(LANE_ENTRIES)),
            "pair":         In(1),
            "clamp":        In(CLAMP),
            "result":       Out(signed(8)),
            "write_enable": In(1),
            "write_entry":  In(range(LANE_ENTRIES)),
            "write_data":   In(PARAMETERS),
        })

    def elaborate(self, platform):
        m = Module()

        # Each field has a memory of its own, which is read when the field is needed.
        def parameter(name, entry):
            field = PARAMETERS[name].shape
            mem   = memory.Memory(shape=Shape.cast(field).width, depth=LANE_ENTRIES, init=[])
            m.submodules[name] = mem
            write, read = mem.write_port(), mem.read_port(domain="comb")
            register    = Signal(field, name=name, reset_less=True)
            m.d.comb += [
                write.addr.eq(self.write_entry),
                write.data.eq(self.write_data[name]),
                write.en.eq(self.write_enable),
                read.addr.eq(entry),
            ]
            m.d.sync += register.eq(read.data)
            return register

        entries = [self.entry]
        for cycle in range(1, 9):
            entries.append(delay(m, entries[-1], 1, name=f"entry_{cycle}"))

        # Cycle 0: read the bias.
        bias   = parameter("bias", entries[0])
        s1_sum = delay(m, self.sum, 1, name="s1_sum")

        # Cycle 1: add it; read the multiplier. Of a pair, the bias is the second multiplier.
        multiplier    = parameter("multiplier", entries[1])
        s2_sum        = Signal.like(self.sum, reset_less=True)
        s2_multiplier = Signal.like(multiplier, reset_less=True)
        m.d.sync += [
            s2_sum.eq(s1_sum + Mux(self.pair, 0, bias)),
            s2_multiplier.eq(bias),
        ]

        # Cycles 2, 3, 4: multiply.
        low_operand   = Cat(s2_sum[:LOW], self.pair & s2_sum[LOW - 1]).as_signed()
        high_operand  = s2_sum[LOW:].as_signed()
        products = []
        for name, operand, factor in [
            ("low",  low_operand,  multiplier),
            ("high", high_operand, Mux(self.pair, s2_multiplier, multiplier)),
        ]:
            width = len(operand)
            m.submodules[f"{name}_block"] = block = Multiplier(width, 18)
            m.submodules[f"{name}_logic"] = logic = LutMultiplier(width)
            m.d.comb += [
                block.a.eq(operand),
                block.b.eq(factor[:LOW]),
                logic.a.eq(operand),
                logic.b.eq(factor[LOW:]),
            ]
            # Cycle 5: add the upper part of the multiplier to the lower.
            product = Signal(signed(width + len(multiplier)), name=f"{name}_product",
                             reset_less=True)
            m.d.sync += product.eq(block.product + (logic.product << LOW))
            products.append(product)

        # Cycle 6: add the products; read the offset.
        width     = ACCUMULATOR_BITS + len(multiplier) + 1
        low, high = products
        s7_sum    = Signal(signed(width), reset_less=True)
        m.d.sync += s7_sum.eq(low + Mux(self.pair, high, high << LOW))
        negative  = delay(m, s2_sum[-1] & ~self.pair, 4, name="negative")
        positive_offset = parameter("offset_positive", entries[6])
        negative_offset = parameter("offset_negative", entries[6])
        s7_negative     = delay(m, negative, 1, name="s7_negative")

        # Cycle 7: add the offset.
        s8_value  = Signal(signed(width), reset_less=True)
        m.d.sync += s8_value.eq(s7_sum + Mux(s7_negative, negative_offset, positive_offset))

        # From cycle 8 on: shift and limit; read the shift.
        m.submodules.end = end = SaturatingShift(width)
        m.d.comb += [
            end.value.eq(s8_value),
            end.shift.eq(parameter("shift", entries[8])),
            end.clamp.eq(self.clamp),
            self.result.eq(end.result),
        ]
        return m
