"""Whole networks over each transport, through `popmac device-server`."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import popmac
from popmac.golden import layers


SECONDS = 60


@pytest.fixture(params=[["--tcp=127.0.0.1:0"], ["--pty"], ["--tcp=127.0.0.1:0", "--link=real"]],
                ids=lambda arguments: "".join(arguments))
def server(request):
    """Process of a server, and its URL."""
    popmac.open("sim:tiny").close() # builds the board, which may take longer
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, popmac.cli; sys.exit(popmac.cli.main())",
         "device-server", "tiny", *request.param],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.url = process.stdout.readline().strip()
    yield process
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (0, "", "")


def test_whole_network(server, digits, images):
    graph = popmac.load(digits)
    for _ in range(2): # one client after the other
        with popmac.open(server.url) as device:
            assert device.arch.name == "tiny"
            session = device.load(graph)
            results = session.run_many(images[:10])
            assert session.counters["cycles"] > 1000
        expected = [layers.run(graph, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]
                    for image in images[:10]]
        np.testing.assert_array_equal(results, expected)


def test_a_second_client_is_refused(server, digits, images):
    with popmac.open(server.url) as device:
        session = device.load(digits)
        begin   = time.monotonic()
        with pytest.raises(popmac.LinkError, match="in use by|lock") as caught:
            popmac.open(server.url)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - begin < 5
        session.run(images[0])
    popmac.open(server.url).close()


def test_a_client_that_vanishes_leaves_the_board_usable(server, digits, images):
    device   = popmac.open(server.url)
    session  = device.load(digits)
    expected = session.run(images[0])
    device.link.post_run(0, 3)
    device.link.post_wait()
    device.link.close()
    with popmac.open(server.url) as device:
        np.testing.assert_array_equal(device.load(digits).run(images[0]), expected)
