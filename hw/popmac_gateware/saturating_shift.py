"""The second half of a lane of the requantiser: shift, saturate, limit."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from .pipeline import delay
from .records import record_layout


__all__ = ["CLAMP", "SHIFT", "SaturatingShift", "exceeds"]


#: What the results of a layer are limited to, and what is added to them.
CLAMP = data.StructLayout({"zero_point": signed(8), "low": signed(8), "high": signed(8)})

SHIFT = record_layout(isa.ChannelParameters)["shift"].shape

# Positions by which a stage shifts, at most three times, and bits that are left behind it.
_STAGES = [(16, 26), (4, 14), (1, 10)]


class SaturatingShift(wiring.Component):
    """``min(max((value >> shift) + zero_point, low), high)``, of which all bits of ``value`` count.

    Parameters
    ----------
    width : int
        Of ``value``; no more than the shifts leave of it.

    Members
    -------
    value : ``In(signed(width))``
    shift : ``In(SHIFT)``
        A cycle behind ``value``.
    clamp : ``In(CLAMP)``
        Constant while there is something on its way; ``low`` is at most ``high``.
    result : ``Out(signed(8))``
        :attr:`LATENCY` cycles behind ``value``.
    """

    LATENCY = 6

    def __init__(self, width):
        self.width = width
        super().__init__({
            "value":  In(signed(width)),
            "shift":  In(SHIFT),
            "clamp":  In(CLAMP),
            "result": Out(signed(8)),
        })

    def elaborate(self, platform):
        m = Module()

        # Cycle 0: whether it will be too large behind the first stage, for each of its shifts.
        step, bits = _STAGES[0]
        too_large  = [delay(m, exceeds(self.value >> n * step, bits), 1, name=f"too_large_{n}")
                      for n in range(4)]
        value      = delay(m, self.value, 1, name="s1_value")
        shift      = self.shift

        # Cycles 1, 2, 3: shift, and saturate so that what is left suffices.
        for cycle, (step, bits) in enumerate(_STAGES, 1):
            amount    = shift.bit_select(step.bit_length() - 1, 2)
            shifted   = Array((value >> n * step)[:bits] for n in range(4))[amount]
            if cycle > 1:
                too_large = [exceeds(value >> n * step, bits) for n in range(4)]
            sign      = value[-1]
            following = Signal(signed(bits), name=f"s{cycle + 1}_value", reset_less=True)
            m.d.sync += following.eq(Mux(Array(too_large)[amount],
                                         Cat((~sign).replicate(bits - 1), sign), shifted))
            value = following
            shift = delay(m, shift, 1, name=f"s{cycle + 1}_shift")

        # Cycle 4: compare with the limits, and add the zero point. Cycle 5: limit.
        low   = delay(m, self.clamp.low - self.clamp.zero_point, 1, name="low")
        high  = delay(m, self.clamp.high - self.clamp.zero_point, 1, name="high")
        below = delay(m, value < low, 1, name="below")
        above = delay(m, value > high, 1, name="above")
        total = delay(m, (value + self.clamp.zero_point)[:8], 1, name="total")
        with m.If(below):
            m.d.sync += self.result.eq(self.clamp.low)
        with m.Elif(above):
            m.d.sync += self.result.eq(self.clamp.high)
        with m.Else():
            m.d.sync += self.result.eq(total)
        return m


def exceeds(value, bits):
    """Whether signed ``value`` needs more than ``bits`` bits."""
    if len(value) <= bits:
        return Const(0)
    return value[bits - 1:-1] != value[-1].replicate(len(value) - bits)
