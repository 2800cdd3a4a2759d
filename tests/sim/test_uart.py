"""The core behind its UART, bit by bit, with the driver at the other end of the line."""

from importlib.resources import files

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

import popmac
from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.golden import layers
from popmac_gateware.core import Core
from popmac_gateware.link.uart import UART
from popmac_sim.board import GATEWARE, SimulatedBoard
from popmac_sim.verilated import build


TINY = target("tiny")

#: Cycles per bit: not a whole number, and few, so that it does not take long.
CLOCK_HZ, BAUD = 53, 10


class SerialLine(wiring.Component):
    """Core, UART, line, and the UART of a host.

    Members
    -------
    i, o : streams of bytes
        At the host's end.
    idle : ``Out(1)``
        Never: the UARTs always count.
    """

    i:    In(stream.Signature(8))
    o:    Out(stream.Signature(8))
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.host   = host   = UART(clock_hz=CLOCK_HZ, baud=BAUD)
        m.submodules.device = device = UART(clock_hz=CLOCK_HZ, baud=BAUD)
        m.submodules.core   = core   = Core(TINY)
        wiring.connect(m, wiring.flipped(self.i), host.i)
        wiring.connect(m, wiring.flipped(self.o), host.o)
        wiring.connect(m, device.o, core.i)
        wiring.connect(m, core.o, device.i)
        m.d.comb += [device.rx.eq(host.tx), host.rx.eq(device.tx)]
        return m


def test_network_over_a_serial_line():
    library = build(SerialLine, sources=[*GATEWARE, __file__], parameters=TINY.to_json(),
                    description="tiny behind a UART")
    zoo     = files("popmac") / "zoo"
    graph   = popmac.load(zoo / "digits.tflite")
    with np.load(zoo / "digits.npz") as data:
        images = data["image"][:5]
    board = SimulatedBoard(library, TINY, fast=True)
    with Device(Link(board)) as device:
        session = device.load(graph)
        results = session.run_many(images)
        report  = device.link.status()
    expected = [layers.run(graph, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]
                for image in images]
    np.testing.assert_array_equal(results, expected)
    assert (report.garbled, report.repeated) == (0, 0)
    # All bits of all bytes took their time.
    assert board.cycles > (board.bytes_in + board.bytes_out) * 10 * CLOCK_HZ / BAUD * 0.9
