"""The exported core behind somebody else's AXI. Imported by cocotb, inside of the simulator."""

import itertools
import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamSink,
    AxiStreamSource,
)


CASE = json.loads(Path(os.environ["POPMAC_CASE"]).read_text())


def never():
    """No pauses."""
    return None


def often():
    """Pauses at random, more than half of the time."""
    rng = random.Random(cocotb.RANDOM_SEED)
    return (rng.random() < 0.6 for _ in itertools.count())


async def start(dut):
    """Clock, and a reset that is long enough."""
    Clock(dut.aclk, 10, unit="ns").start()
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 64)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(idle=[never, often], pause=[never, often])
async def session_gives_the_same_bytes(dut, idle, pause):
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn, False)
    sink   = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn, False)
    await start(dut)
    for end, pauses in ((source, idle()), (sink, pause())):
        if pauses is not None:
            end.set_pause_generator(pauses)
    expected = bytes.fromhex(CASE["to_host"])
    await source.write(bytes.fromhex(CASE["to_device"]))
    received = b""
    while len(received) < len(expected):
        received += bytes(await sink.read())
    assert received == expected
    await ClockCycles(dut.aclk, 200)
    assert sink.empty()


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pause=[never, often])
async def registers_say_what_it_is(dut, pause):
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, dut.aresetn, False)
    await start(dut)
    if (pauses := pause()) is not None:
        master.read_if.r_channel.set_pause_generator(pauses)
    await ClockCycles(dut.aclk, 200)
    for address, expected in CASE["registers"].items():
        read = await master.read(int(address), 4)
        assert (read.resp, int.from_bytes(read.data, "little")) == (AxiResp.OKAY, expected)
    assert (await master.read(0x40, 4)).resp == AxiResp.SLVERR
    assert (await master.write(0x00, b"\0" * 4)).resp == AxiResp.SLVERR
    assert (await master.read(0x00, 4)).data == b"popm"
