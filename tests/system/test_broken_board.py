"""What is broken on the board shows, where it is broken."""

import re

import numpy as np
import pytest

import popmac
from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.selftest import selftest
from popmac.verify import verify
from popmac_gateware.core import Core
from popmac_sim.board import SimulatedBoard
from popmac_sim.verilated import cache_folder, compile_verilog
from popmac_sim.verilog import write_verilog


@pytest.fixture(scope="module")
def verilog(tmp_path_factory):
    """Verilog of the simulated board `tiny`."""
    path = tmp_path_factory.mktemp("verilog") / "board.sv"
    return write_verilog(Core(target("tiny")), path, name="board").read_text()


def board(verilog, folder):
    """A device that is made of Verilog."""
    (folder / "board.sv").write_text(verilog)
    library = compile_verilog(folder / "board.sv", cache_folder())
    return Device(Link(SimulatedBoard(library, target("tiny"), fast=True)))


def flip_weight_bit(verilog, *, row, column, word, bit):
    """Verilog in which a bit of a weight reads inverted."""
    bank   = rf"accelerator.array.tile_{row // 2}_{column // 2}.bank_{row % 2}.block.mem"
    read   = re.compile(rf"<= (\\{re.escape(bank)} \[(.*)\]);")
    masked = rf"<= \1 ^ (\2 == {word} ? 16'd{1 << 8*(column % 2) + bit} : 16'd0);"
    verilog, count = read.subn(masked, verilog)
    assert count == 1
    return verilog


@pytest.mark.parametrize("layer", [1, 5])
def test_one_bit_of_one_weight(verilog, digits, images, tmp_path, layer):
    program = popmac.compile(digits, target="tiny")
    word    = first_weight_word(program, layer)
    row, column = next((r, c) for r in range(4) for c in range(4) if program.weights[word, r, c])
    broken  = flip_weight_bit(verilog, row=row, column=column, word=word, bit=6)
    with board(broken, tmp_path) as device:
        result = verify(digits, device, {"image": images[:3]})
    assert not result.bit_exact
    difference = result.first_difference
    assert difference.stage == "device"
    assert difference.layer == program.layers[layer].node
    assert difference.channel % 4 == column


def broken(verilog, pattern, replacement):
    """Verilog in which the only place that matches is another."""
    verilog, count = re.subn(pattern, replacement, verilog)
    assert count == 1
    return verilog


def stuck_bit(verilog, memory, address, bit, width):
    """Verilog in which a bit of a memory always reads as 1."""
    return broken(verilog, rf"<= (\\{re.escape(memory)} \[(.*)\]);",
                  rf"<= \1 | (\2 == {address} ? {width}'d{1 << bit} : {width}'d0);")


@pytest.mark.parametrize("item, fault", [
    ("weight memory", lambda verilog: flip_weight_bit(verilog, row=3, column=1, word=777, bit=0)),
    pytest.param("activation memory", lambda verilog: stuck_bit(
        verilog, "accelerator.memory.bank_5.mem", 99, 17, 32), marks=pytest.mark.slow),
    pytest.param("program memory", lambda verilog: stuck_bit(
        verilog, "accelerator.program.ram.mem", 1023, 287, 288), marks=pytest.mark.slow),
    # The lowest bit of the partial sum between two tiles, cut.
    pytest.param("Conv2D, 40 channels", lambda verilog: broken(
        verilog, r"(\\accelerator\.array\.tile_1_0\.pe_1\.o_psum  <= )(\S+)\[17:0\];",
        r"\1{\2[17:1], 1'b0};"), marks=pytest.mark.slow),
], ids=lambda value: value if isinstance(value, str) else "")
def test_selftest_names_what_is_broken(verilog, tmp_path, item, fault):
    with board(fault(verilog), tmp_path) as device:
        items = {i.name: i for i in selftest(device)}
    failed = [name for name, i in items.items() if not i.passed]
    if "memory" in item:
        assert failed[0] == item
    else:
        assert item in failed and "activation memory" not in failed


def first_weight_word(program, layer):
    """First weight word of a layer of a program."""
    machine = popmac.golden.machine.Machine(program.arch)
    machine.program[:len(program.rows)] = np.asarray(program.rows)
    return machine.layer(layer).first_weight
