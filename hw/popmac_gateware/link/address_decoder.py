"""Whether a READ or WRITE is possible, and where its bytes are."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from popmac import isa
from popmac.protocol import ALIGNMENT, DATA_BYTES, READABLE, WRITABLE, Space, Status, space_bytes

from ..host_bus import ADDRESS


__all__ = ["ROW_PITCH", "Transfer", "AddressDecoder"]


#: Addresses of the host bus from one row of PROGRAM space to the next.
ROW_PITCH = 64


class Transfer(data.Struct):
    """Bytes of device memory, as in the frame of a READ or WRITE."""
    space:   8
    address: 32
    length:  16


class AddressDecoder(wiring.Component):
    """Decides on the status of a transfer before any of it happens.

    Rows of PROGRAM space follow each other in the protocol; they are 64 addresses apart on the host
    bus. To find the row, the address is divided by 36, exactly, which is a multiplication by the
    inverse modulo a power of two::

        1/9 = 1/(1+8) = (1 - 8) * (1 + 64) * (1 + 4096) * ...

    Of numbers below ``9 * n``, the multiples of 9 are those for which the result is below ``n``.

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
    start : ``Out(ADDRESS)``
        First byte of the transfer on the host bus.

    Timing
    ------
    Latency is :attr:`LATENCY` cycles, during which the transfer has to stay the same.
    """

    LATENCY = 4

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "transfer": In(Transfer),
            "write":    In(1),
            "status":   Out(4),
            "start":    Out(ADDRESS),
        })

    def elaborate(self, platform):
        m = Module()

        sizes        = space_bytes(self.arch)
        space        = self.transfer.space
        address      = self.transfer.address
        length       = self.transfer.length
        address_bits = max(sizes.values()).bit_length()
        length_bits  = DATA_BYTES.bit_length()

        # cycle 1: what is not allowed for its size alone
        allowed  = Signal()
        size     = Signal(address_bits)
        end      = Signal(address_bits + 1)
        too_much = Signal()
        with m.Switch(space):
            for s in Space:
                with m.Case(s):
                    m.d.sync += allowed.eq(Mux(self.write, s in WRITABLE, s in READABLE))
                    m.d.sync += size.eq(sizes[s])
            with m.Default():
                m.d.sync += [allowed.eq(0), size.eq(0)]
        m.d.sync += too_much.eq(address[address_bits:].any() | (length > DATA_BYTES))
        m.d.sync += end.eq(address[:address_bits] + length[:length_bits])

        # cycle 2
        in_range = Signal()
        m.d.sync += in_range.eq(~too_much & (end <= size))

        # cycles 1 to 3: division by 36, of which 4 is the easy part
        def ninth(value, name):
            for step, result in enumerate([lambda v: v - (v << 3), lambda v: v + (v << 6),
                                           lambda v: v + (v << 12)]):
                quotient = Signal(len(value), name=f"{name}_{step}")
                m.d.sync += quotient.eq(result(value))
                value = quotient
            return value

        row_bits  = self.arch.program_rows.bit_length()
        rows_bits = (DATA_BYTES // isa.ROW_BYTES).bit_length()
        row       = ninth(address[2:2 + row_bits + 4], "row")
        rows      = ninth(length[2:2 + rows_bits + 4], "rows")
        whole     = Signal()
        m.d.comb += whole.eq(~Cat(address[:2], length[:2],
                                  row[row_bits:], rows[rows_bits:]).any())

        # cycle 4: the first reason to refuse, and the place
        aligned = Signal()
        with m.Switch(space):
            for s in Space:
                with m.Case(s):
                    m.d.comb += aligned.eq({
                        1:             1,
                        2:             ~(address[0] | length[0]),
                        isa.ROW_BYTES: whole,
                    }[ALIGNMENT[s]])
        m.d.sync += self.status.eq(
            Mux(~allowed, Status.ACCESS,
            Mux(~in_range, Status.RANGE,
            Mux(~aligned, Status.ALIGNMENT, Status.OK))))

        m.d.sync += self.start.space.eq(space)
        m.d.sync += self.start.address.eq(address)
        with m.If(space == Space.PROGRAM):
            m.d.sync += self.start.address.eq(row << exact_log2(ROW_PITCH))

        return m
