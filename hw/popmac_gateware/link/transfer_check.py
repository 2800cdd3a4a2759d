"""Whether a READ or WRITE is possible."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from popmac.isa import ROW_BYTES
from popmac.protocol import ALIGNMENT, DATA_BYTES, READABLE, WRITABLE, Space, Status, space_bytes


__all__ = ["Transfer", "TransferCheck"]


class Transfer(data.Struct):
    """Bytes of device memory, as in the frame of a READ or WRITE."""
    space:   8
    address: 32
    length:  16


def _digit_sum(value):
    """Sum of the digits of an unsigned value in base 64: the same modulo 9, as 64 is 7 * 9 + 1."""
    digits = [value[i:i + 6] for i in range(0, len(value), 6)]
    return sum(digits[1:], digits[0])


def _is_multiple_of_9(digit_sum):
    value = _digit_sum(digit_sum)
    return Cat(value == multiple for multiple in range(0, 2**len(value), 9)).any()


class TransferCheck(wiring.Component):
    """Decides on the status of a transfer before any of it happens.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Sizes of the spaces.

    Members
    -------
    transfer : ``In(Transfer)``
        The transfer.
    write : ``In(1)``
        It is a WRITE, not a READ.
    status : ``Out(4)``
        The first of ACCESS, RANGE and ALIGNMENT that applies; otherwise OK.

    Timing
    ------
    Latency is :attr:`LATENCY` cycles. The transfer has to stay the same for as long.
    """

    LATENCY = 3

    transfer: In(Transfer)
    write:    In(1)
    status:   Out(4)

    def __init__(self, arch):
        self.arch = arch
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        space   = self.transfer.space
        address = self.transfer.address
        length  = self.transfer.length
        limit   = max(space_bytes(self.arch).values()).bit_length()
        limits  = space_bytes(self.arch)

        # cycle 1: what does not need arithmetic, and the first additions
        allowed     = Signal()
        size        = Signal(limit)
        too_long    = Signal()
        too_far     = Signal()
        end         = Signal(limit + 1)
        even        = Signal()
        fours       = Signal()
        sums        = Signal(data.ArrayLayout(9, 2))
        with m.Switch(space):
            for s in Space:
                with m.Case(s):
                    m.d.sync += allowed.eq(Mux(self.write, s in WRITABLE, s in READABLE))
                    m.d.sync += size.eq(limits[s])
            with m.Default():
                m.d.sync += allowed.eq(0)
        m.d.sync += [
            too_long.eq(length > DATA_BYTES),
            too_far.eq(address[limit:].any()),
            end.eq(address[:limit] + length[:DATA_BYTES.bit_length()]),
            even.eq(~(address[0] | length[0])),
            fours.eq(~(address[:2] | length[:2]).any()),
            sums[0].eq(_digit_sum(address[2:limit])),
            sums[1].eq(_digit_sum(length[2:DATA_BYTES.bit_length()])),
        ]

        # cycle 2: comparisons
        in_range = Signal()
        rows     = Signal()
        m.d.sync += in_range.eq(~too_long & ~too_far & (end <= size))
        m.d.sync += rows.eq(fours & _is_multiple_of_9(sums[0]) & _is_multiple_of_9(sums[1]))

        # cycle 3: the first reason to refuse
        aligned = Signal()
        with m.Switch(space):
            for s in Space:
                with m.Case(s):
                    m.d.comb += aligned.eq({1: 1, 2: even, ROW_BYTES: rows}[ALIGNMENT[s]])
        with m.If(~allowed):
            m.d.sync += self.status.eq(Status.ACCESS)
        with m.Elif(~in_range):
            m.d.sync += self.status.eq(Status.RANGE)
        with m.Elif(~aligned):
            m.d.sync += self.status.eq(Status.ALIGNMENT)
        with m.Else():
            m.d.sync += self.status.eq(Status.OK)

        return m
