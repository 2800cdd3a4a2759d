"""What is broken on the board shows, where it is broken."""

import json
import re

import numpy as np
import pytest

import popmac
from popmac.arch import target
from popmac.cli import main
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.selftest import selftest
from popmac.verify import Difference, verify
from popmac_gateware.core import Core
from popmac_sim.board import SimulatedBoard, build_board
from popmac_sim.verilated import cache_folder, compile_verilog
from popmac_sim.verilog import write_verilog
from popmac_sim.wave import record


@pytest.fixture(scope="module")
def verilog(tmp_path_factory):
    """Verilog of the simulated board `tiny`."""
    path = tmp_path_factory.mktemp("verilog") / "board.sv"
    return write_verilog(Core(target("tiny")), path, name="board").read_text()


def verilated(verilog, folder, **options):
    """Library of the simulated board that is made of Verilog."""
    (folder / "board.sv").write_text(verilog)
    return compile_verilog(folder / "board.sv", cache_folder(), **options)


def board(verilog, folder):
    """A device that is made of Verilog."""
    return Device(Link(SimulatedBoard(verilated(verilog, folder), target("tiny"), fast=True)))


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


def values_of(dump, wanted):
    """Values of signals of a value change dump, by time; the signals are given as paths."""
    scope, codes, values, history = [], {}, {}, {}
    lines = iter(dump.read_text().splitlines())
    for line in lines:
        match line.split():
            case ["$scope", "module", name, "$end"]:
                scope.append(name)
            case ["$upscope", "$end"]:
                scope.pop()
            case ["$var", "wire", _, code, name, *_]:
                path = ".".join([*scope, name])
                if path in wanted:
                    codes.setdefault(code, []).append(path)
            case ["$enddefinitions", "$end"]:
                break
    assert {path for paths in codes.values() for path in paths} == set(wanted)
    time = None
    for line in lines:
        if line[:1] == "#":
            if time is not None:
                history[time] = dict(values)
            time = int(line[1:])
        elif line:
            value, code = line[1:].split() if line[0] == "b" else (line[0], line[1:])
            values |= {path: int(value, 2) for path in codes.get(code, ())}
    history[time] = dict(values)
    return history


@pytest.mark.parametrize("layer", [pytest.param(0, marks=pytest.mark.slow), 5])
def test_waveform_has_the_moment_of_the_first_difference(verilog, digits, images, tmp_path, layer,
                                                         monkeypatch, capsys):
    program = popmac.compile(digits, target="tiny")
    word    = first_weight_word(program, layer)
    row, column = next((r, c) for r in range(4) for c in range(4) if program.weights[word, r, c])
    faulty  = flip_weight_bit(verilog, row=row, column=column, word=word, bit=6)
    library = verilated(faulty, tmp_path, recording=True)
    monkeypatch.setattr("popmac_sim.board.build_board", lambda arch, **_: library)
    np.savez(tmp_path / "inputs.npz", image=images[:2])
    dump    = tmp_path / "wave.vcd"
    command = ["verify", str(digits), "--device", "sim:tiny?link=fast", "--inputs",
               str(tmp_path / "inputs.npz"), "--wave", str(dump)]
    assert main([*command, "--json"]) == 1
    result  = json.loads(capsys.readouterr().out)
    found, wave = result["first_difference"], result["wave"]
    assert found["stage"] == "device" and wave["path"] == str(dump)
    assert wave["layer"] == found["layer"] == program.layers[layer].node
    assert wave["last"] - wave["first"] <= 1024

    assert (found["actual"] & 0xff) in written(dump, program, wave, found["element"])
    main(command)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[1].startswith(f"{dump}: cycles {wave['first']} to ")

    # Elements that come later, as if nothing had differed before.
    shape = popmac.load(digits).tensors[found["tensor"]].shape
    for part in (0.4, 0.9, 1.0):
        element = tuple(int((size - 1) * part) for size in shape)
        wave = record(dump, popmac.load(digits), {"image": images[:1]},
                      Difference(**found | {"element": element, "expected": 1000, "input": 0}),
                      lambda: SimulatedBoard(library, target("tiny"), fast=True))
        assert written(dump, program, wave.as_dict(), element)


def written(dump, program, wave, element):
    """What the core writes to the byte of an element, about when the waveform says it does."""
    layout  = program.layouts[next(layer.tensors[0] for layer in program.layers
                                   if layer.node == wave["layer"])]
    places  = layout.addresses().reshape(-1, layout.channels)
    place   = layout.base * layout.word_bytes + int(
        places[np.ravel_multi_index(element[:-1], (1, layout.height, layout.width)), element[-1]])
    word    = place // layout.word_bytes
    bank    = f"board.accelerator.memory.bank_{word % 8}"
    signals = [f"{bank}.{name}" for name in ("write_address", "write_enable", "write_data")]
    history = values_of(dump, ["board.busy", "board.clk", *signals])
    period  = 10_000 # ps
    times   = sorted(history)
    assert times[0] // period == wave["first"] and times[-1] // period <= wave["last"] + 1
    assert times[-1] // period == wave["last"] + 1
    assert all(history[time]["board.busy"] for time in times if time // period < wave["cycles"] - 2)
    found   = []
    for time in times:
        address, enable, data = (history[time][name] for name in signals)
        near = abs(time // period - wave["about"]) < wave["cycles"] // 20 + 32
        if address == word // 8 and enable >> place % 4 & 1 and near:
            found.append(data >> 8 * (place % 4) & 0xff)
    return found


def test_a_difference_that_does_not_show_again(digits, images, tmp_path):
    element = Difference(input=0, stage="device", fused=True, layer="0 CONV_2D", tensor="image",
                         element=(0, 0, 0, 0), channel=0, expected=int(images[0, 0, 0, 0]),
                         actual=5)
    with pytest.raises(popmac.PopmacError, match="does not show on a new board"):
        record(tmp_path / "wave.vcd", popmac.load(digits), {"image": images[:1]}, element,
               lambda: SimulatedBoard(build_board(target("tiny")), target("tiny"), fast=True))
    assert not (tmp_path / "wave.vcd").exists()
