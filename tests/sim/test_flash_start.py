"""A board that starts from its flash: the recording, its reader, the core, and the answers."""

import os
from importlib.resources import files

import numpy as np
import pytest
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

import popmac
from popmac.arch import target
from popmac.driver.framing import Decoder, encode
from popmac.driver.recording import record
from popmac.golden import layers
from popmac.isa import ISA_VERSION
from popmac.protocol import (
    RECORDING,
    RECORDING_ADDRESS,
    RECORDING_MAGIC,
    REPLY,
    REPLY_HEADER,
    SESSION,
    Command,
    Status,
)
from popmac_gateware.boards.flash_start import FlashStart
from popmac_gateware.core import Core
from popmac_sim.board import GATEWARE, SimulatedBoard
from popmac_sim.testbench import simulate
from popmac_sim.verilated import build


TINY = target("tiny")


class Flash(wiring.Component):
    """A SPI NOR flash: takes a bit when its clock rises, changes its output when it falls."""

    cs:   In(1)
    clk:  In(1)
    copi: In(1)
    cipo: Out(1)

    def __init__(self, contents):
        self.contents = contents # from RECORDING_ADDRESS on
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=len(self.contents),
                                              init=self.contents)
        read    = memory.read_port(domain="comb")
        before  = Signal()
        bits    = Signal(range(41)) # of the command, its address, and the first byte
        taken   = Signal(32)
        address = Signal(24)
        index   = Signal(3)
        awake   = Signal()
        m.d.sync += before.eq(self.clk)
        m.d.comb += read.addr.eq(address - RECORDING_ADDRESS)
        with m.If(~self.cs):
            m.d.sync += [bits.eq(0), self.cipo.eq(1)]
            with m.If((bits == 8) & (taken[:8] == 0xab)):
                m.d.sync += awake.eq(1)
        with m.Elif(self.clk & ~before & (bits != 32)):
            m.d.sync += [taken.eq(self.copi | taken << 1), bits.eq(bits + 1)]
            with m.If(bits == 31):
                m.d.sync += [address.eq(self.copi | taken << 1), index.eq(7)]
        with m.Elif(~self.clk & before & (bits == 32) & awake & (taken[24:] == 0x03)):
            m.d.sync += [self.cipo.eq(Array(read.data)[index]), index.eq(index - 1)]
            with m.If(index == 0):
                m.d.sync += address.eq(address + 1)
        return m


class Started(wiring.Component):
    """Core and flash."""

    i:    In(stream.Signature(8))
    o:    Out(stream.Signature(8))
    idle: Out(1)

    def __init__(self, contents):
        self.contents = contents
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.core  = core  = Core(TINY)
        m.submodules.flash = flash = Flash(self.contents)
        m.submodules.start = start = FlashStart(clock_hz=TINY.clock_hz,
                                                fingerprint=TINY.fingerprint(ISA_VERSION))
        wiring.connect(m, wiring.flipped(self.i), start.i)
        wiring.connect(m, start.o, core.i)
        wiring.connect(m, core.o, wiring.flipped(self.o))
        m.d.comb += [
            flash.cs.eq(start.cs), flash.clk.eq(start.clk), flash.copi.eq(start.copi),
            start.cipo.eq(flash.cipo), start.quiet.eq(core.idle & ~core.o.valid),
            self.idle.eq(core.idle & ~start.busy),
        ]
        return m


def answers(board):
    """Contents of the frames that come before nothing has come for 4 ms."""
    decoder, frames = Decoder(), []
    while received := board.read(2**16, timeout=4e-3):
        frames += decoder.feed(received)
    assert None not in frames
    return frames


@pytest.fixture(scope="module")
def program():
    return popmac.compile(files("popmac") / "zoo" / "digits.tflite", target=TINY)


def test_a_board_runs_what_its_flash_has_and_then_hears_the_host(rng, monkeypatch, program,
                                                                 digits, images):
    monkeypatch.setattr(os, "urandom", rng.bytes)
    graph    = popmac.load(digits)
    contents = record(program, {graph.inputs[0]: images[:2]})
    library  = build(lambda: Started(contents), sources=[*GATEWARE, __file__],
                     parameters=contents.hex(), description="tiny with a flash")
    board    = SimulatedBoard(library, TINY, fast=True)
    frames   = answers(board)
    heads    = [REPLY_HEADER.unpack_from(frame) for frame in frames]
    assert all(status == Status.OK for _, _, status in heads)
    assert [command for command, *_ in heads].count(Command.RUN | REPLY) == 2

    # What was read at last are the outputs of the last segment on the device.
    segment = [segment for segment in program.segments if hasattr(segment, "first")][-1]
    name,   = segment.outputs
    layout  = program.layouts[name]
    results = [frame[REPLY_HEADER.size:] for frame, (command, *_) in zip(frames, heads)
               if command == Command.READ | REPLY][-2:]
    actual  = layout.unpack(np.frombuffer(b"".join(results), np.int8).reshape(2, -1))
    for image, values in zip(images, actual):
        expected = layers.run(graph, {graph.inputs[0]: image[None]})[name]
        np.testing.assert_array_equal(values.reshape(-1), expected.reshape(-1))

    board.write(encode(bytes([Command.HELLO, 0]) + SESSION.pack(7)))
    frame, = answers(board)
    assert REPLY_HEADER.unpack_from(frame) == (Command.HELLO | REPLY, 0, Status.OK)


@pytest.mark.parametrize("change", [None, "magic", "fingerprint", "empty"])
def test_only_a_recording_for_this_configuration_is_played(change):
    told     = bytes(range(20))
    contents = bytearray(RECORDING.pack(RECORDING_MAGIC, 0x12345678, len(told)) + told)
    if change == "empty":
        contents = b"\xff" * 64
    elif change:
        contents[{"magic": 3, "fingerprint": 7}[change]] ^= 1
    m = Module()
    m.submodules.flash = flash = Flash(bytes(contents))
    m.submodules.start = start = FlashStart(clock_hz=1_000_000, fingerprint=0x12345678)
    m.d.comb += [
        flash.cs.eq(start.cs), flash.clk.eq(start.clk), flash.copi.eq(start.copi),
        start.cipo.eq(flash.cipo),
    ]
    heard = []

    async def testbench(ctx):
        ctx.set(start.o.ready, 1)
        ctx.set(start.quiet, 1)
        ctx.set(start.i.payload, 99)
        while ctx.get(start.busy):
            _, _, valid, payload = await ctx.tick().sample(start.o.valid, start.o.payload)
            if valid:
                heard.append(payload)
        ctx.set(start.i.valid, 1)
        _, _, valid, payload = await ctx.tick().sample(start.o.valid, start.o.payload)
        assert (valid, payload) == (1, 99)
        await ctx.tick().repeat(100) # what was begun to be read
        assert not ctx.get(start.cs)

    simulate(m, testbench)
    assert bytes(heard) == (b"" if change else told)


def test_a_recording_says_for_what_it_is(program):
    recording = record(program)
    magic, fingerprint, length = RECORDING.unpack_from(recording)
    assert (magic, fingerprint, length) == (RECORDING_MAGIC, program.fingerprint,
                                            len(recording) - RECORDING.size)
