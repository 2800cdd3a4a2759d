"""Whole networks over a bad line, and what interrupts them: right, or the right error."""

import os

import numpy as np
import pytest
from faulty_transport import FaultyTransport
from tflite_models import ModelBuilder

import popmac
from popmac.arch import target
from popmac.compiler.frontends.tflite import load_tflite
from popmac.driver.device import Device
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.golden import GoldenCore
from popmac.driver.link import Link
from popmac.golden import layers
from popmac_sim.board import SimulatedBoard, build_board


TINY = target("tiny")


@pytest.fixture(autouse=True)
def reproducible_sessions(rng, monkeypatch):
    monkeypatch.setattr(os, "urandom", rng.bytes)


@pytest.fixture(scope="module")
def graph(digits):
    return popmac.load(digits)


@pytest.fixture(params=["golden", "sim"])
def board(request):
    """Transport to a board, without faults."""
    if request.param == "golden":
        return SoftwareEndpoint(TINY, GoldenCore(TINY))
    return SimulatedBoard(build_board(TINY), TINY)


def expected_scores(graph, image):
    return layers.run(graph, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]


def open_faulty(board, rng, **faults):
    transport = FaultyTransport(board, rng, **faults)
    return Device(Link(transport, timeout=0.05, retries=30, frame_bytes=128)), transport


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
def test_every_inference_ends_with_the_right_integers(rng, board, graph, images, rate):
    device, transport = open_faulty(board, rng, rate=rate)
    session = device.load(graph)
    for image in images[:40]:
        np.testing.assert_array_equal(session.run(image), expected_scores(graph, image))
    assert sum(transport.faults.values()) > 30
    device.close()


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
def test_samples_that_are_sent_ahead_end_with_the_right_integers(rng, board, graph, images, rate):
    device, transport = open_faulty(board, rng, rate=rate)
    session = device.load(graph)
    for first in (0, 40):
        np.testing.assert_array_equal(
            session.run_many(images[first:first + 40]),
            [expected_scores(graph, image) for image in images[first:first + 40]])
    assert sum(transport.faults.values()) > 30
    device.close()


@pytest.mark.parametrize("after", [10, 5000, 30_000, 31_000])
def test_a_line_that_goes_dead_gives_an_error(rng, board, graph, images, after):
    begin = board.time()
    with pytest.raises(popmac.LinkError, match="somebody pulled the plug"):
        device, _ = open_faulty(board, rng, rate=1e-3, disconnect_after=after)
        session   = device.load(graph)
        for image in images:
            session.run(image)
    assert board.time() - begin < 5


class Deaf:
    """Transport that carries nothing any more from some moment on."""

    def __init__(self, transport):
        self.transport, self.deaf = transport, False

    def write(self, data):
        if not self.deaf:
            self.transport.write(data)

    def read(self, length, *, timeout):
        received = self.transport.read(length, timeout=timeout)
        return b"" if self.deaf else received

    def time(self):
        return self.transport.time()

    def close(self):
        self.transport.close()


def test_samples_that_are_sent_ahead_end_with_an_error_if_the_line_goes_dead(rng, board, graph,
                                                                             images):
    device, transport = open_faulty(board, rng, rate=0)
    session = device.load(graph)
    transport.disconnect_after = 2500
    begin = board.time()
    with pytest.raises(popmac.LinkError, match="somebody pulled the plug"):
        session.run_many(images)
    assert board.time() - begin < 5
    assert not session.loaded


def test_a_device_that_falls_silent_gives_an_error_in_time_and_may_come_back(board, graph, images):
    transport = Deaf(board)
    device    = Device(Link(transport, timeout=0.1, retries=3))
    session   = device.load(graph)
    session.run(images[0])
    transport.deaf = True
    begin = board.time()
    with pytest.raises(popmac.LinkTimeoutError, match="no answer within 0.1 s, 4 times"):
        session.run(images[0])
    assert board.time() - begin < 0.6
    transport.deaf = False
    # Who knows what the device has in its memories by now.
    with pytest.raises(popmac.DeviceError, match="load it again"):
        session.run(images[0])
    np.testing.assert_array_equal(device.load(graph).run(images[1]),
                                  expected_scores(graph, images[1]))


class Interrupted:
    """Transport during whose use somebody presses Ctrl-C."""

    def __init__(self, transport):
        self.transport, self.left = transport, None

    def _count(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise KeyboardInterrupt

    def write(self, data):
        self._count()
        self.transport.write(data)
        self._count()

    def read(self, length, *, timeout):
        self._count()
        return self.transport.read(length, timeout=timeout)

    def time(self):
        return self.transport.time()

    def close(self):
        self.transport.close()


def test_ctrl_c_anywhere_leaves_the_device_usable(board, graph, images):
    transport = Interrupted(board)
    device    = Device(Link(transport))
    session   = device.load(graph)
    expected  = [expected_scores(graph, image) for image in images[:5]]
    caught    = 0
    for place in range(30):
        transport.left = place
        try:
            result = session.run(images[place % 5])
            transport.left = None
        except KeyboardInterrupt:
            caught += 1
            result = session.run(images[place % 5])
        np.testing.assert_array_equal(result, expected[place % 5])
    assert caught > 5


def test_ctrl_c_among_samples_that_are_sent_ahead(board, images, rng):
    b = ModelBuilder()
    x = b.input((1, 512), scale=0.02, zero_point=3)
    b.output(b.fully_connected(
        x, rng.integers(-128, 128, (50, 512)).astype(np.int8), np.zeros(50, int),
        weight_scale=0.002, scale=0.05, zero_point=-3, activation="none"))
    graph     = load_tflite(b.build(), "paged")
    transport = Interrupted(board)
    device    = Device(Link(transport))
    session   = device.load(graph)
    assert len(session.program.pages) > 1
    xs        = rng.integers(-128, 128, (3, 512)).astype(np.int8)
    expected  = [layers.run(graph, {graph.inputs[0]: x[None]})[graph.outputs[0]][0] for x in xs]
    caught    = 0
    for place in range(0, 300, 17):
        transport.left = place
        try:
            session.run_many(xs)
        except KeyboardInterrupt:
            caught += 1
        transport.left = None
        np.testing.assert_array_equal(session.run_many(xs), expected)
    assert caught > 5


def test_ctrl_c_while_loading(board, graph, images):
    transport = Interrupted(board)
    device    = Device(Link(transport))
    for place in (0, 3, 10, 40):
        transport.left = place
        with pytest.raises(KeyboardInterrupt):
            device.load(graph)
    np.testing.assert_array_equal(device.load(graph).run(images[0]),
                                  expected_scores(graph, images[0]))
    assert device.load(graph).place.word >= 0


def test_a_run_can_be_stopped_in_the_middle(graph, images):
    board    = SimulatedBoard(build_board(TINY), TINY, fast=True)
    device   = Device(Link(board))
    session  = device.load(graph)
    expected = session.run(images[0])
    for _ in range(5):
        device.link.run(session.place.layer, session.place.layer + 3)
        assert device.link.status().active
        device.link.abort()
        assert not device.link.status().active
        np.testing.assert_array_equal(session.run(images[0]), expected)
