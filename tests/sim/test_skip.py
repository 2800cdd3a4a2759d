"""Cycles that are skipped because nothing can change in them change nothing."""

import os
from importlib.resources import files

import numpy as np
import pytest
from link_commands import random_commands
from link_core import ARCH, CountingCore

from popmac.arch import target
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac_sim.board import SimulatedBoard, build_board


class Recorded:
    """Transport that notes what is said, and when."""

    def __init__(self, transport):
        self.transport, self.record = transport, []

    def write(self, data):
        self.transport.write(data)

    def read(self, length, *, timeout):
        received = self.transport.read(length, timeout=timeout)
        self.record.append((self.transport.cycles, received))
        return received

    def time(self):
        return self.transport.time()

    def close(self):
        self.transport.close()


def records(monkeypatch, make, use):
    """What is received, and when, without and with skipped cycles; and the boards."""
    found = []
    for skip in (False, True):
        monkeypatch.setattr(os, "urandom", np.random.default_rng(1).bytes)
        board    = make(skip)
        recorded = Recorded(board)
        use(recorded)
        found.append((recorded.record, board))
    return found


def test_link(rng, monkeypatch, link_library):
    def use(transport):
        link = Link(transport, frame_bytes=100)
        link.hello()
        random_commands(np.random.default_rng(2), link, CountingCore(), 100)

    (slow, _), (fast, board) = records(
        monkeypatch, lambda skip: SimulatedBoard(link_library, ARCH, skip=skip), use)
    assert slow == fast
    assert board.simulated < 0.3 * board.cycles


@pytest.mark.parametrize("link", ["real", "fast"])
def test_network(monkeypatch, link):
    arch    = target("tiny")
    library = build_board(arch)
    zoo     = files("popmac") / "zoo"
    with np.load(zoo / "digits.npz") as data:
        images = data["image"][:2]

    def use(transport):
        device  = Device(Link(transport))
        session = device.load(zoo / "digits.tflite")
        session.run(images[0])
        session.trace(images[1])
        assert session.counters["cycles"] > 0

    (slow, _), (fast, board) = records(
        monkeypatch,
        lambda skip: SimulatedBoard(library, arch, fast=link == "fast", skip=skip), use)
    assert slow == fast
    assert link == "fast" or board.simulated < 0.3 * board.cycles


