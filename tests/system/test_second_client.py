import ast
from pathlib import Path

import numpy as np
import pytest
import second_client
from faulty_transport import FaultyTransport

import popmac
from popmac.arch import target
from popmac_sim.board import SimulatedBoard, build_board


@pytest.mark.parametrize("rate", [0, 1e-3])
def test_loads_and_runs_a_program(rng, digits, images, rate):
    program   = popmac.compile(digits, target="tiny")
    board     = SimulatedBoard(build_board(target("tiny")), target("tiny"))
    transport = FaultyTransport(board, rng, rate=rate)
    client    = second_client.Client(
        transport.write, lambda seconds: transport.read(1000, timeout=seconds))
    assert client.configuration["rows"] == 4
    assert client.fingerprint == program.fingerprint

    client.write(1, 0, program.weights.tobytes())
    client.write(2, 0, program.rows.tobytes())
    segment = program.segments[0]
    image   = program.layouts[segment.inputs[0]]
    scores  = program.layouts[segment.outputs[0]]
    with popmac.open("golden:tiny") as device:
        session = device.load(program)
        for x in images[:3]:
            client.write(0, image.base * image.word_bytes, image.pack(x).tobytes())
            cycles = client.run(segment.first, segment.last)
            words  = np.frombuffer(client.read(0, scores.base * scores.word_bytes,
                                               scores.words * scores.word_bytes), np.int8)
            expected = session.trace(x)[segment.outputs[0]]
            np.testing.assert_array_equal(scores.unpack(words).ravel(), expected.ravel())
            assert cycles > 1000


def test_needs_nothing_but_the_protocol():
    tree  = ast.parse(Path(second_client.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names]
    assert names == ["json", "os", "struct", "zlib"]
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
