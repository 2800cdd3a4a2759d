"""Many inferences over a bad line, and how fast a link through a server is.

The figures of docs/reliability.md are printed with ``-s``.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faulty_transport import FaultyTransport

import popmac
from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.golden import layers
from popmac.protocol import DATA_BYTES, Space
from popmac_sim.board import SimulatedBoard, build_board


TINY = target("tiny")

#: Bytes per second of the real link.
LINK_RATE = TINY.clock_hz / TINY.cycles_per_byte


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.parametrize("count", [1000, 10_000])
def test_many_inferences_over_a_bad_line(rng, monkeypatch, digits, images, count):
    monkeypatch.setattr(os, "urandom", rng.bytes)
    graph     = popmac.load(digits)
    expected  = [layers.run(graph, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]
                 for image in images[:100]]
    board     = SimulatedBoard(build_board(TINY), TINY)
    transport = FaultyTransport(board, rng, rate=1e-3)
    device    = Device(Link(transport, timeout=0.05, retries=30, frame_bytes=128))
    session   = device.load(graph)
    longest, different, memory = 0.0, 0, []
    for number in range(count):
        begin     = board.time()
        result    = session.run(images[number % 100])
        longest   = max(longest, board.time() - begin)
        different += not np.array_equal(result, expected[number % 100])
        if number % (count // 10) == 0:
            memory.append(resident_megabytes())
    garbled = sum(transport.faults.values())
    print(f"\n{count:,} inferences, {board.bytes_in + board.bytes_out:,} bytes, {garbled:,} faults "
          f"{transport.faults}, {different} differences; longest wait {longest * 1e3:.0f} ms; "
          f"memory {memory[1]:.1f} MB after a tenth, {memory[-1]:.1f} MB after nine")
    assert different == 0
    assert garbled > count // 10
    assert memory[-1] - memory[1] < 5


def cpu_seconds(process):
    """Time that a process has had a processor."""
    *_, user, system = Path(f"/proc/{process}/stat").read_text().split()[:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["--tcp=127.0.0.1:0", "--pty"])
def test_throughput_through_a_server(rng, place):
    build_board(TINY)
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, popmac.cli; sys.exit(popmac.cli.main())",
         "device-server", "tiny", place], stdout=subprocess.PIPE, text=True)
    try:
        with popmac.open(process.stdout.readline().strip()) as device:
            link, data = device.link, rng.bytes(TINY.activation_bytes)
            rates = {}
            for name, step in [("window", len(data)), ("stop and wait", DATA_BYTES),
                               ("stop and wait, 64 bytes", 64)]:
                begin, octets = time.monotonic(), 0
                busy = cpu_seconds(process.pid)
                while time.monotonic() - begin < 4:
                    for start in range(0, len(data), step):
                        link.write(Space.ACTIVATION, start, data[start:start + step])
                    read = b"".join(link.read(Space.ACTIVATION, start, step)
                                    for start in range(0, len(data), step))
                    assert read == data
                    octets += 2 * len(data)
                rates[name] = octets / (time.monotonic() - begin)
                if step == len(data):
                    core = octets / (cpu_seconds(process.pid) - busy)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    print(f"\n{place}: " + ", ".join(f"{name} {rate / 1e3:,.0f} kB/s"
                                     for name, rate in rates.items())
          + f"; with a window and a core to itself {core / 1e3:,.0f} kB/s"
          + f"; the real link: {LINK_RATE / 1e3:,.0f} kB/s")
    # On a machine that has other things to do, too.
    assert core > LINK_RATE / 2
    assert rates["window"] > rates["stop and wait, 64 bytes"]
