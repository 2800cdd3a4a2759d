"""The driver's link over a bad line to the Verilated endpoint: right, or the right error."""

import os

import pytest
from faulty_transport import FaultyTransport
from link_commands import random_commands
from link_core import ARCH, CountingCore

from popmac.driver.link import Link
from popmac_sim.board import SimulatedBoard


@pytest.fixture(autouse=True)
def reproducible_sessions(rng, monkeypatch):
    monkeypatch.setattr(os, "urandom", rng.bytes)


def open_link(library, rng, **faults):
    board = SimulatedBoard(library, ARCH)
    transport = FaultyTransport(board, rng, **faults)
    return Link(transport, timeout=0.02, retries=30, frame_bytes=100), transport, board


@pytest.mark.parametrize("rate", [0, 1e-4, 1e-3, 5e-3])
def test_everything_is_executed_once(rng, link_library, rate):
    link, transport, board = open_link(link_library, rng, rate=rate)
    link.hello()
    random_commands(rng, link, CountingCore(), 400)
    errors = sum(transport.faults[kind] for kind in ("flip", "drop", "insert", "repeat", "reorder"))
    assert (errors > 20) == (rate >= 1e-3)
    if rate == 0:
        assert (link.bytes_sent, link.bytes_received) == (board.bytes_in, board.bytes_out)
    link.close()
