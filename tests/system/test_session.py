import numpy as np
import pytest

import popmac
from popmac import isa
from popmac.golden import layers
from popmac.reference import open_reference


@pytest.fixture(scope="module")
def graph(digits):
    return popmac.load(digits)


def expected_scores(graph, image):
    return layers.run(graph, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]


def test_codes_in_codes_out(device, digits, graph, images):
    session = device.load(digits)
    scores  = session.run(images[0])
    assert scores.dtype == np.int8 and scores.shape == (10,)
    np.testing.assert_array_equal(scores, expected_scores(graph, images[0]))
    np.testing.assert_array_equal(session.run(images[0][None]), scores)


def test_many(device, graph, images):
    session = device.load(graph)
    scores  = session.run_many(images[:5])
    assert scores.shape == (5, 10)
    np.testing.assert_array_equal(scores, [expected_scores(graph, image) for image in images[:5]])


def test_real_values_in_real_values_out(device, graph, images):
    session = device.load(graph)
    info, = session.inputs
    out,  = session.outputs
    real    = ((images[0].astype(np.float32) - info.zero_point) * np.float32(info.scale))
    scores  = session.run(real)
    assert scores.dtype == np.float32
    codes = expected_scores(graph, images[0]).astype(np.float32)
    np.testing.assert_array_equal(scores, (codes - out.zero_point) * np.float32(out.scale))


def test_every_tensor_equals_the_reference(device, digits, graph, images):
    reference = open_reference(digits.read_bytes(), graph)
    session   = device.load(graph)
    for image in (images[0], np.full_like(images[0], -128), np.full_like(images[0], 127)):
        expected = reference.run({graph.inputs[0]: image[None]})
        actual   = session.trace(image)
        for node in graph.nodes:
            for name in node.outputs:
                np.testing.assert_array_equal(actual[name], expected[name], err_msg=node.name)


def test_inputs_and_outputs_are_described(device, graph):
    session = device.load(graph)
    info, = session.inputs
    assert (info.name, info.shape, info.dtype) == ("image", (1, 8, 8, 1), "int8")
    assert info.zero_point == -128 and np.isclose(info.scale, 16 / 255)
    out, = session.outputs
    assert (out.shape, out.dtype) == ((1, 10), "int8")


def test_counters_are_the_devices(graph, images):
    with popmac.open("sim:tiny?link=fast") as device:
        program = popmac.compile(graph, target="tiny")
        session = device.load(program)
        with pytest.raises(popmac.DeviceError, match="run the program first"):
            session.counters # noqa: B018
        session.run(images[0])
        counters = session.counters
    rows = counters["layers"]
    assert [row["name"] for row in rows] == [
        node.name for node in graph.nodes if node.op != "Reshape"]
    assert rows[-1]["where"] == "host" and rows[-1]["cycles"] == 0
    assert sum(row["cycles"] for row in rows) == pytest.approx(counters["cycles"], abs=4)
    assert sum(row["macs"] for row in rows) == program.macs_on_device == program.macs
    steps = sum(row["cycles"] - sum(row["stalls"].values()) for row in rows)
    assert steps + sum(counters["stalls"].values()) == sum(row["cycles"] for row in rows)
    predicted = sum(layer.cycles for layer in program.layers)
    assert counters["cycles"] == pytest.approx(predicted, rel=0.03)
    assert counters["link_bytes_in"] > 64 and counters["link_bytes_out"] > 10


@pytest.mark.parametrize("x, message", [
    (np.zeros((8, 9, 1), np.int8), r"\(1, 8, 8, 1\), its leading 1 optional, not \(8, 9, 1\)"),
    (np.zeros((8, 8, 1), np.int16), r"int8 \(codes\) or float32 \(real values\), not int16"),
    (np.zeros((8, 8, 1), np.float64), r"not float64; convert it with astype"),
    (np.full((8, 8, 1), np.nan, np.float32), r"not finite"),
    ({"pixels": np.zeros((8, 8, 1), np.int8)}, r"the inputs are image, not pixels"),
])
def test_wrong_inputs_are_refused(device, graph, x, message):
    session = device.load(graph)
    with pytest.raises(popmac.InputError, match=message):
        session.run(x)


def test_no_samples(device, graph):
    with pytest.raises(popmac.InputError, match="no samples"):
        device.load(graph).run_many(np.zeros((0, 8, 8, 1), np.int8))


def test_program_survives_a_file(device, graph, images, tmp_path):
    program = popmac.compile(graph, target="tiny")
    program.save(tmp_path / "digits.popmac")
    again   = popmac.Program.load(tmp_path / "digits.popmac")
    assert again.to_bytes() == program.to_bytes()
    assert again.report() == program.report()
    np.testing.assert_array_equal(device.load(again).run(images[0]),
                                  expected_scores(graph, images[0]))


def test_program_for_another_target_is_refused(device, graph):
    program = popmac.compile(graph, target="ulx3s-85f")
    with pytest.raises(popmac.IncompatibleProgramError, match="rows 16 against 4"):
        device.load(program)


def test_an_old_session_says_so(device, graph, images):
    old = device.load(graph)
    old.run(images[0])
    new = device.load(graph)
    with pytest.raises(popmac.DeviceError, match="another program was loaded"):
        old.run(images[0])
    np.testing.assert_array_equal(new.run(images[0]), expected_scores(graph, images[0]))


def test_counters_of_the_golden_machine_are_zero(graph, images):
    with popmac.open("golden:tiny") as device:
        session = device.load(graph)
        session.run(images[0])
        assert session.counters["cycles"] == 0
        assert all(row["cycles"] == 0 for row in session.counters["layers"])
        assert isa.LayerCounters() == isa.LayerCounters.decode(0)


@pytest.mark.parametrize("url, message", [
    ("tiny", "devices are golden:TARGET"), ("sim:", "is no device"), ("usb:tiny", "is no device"),
    ("golden:huge", "there is no target 'huge'"), ("sim:tiny?link=slow", "real or fast"),
    ("sim:tiny?speed=1", "is no device"), ("tcp:nowhere", "a port is missing"),
])
def test_wrong_urls_are_refused(url, message):
    with pytest.raises(popmac.PopmacError, match=message):
        popmac.open(url)
