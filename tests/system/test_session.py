import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from network_models import random_network

import popmac
from popmac import isa
from popmac.compiler.frontends.tflite import load_tflite
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


def test_programs_share_the_device_if_they_fit(device, graph, images, rng):
    other   = load_tflite(random_network(rng, 4, size=(8, 8), channels=1, classes=3), "other")
    x       = rng.integers(-128, 128, (8, 8, 1)).astype(np.int8)
    a, b    = device.load(graph), device.load(other)
    assert b.place.layer > 0 and b.place.word > 0
    for _ in range(2):
        np.testing.assert_array_equal(a.run(images[0]), expected_scores(graph, images[0]))
        np.testing.assert_array_equal(b.run(x), expected_scores(other, x))
        assert {row["name"] for row in b.counters["layers"]} <= {n.name for n in other.nodes}
    again = device.load(graph)
    np.testing.assert_array_equal(again.run(images[1]), expected_scores(graph, images[1]))
    np.testing.assert_array_equal(b.run(x), expected_scores(other, x))


@pytest.fixture
def small(rng):
    """A network of which several fit on a device, and a sample."""
    model = random_network(rng, 2, size=(4, 4), channels=2, classes=3)
    return load_tflite(model, "small"), rng.integers(-128, 128, (4, 4, 2)).astype(np.int8)


def test_the_oldest_program_makes_room(device, small):
    graph, x = small
    sessions = [device.load(graph)]
    while sessions[0].loaded:
        sessions.append(device.load(graph))
        assert len(sessions) < 100
    assert len(sessions) > 3 and all(session.loaded for session in sessions[1:])
    with pytest.raises(popmac.DeviceError, match="not on the device any more"):
        sessions[0].run(x)
    for session in sessions[1:]:
        np.testing.assert_array_equal(session.run(x), expected_scores(graph, x))


def test_programs_of_forgotten_sessions_make_room(device, small):
    graph, x = small
    kept     = device.load(graph)
    for _ in range(30):
        device.load(graph)
    np.testing.assert_array_equal(kept.run(x), expected_scores(graph, x))


def test_inferences_are_submitted(device, graph, images):
    session    = device.load(graph)
    inferences = [session.submit(image) for image in images[:20]]
    for image, inference in zip(images, inferences):
        np.testing.assert_array_equal(inference.result(60), expected_scores(graph, image))
        assert inference.done() and not inference.cancel()
    with pytest.raises(popmac.InputError, match="must have shape"):
        session.submit(images[0][:3]).result(60)


def test_threads_get_their_own_results(device, graph, images):
    session  = device.load(graph)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(session.run, images[:40]))
    np.testing.assert_array_equal(results, [expected_scores(graph, image) for image in images[:40]])


def test_waiting_for_an_inference_is_bounded(graph, images):
    device  = popmac.open("golden:tiny")
    session = device.load(graph)
    go, began = threading.Event(), threading.Event()

    def hold():
        began.set()
        go.wait(60)

    device.submit(hold)
    began.wait(60)
    first, second = session.submit(images[0]), session.submit(images[1])
    with pytest.raises(popmac.LinkTimeoutError, match="no result within 0.01 s"):
        first.result(0.01)
    assert second.cancel()
    with pytest.raises(popmac.DeviceError, match="cancelled"):
        second.result(1)
    go.set()
    np.testing.assert_array_equal(first.result(60), expected_scores(graph, images[0]))
    device.close()
    with pytest.raises(popmac.LinkError, match="the device is closed"):
        session.submit(images[0])


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
