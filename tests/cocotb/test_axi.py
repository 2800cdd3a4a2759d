"""The exported Verilog under cocotbext-axi."""

import json
from pathlib import Path

import pytest

from popmac import isa
from popmac.arch import target
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.golden import GoldenCore
from popmac.driver.link import Link
from popmac.protocol import Space
from popmac_gateware.boards.axi import REGISTERS
from popmac_gateware.build.export import export
from popmac_gateware.build.tools import Tools
from popmac_sim.rtl import run_module


TINY = target("tiny")


class Recorder:
    """Transport that remembers what the transport behind it carries."""

    def __init__(self, transport):
        self.transport = transport
        self.to_device = self.to_host = b""

    def write(self, data):
        self.to_device += data
        self.transport.write(data)

    def read(self, length, *, timeout):
        received = self.transport.read(length, timeout=timeout)
        self.to_host += received
        return received

    def __getattr__(self, name):
        return getattr(self.transport, name)


@pytest.fixture
def case(rng):
    """A short session of the real driver with the software endpoint, and the registers."""
    recorder = Recorder(SoftwareEndpoint(TINY, GoldenCore(TINY)))
    link     = Link(recorder)
    link.hello()
    written  = rng.bytes(100)
    link.write(Space.ACTIVATION, 12, written)
    assert link.read(Space.ACTIVATION, 12, 100) == written
    return {
        "to_device": recorder.to_device.hex(), "to_host": recorder.to_host.hex(),
        "registers": {REGISTERS["magic"]: int.from_bytes(b"popm", "little"),
                      REGISTERS["isa_version"]: isa.ISA_VERSION,
                      REGISTERS["fingerprint"]: TINY.fingerprint(isa.ISA_VERSION),
                      REGISTERS["status"]: 0b10},
    }


def test_exported_core(case, tmp_path, monkeypatch):
    verilog, template = export(TINY, tmp_path, tools=Tools())
    # The template is Verilog: a module that contains nothing else.
    user = tmp_path / "user.v"
    user.write_text(f"module user;\n{template.read_text()}endmodule\n")
    (tmp_path / "case.json").write_text(json.dumps(case))
    monkeypatch.syspath_prepend(Path(__file__).parent) # the runner hands sys.path to the simulator
    run_module("tb_axi", [verilog, user], top="popmac_tiny", folder=tmp_path, count=6,
               variables={"POPMAC_CASE": str(tmp_path / "case.json")})
