"""The models of ECP5 blocks, checked against what Yosys and popmac make of them.

Yosys maps plain memories and plain products to the blocks by rules of its own; with our models, the
result has to behave as what was mapped. So has each of popmac's components that has a form of its
own for the ECP5.
"""

import json
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from popmac_gateware.boards.platforms import BOARDS
from popmac_gateware.build.tools import Tools
from popmac_gateware.primitives.block_ram import BlockRam
from popmac_gateware.primitives.carry import (
    ACCUMULATE,
    ADD,
    ADD_PRODUCTS,
    ADD_SELECTED,
    KILL,
    CarryChain,
)
from popmac_gateware.primitives.lut_multiplier import LutMultiplier
from popmac_gateware.primitives.multiplier import Multiplier
from popmac_sim.ecp5_models import ecp5_models
from popmac_sim.rtl import run_module


_MODELS = """
read_verilog -DNO_INCLUDES +/ecp5/common_sim.vh
read_verilog +/ecp5/ccu2c_sim.vh
read_verilog -sv models.v
"""


def yosys(folder, script):
    Tools().run("yosys", "-q", "-p", script, folder=folder, log=folder / "yosys.log", limit=300)


def compare(folder, inputs, output, monkeypatch, *, depth=None, settle=0):
    """Compare the modules ``plain`` and ``mapped`` of design.v; ports are ``inputs`` and ``o``.

    There are ``depth`` addresses, if they are fewer than their width allows.
    """
    ports = "".join(f", input [{width - 1}:0] {name}" for name, width in inputs.items())
    wires = "".join(f", .{name}({name})" for name in inputs)
    top   = folder / "top.v"
    top.write_text(f"""
module top(input clk{ports}, output [{output - 1}:0] plain, mapped);
    plain first(.clk(clk){wires}, .o(plain));
    mapped second(.clk(clk){wires}, .o(mapped));
endmodule
""")
    case = folder / "case.json"
    limits = {name: depth if depth and "addr" in name else 2**width
              for name, width in inputs.items()}
    case.write_text(json.dumps({"limits": limits, "settle": settle, "seed": 1}))
    monkeypatch.syspath_prepend(Path(__file__).parent) # the runner hands sys.path to the simulator
    run_module("tb_equal", [top, folder / "design.v"], top="top", folder=folder, count=1,
               variables={"POPMAC_CASE": str(case)})


def map_by_yosys(folder, source, block):
    """Map the module ``plain`` of Verilog text by the rules of Yosys; it has to use ``block``."""
    (folder / "plain.v").write_text(source)
    (folder / "models.v").write_text(ecp5_models())
    yosys(folder, f"""
        read_verilog plain.v; synth_ecp5 -run begin:map_gates -top plain
        select -assert-min 1 t:{block}
        rename plain mapped; write_verilog -noattr mapped.v
        design -reset; {_MODELS} read_verilog mapped.v; read_verilog plain.v
        hierarchy -check; proc
        write_verilog -noattr design.v""")


@pytest.mark.parametrize("width, depth, enables", [
    (36, 512, 1), (36, 512, 4), (32, 512, 4), (18, 1024, 1), (18, 1024, 2), (16, 1024, 2),
    (9, 2048, 1), (8, 2048, 1), (72, 512, 8)])
def test_memories(width, depth, enables, tmp_path, monkeypatch):
    bits, lane = (depth - 1).bit_length(), width // enables
    part   = [f"[{lane * i} +: {lane}]" for i in range(enables)]
    writes = "\n".join(f"if (we[{i}]) memory[waddr]{part[i]} <= d{part[i]};"
                       for i in range(enables))
    map_by_yosys(tmp_path, f"""
module plain(input clk, input [{enables - 1}:0] we, input [{bits - 1}:0] waddr, raddr,
             input [{width - 1}:0] d, output reg [{width - 1}:0] o);
    (* ram_style = "block" *) reg [{width - 1}:0] memory [0:{depth - 1}];
    integer k;
    initial for (k = 0; k < {depth}; k = k + 1) memory[k] = 0;
    initial o = 0;
    always @(posedge clk) begin
        o <= memory[raddr];
        {writes}
    end
endmodule""", "DP16KD")
    compare(tmp_path, {"we": enables, "waddr": bits, "raddr": bits, "d": width}, width,
            monkeypatch)


@pytest.mark.parametrize("sign", ["signed", ""])
@pytest.mark.parametrize("a, b", [(18, 18), (9, 17), (12, 5)])
def test_products(a, b, sign, tmp_path, monkeypatch):
    map_by_yosys(tmp_path, f"""
module plain(input clk, input {sign} [{a - 1}:0] a, input {sign} [{b - 1}:0] b,
             output {sign} [{a + b - 1}:0] o);
    assign o = a * b;
endmodule""", "MULT18X18D")
    compare(tmp_path, {"a": a, "b": b}, a + b, monkeypatch)


class Plain(wiring.Component):
    """A component with its output called ``o``, and a clock in any case."""

    def __init__(self, component, output):
        self.component = component
        self.output    = output
        ports          = component.signature.members
        self.inputs    = {name: Shape.cast(member.shape).width
                          for name, member in ports.items() if name != output}
        self.width     = Shape.cast(ports[output].shape).width
        super().__init__({name: In(width) for name, width in self.inputs.items()}
                         | {"clk": In(1), "o": Out(self.width)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.component = self.component
        m.d.comb += [
            ClockSignal().eq(self.clk),
            *(getattr(self.component, name).eq(getattr(self, name)) for name in self.inputs),
            self.o.eq(getattr(self.component, self.output)),
        ]
        return m


@pytest.mark.parametrize("make, output", [
    (lambda: BlockRam(width=16, depth=1024), "read_data"),
    (lambda: BlockRam(width=32, depth=512, granularity=8), "read_data"),
    (lambda: BlockRam(width=72, depth=1536), "read_data"),
    (lambda: BlockRam(width=16, depth=2048), "read_data"),
    (lambda: Multiplier(9, 9), "product"),
    (lambda: Multiplier(17, 18), "product"),
    (lambda: LutMultiplier(17), "product"),
    (lambda: CarryChain([*[ADD] * 9, KILL, *[ADD_SELECTED] * 9]), "s"),
    (lambda: CarryChain([*[ACCUMULATE] * 8, KILL, *[ADD_PRODUCTS] * 7]), "s"),
], ids=["block_18", "block_36", "segments", "block_9", "small", "large", "lut", "selected",
        "products"])
def test_components_are_the_same_on_an_ecp5(make, output, tmp_path, monkeypatch):
    for name, platform in [("plain", None), ("mapped", BOARDS["tiny"].platform())]:
        component = Plain(make(), output)
        (tmp_path / f"{name}.il").write_text(
            rtlil.convert(component, name=name, platform=platform))
    (tmp_path / "models.v").write_text(ecp5_models())
    yosys(tmp_path, f"""
        {_MODELS} read_rtlil plain.il; read_rtlil mapped.il
        setattr -mod -unset top plain mapped; hierarchy -check; proc
        write_verilog -noattr design.v""")
    compare(tmp_path, component.inputs, component.width, monkeypatch, settle=4,
            depth=getattr(component.component, "depth", None))
