"""The core for other systems: AXI4-Stream for its link, AXI4-Lite for what it is and does."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from popmac import isa

from ..core import Core


__all__ = ["AxiCore", "REGISTERS"]


#: Registers, 32 bits each, by address; all of them can only be read.
REGISTERS = {
    "magic":       0x00, # "popm", lowest byte first
    "isa_version": 0x04,
    "fingerprint": 0x08, # of the configuration
    "status":      0x0c, # bit 0: a run is active; bit 1: nothing changes before the next transfer
}

_MAGIC   = int.from_bytes(b"popm", "little")
_OKAY    = 0b00
_SLVERR  = 0b10


class AxiCore(wiring.Component):
    """A core with the ports that other tools expect.

    Parameters
    ----------
    arch : :class:`ArchConfig`

    Members
    -------
    aclk, aresetn : ``In(1)``
        Clock, and synchronous reset, for at least 64 cycles.
    s_axis_*, m_axis_* : AXI4-Stream
        Bytes from and to the host, as in ``docs/protocol.md``. There are no packets: frames are
        found in the bytes.
    s_axil_* : AXI4-Lite
        :data:`REGISTERS`. Reads from other addresses, and all writes, are answered with an error.
    """

    def __init__(self, arch):
        self.arch = arch
        super().__init__({
            "aclk":           In(1),
            "aresetn":        In(1),
            "s_axis_tdata":   In(8),
            "s_axis_tvalid":  In(1),
            "s_axis_tready":  Out(1),
            "m_axis_tdata":   Out(8),
            "m_axis_tvalid":  Out(1),
            "m_axis_tready":  In(1),
            "s_axil_awaddr":  In(8),
            "s_axil_awprot":  In(3),
            "s_axil_awvalid": In(1),
            "s_axil_awready": Out(1),
            "s_axil_wdata":   In(32),
            "s_axil_wstrb":   In(4),
            "s_axil_wvalid":  In(1),
            "s_axil_wready":  Out(1),
            "s_axil_bresp":   Out(2),
            "s_axil_bvalid":  Out(1),
            "s_axil_bready":  In(1),
            "s_axil_araddr":  In(8),
            "s_axil_arprot":  In(3),
            "s_axil_arvalid": In(1),
            "s_axil_arready": Out(1),
            "s_axil_rdata":   Out(32),
            "s_axil_rresp":   Out(2),
            "s_axil_rvalid":  Out(1),
            "s_axil_rready":  In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]

        m.submodules.core = core = Core(self.arch)
        m.d.comb += [
            core.i.payload.eq(self.s_axis_tdata),
            core.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(core.i.ready),
            self.m_axis_tdata.eq(core.o.payload),
            self.m_axis_tvalid.eq(core.o.valid),
            core.o.ready.eq(self.m_axis_tready),
        ]

        # Reads: one at a time.
        values = {
            "magic":       _MAGIC,
            "isa_version": isa.ISA_VERSION,
            "fingerprint": self.arch.fingerprint(isa.ISA_VERSION),
            "status":      Cat(core.busy, core.idle),
        }
        m.d.comb += self.s_axil_arready.eq(~self.s_axil_rvalid)
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += [
                self.s_axil_rvalid.eq(1),
                self.s_axil_rdata.eq(0),
                self.s_axil_rresp.eq(_SLVERR),
            ]
            with m.Switch(self.s_axil_araddr):
                for name, address in REGISTERS.items():
                    with m.Case(address):
                        m.d.sync += [
                            self.s_axil_rdata.eq(values[name]),
                            self.s_axil_rresp.eq(_OKAY),
                        ]
        with m.Elif(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)

        # Writes: address and data in any order, then the refusal.
        has_address, has_data = Signal(), Signal()
        m.d.comb += [
            self.s_axil_awready.eq(~has_address),
            self.s_axil_wready.eq(~has_data),
            self.s_axil_bvalid.eq(has_address & has_data),
            self.s_axil_bresp.eq(_SLVERR),
        ]
        with m.If(self.s_axil_awvalid):
            m.d.sync += has_address.eq(1)
        with m.If(self.s_axil_wvalid):
            m.d.sync += has_data.eq(1)
        with m.If(self.s_axil_bvalid & self.s_axil_bready):
            m.d.sync += [has_address.eq(0), has_data.eq(0)]
        return m
