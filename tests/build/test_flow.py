"""The flow with programs that only pretend, and once with the real ones."""

import json
import stat
from dataclasses import replace

import pytest

from popmac import isa
from popmac.arch import target
from popmac.cli import main
from popmac.errors import ToolError
from popmac.isa import ISA_VERSION
from popmac.protocol import RECORDING, RECORDING_MAGIC
from popmac_gateware.build.flow import build
from popmac_gateware.build.tools import Tools


TINY = target("tiny")

CLOCKS = {1: 88.8, 2: 111.1, 3: 99.9}


def report(mhz):
    """What nextpnr says about a design with one path."""
    step = {"from": {"cell": "core.a", "port": "Q"}, "to": {"cell": "core.b", "port": "DI"}}
    used = {"TRELLIS_COMB": 4, "TRELLIS_FF": 3, "DP16KD": 2, "MULT18X18D": 1}
    return {
        "fmax": {"clk": {"achieved": mhz, "constraint": 100}},
        "utilization": {name: {"used": count, "available": 10} for name, count in used.items()},
        "critical_paths": [
            {"from": "<async>", "to": "posedge clk", "path": []},
            {"from": "posedge clk", "to": "posedge clk", "path": [
                {**step, "type": "clk-to-q", "delay": 0.5},
                {**step, "type": "routing", "delay": 1000 / mhz - 0.6, "net": "core.net"},
                {**step, "type": "setup", "delay": 0.1}]},
        ],
        "detailed_net_timings": [
            {"net": "core.net", "endpoints": [
                {"cell": f"core.b_{i}_TRELLIS_FF_Q_3", "port": port, "delay": [1.0, 2.0 + i]}
                for port in ("DI", "CE")]} for i in range(3)],
    }


class Pretence(Tools):
    """Writes files as the programs would."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def run(self, name, *arguments, folder, log, limit):
        self.calls.append(name)
        options = dict(zip(arguments, arguments[1:]))
        cells   = {f"core.accelerator.array.{kind}":
                   {"type": kind, "attributes": {"NEXTPNR_BEL": "X3/Y4/SLICEA.FF0"}}
                   for kind in ("TRELLIS_FF", "LUT4", "CCU2C", "TRELLIS_DPR16X4")}
        cells["core.accelerator.array.CCU2C"] |= {
            "parameters":  {f"INIT{half}": "1" * 16 for half in "01"},
            "connections": {f"{pin}{half}": [2] for pin in "ABCD" for half in "01"}}
        netlist = json.dumps({"modules": {"top": {"cells": cells}}})
        if name == "yosys":
            (folder / "netlist.json").write_text(netlist)
        elif name == "nextpnr-ecp5":
            seed = int(options["--seed"])
            (folder / options["--textcfg"]).write_text(f"seed {seed}")
            (folder / options["--report"]).write_text(json.dumps(report(CLOCKS[seed])))
            (folder / options["--write"]).write_text(netlist)
        else:
            (folder / arguments[1]).write_text((folder / arguments[0]).read_text())
        return 1 << 20


def test_registers_are_named_where_signals_arrive_last(tmp_path):
    manifest = build(TINY, tmp_path, tools=Pretence())
    assert manifest["late"] == [{"to": "core.b_#", "bits": 3, "ns": 4.0}]


def test_the_fastest_placement_is_taken(tmp_path):
    tools    = Pretence()
    manifest = build(TINY, tmp_path, tools=tools, seeds=3)
    assert (manifest["seed"], manifest["clock_mhz"], manifest["timing_met"]) == (2, 111.1, True)
    assert manifest["clocks"] == CLOCKS
    assert (tmp_path / "bitstream.bit").read_text() == "seed 2"
    assert [manifest[name] for name in ("lut4", "comb", "ff", "ebr", "dsp")] == \
        [1 + 2 + 4 + 2, 4, 3, 2, 1]
    assert manifest["fingerprint"] == f"{TINY.fingerprint(isa.ISA_VERSION):08x}"
    path, = manifest["paths"]
    assert path | {"logic_ns": 0.6} == {
        "clock": "clk", "from": "core.a", "to": "core.b", "through": ["core.net"], "ns": 9.0,
        "logic_ns": 0.6, "routing_ns": 8.4}
    assert json.loads((tmp_path / "manifest.json").read_text())["seed"] == 2
    picture = (tmp_path / "placement.svg").read_text()
    assert 'x="24" y="32"' in picture and ">array<" in picture


def test_unchanged_stages_are_not_run_again(tmp_path):
    build(TINY, tmp_path, tools=Pretence(), seeds=1)
    again, shown = Pretence(), []
    build(TINY, tmp_path, tools=again, seeds=3, progress=shown.append)
    assert again.calls.count("nextpnr-ecp5") == 2 and "yosys" not in again.calls
    assert {stage.name for stage in shown if stage.skipped} >= {"elaborate", "synthesis", "seed_1"}
    other = Pretence()
    build(replace(TINY, clock_hz=50_000_000), tmp_path, tools=other, seeds=1)
    assert other.calls[0] == "yosys"


def test_a_clock_that_the_board_cannot_make_is_refused(tmp_path):
    with pytest.raises(ToolError, match="^A clock of 99000000 Hz cannot be made of one of 25"):
        build(replace(TINY, clock_hz=99_000_000), tmp_path, tools=Pretence())


def test_a_target_without_a_board_is_refused(tmp_path):
    with pytest.raises(ToolError, match="^there is no board for 'nowhere'; there are tiny, "):
        build(replace(TINY, name="nowhere"), tmp_path, tools=Pretence())


@pytest.mark.parametrize("arguments, message", [
    (["build", "nothing"], "there is no target 'nothing'"),
    (["build", "tiny", "--seeds", "0"], "--seeds must be at least 1, not 0"),
    (["build", "tiny", "--planes", "9"], "planes must be "),
    (["program", "tiny"], "there is no bitstream in build/tiny; popmac build tiny"),
])
def test_bad_usage_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """A program called openFPGALoader on the path, and the file with its arguments."""
    calls   = tmp_path / "calls"
    program = tmp_path / "bin" / "openFPGALoader"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return calls


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "built"
    build(TINY, folder, tools=Pretence())
    return folder


@pytest.mark.parametrize("flash", [False, True])
def test_bitstreams_go_to_the_board(built, loader, capsys, flash):
    arguments = ["program", "tiny", "--build", str(built), "--tools", "native"]
    assert main([*arguments, *(["--flash"] if flash else [])]) == 0
    where = "--write-flash" if flash else "--write-sram"
    assert loader.read_text() == f"--board ulx3s {where} bitstream.bit\n"
    assert ("flash" if flash else "until power is cut") in capsys.readouterr().out


def test_what_a_board_starts_with_goes_behind_the_bitstream(built, loader, digits, capsys):
    assert main(["program", "tiny", "--build", str(built), "--tools", "native", "--flash",
                 "--model", str(digits)]) == 0
    assert loader.read_text().splitlines() == [
        "--board ulx3s --write-flash --offset 0x200000 recording.bin",
        "--board ulx3s --write-flash bitstream.bit",
    ]
    recording = (built / "recording.bin").read_bytes()
    magic, fingerprint, length = RECORDING.unpack_from(recording)
    assert (magic, fingerprint) == (RECORDING_MAGIC, TINY.fingerprint(ISA_VERSION))
    assert length == len(recording) - RECORDING.size > 10_000


@pytest.mark.parametrize("options, message", [
    (["--model", "m.tflite"], "--model goes to the flash: --flash is missing"),
    (["--flash", "--inputs", "x.npz"], "--inputs are of a model: --model is missing"),
    (["--flash", "--model", "none.tflite"], "none.tflite"),
])
def test_what_a_board_cannot_start_with_is_one_line(built, loader, capsys, options, message):
    assert main(["program", "tiny", "--build", str(built), "--tools", "native", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not loader.exists()


def test_a_bitstream_of_another_configuration_is_not_sent(built, loader, capsys):
    manifest = json.loads((built / "manifest.json").read_text())
    (built / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "00000000"}))
    assert main(["program", "tiny", "--build", str(built), "--tools", "native"]) == 2
    assert "is of tiny 00000000, not of tiny" in capsys.readouterr().err
    assert not loader.exists()


@pytest.mark.slow
def test_tiny_is_built(tmp_path, capsys):
    assert main(["build", "tiny", "-o", str(tmp_path), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["timing_met"] and manifest["ebr"] <= 56 and manifest["dsp"] <= 28
    assert (tmp_path / "bitstream.bit").stat().st_size > 100_000
