"""Many samples at once: the same as one after the other, in less time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from operator_models import random_inputs
from tflite_models import ModelBuilder

import popmac
from popmac.arch import target
from popmac.compiler.frontends.tflite import load_tflite
from popmac.driver import session as driver_session
from popmac.driver.device import Device
from popmac.driver.link import Link
from popmac.program import DeviceSegment
from popmac_sim.board import SimulatedBoard, build_board


TINY = target("tiny")


def codes(rng, shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def interrupted(rng):
    """Two inputs, two outputs, and an operator of the host between two convolutions."""
    b = ModelBuilder()
    x = b.input((1, 6, 5, 4), scale=0.1)
    y = b.input((1, 6, 5, 4), scale=0.1)
    s = b.binary("ADD", x, y, scale=0.2, zero_point=0, activation="none")
    c = b.conv_2d(s, codes(rng, (8, 3, 3, 4)), weight_scale=0.01, scale=0.5, zero_point=4)
    p = b.binary("PRELU", c, b.tensor((1, 1, 8), data=codes(rng, (1, 1, 8)), scale=0.01),
                 scale=0.5, zero_point=4)
    d = b.conv_2d(p, codes(rng, (8, 1, 1, 8)), weight_scale=0.01, scale=0.5, zero_point=4)
    b.output(d, c)
    return load_tflite(b.build(), "interrupted")


def paged(rng):
    """More weights than fit: they are written again for every sample."""
    b = ModelBuilder()
    x = b.input((1, 512), scale=0.02, zero_point=3)
    b.output(b.fully_connected(x, codes(rng, (50, 512)), rng.integers(-5000, 5000, 50),
                               weight_scale=0.002, scale=0.05, zero_point=-3, activation="none"))
    return load_tflite(b.build(), "paged")


def samples(graph, rng, count):
    """Inputs of samples by name, along the first axis."""
    several = [random_inputs(graph, rng) for _ in range(count)]
    return {name: np.stack([one[name] for one in several]) for name in graph.inputs}


def one_by_one(session, xs):
    """Results of ``run`` in the form of those of ``run_many``."""
    results = [session.run({name: array[i] for name, array in xs.items()})
               for i in range(len(next(iter(xs.values()))))]
    if isinstance(results[0], dict):
        return {name: np.stack([result[name] for result in results]) for name in results[0]}
    return np.stack(results)


def assert_same(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        actual, expected = {"": actual}, {"": expected}
    assert list(actual) == list(expected)
    for name in expected:
        assert actual[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.fixture
def digits_graph(digits):
    return popmac.load(digits)


@pytest.mark.parametrize("count", [1, 2, 8, 21])
@pytest.mark.parametrize("make", [interrupted, paged])
def test_equal_to_single_runs(device, rng, monkeypatch, make, count):
    monkeypatch.setattr(driver_session, "_TURN", 16)
    graph   = make(rng)
    session = device.load(graph)
    segments = [s for s in session.program.segments if isinstance(s, DeviceSegment)]
    assert len(segments) == 2 if make is interrupted else len(session.program.pages) > 1
    xs       = samples(graph, rng, count)
    expected = one_by_one(session, xs)
    assert_same(session.run_many(xs), expected)


def test_real_values(device, digits_graph, images):
    session = device.load(digits_graph)
    info,   = session.inputs
    real    = (images[:11].astype(np.float32) - info.zero_point) * np.float32(info.scale)
    expected = np.stack([session.run(x) for x in real])
    assert expected.dtype == np.float32
    assert_same(session.run_many(real), expected)


def test_lists_will_do(device, digits_graph, images):
    session = device.load(digits_graph)
    assert_same(session.run_many(list(images[:3])), session.run_many(images[:3]))


@pytest.mark.parametrize("damage", [
    lambda x: np.delete(x, 0, axis=1),
    lambda x: x.astype(np.float64),
    lambda x: np.where(np.arange(len(x))[:, None, None, None] == 7, np.nan, x).astype(np.float32),
])
def test_errors_are_those_of_single_runs(device, digits_graph, images, damage):
    session = device.load(digits_graph)
    wrong   = damage(images[:9])
    with pytest.raises(popmac.InputError) as expected:
        for x in wrong:
            session.run(x)
    with pytest.raises(popmac.InputError) as actual:
        session.run_many(wrong)
    assert str(actual.value) == str(expected.value)
    session.run(images[0])


def test_inputs_of_other_names_or_lengths_are_refused(device, rng):
    graph   = interrupted(rng)
    session = device.load(graph)
    x, y    = samples(graph, rng, 3).values()
    with pytest.raises(popmac.InputError, match="give a dict by name"):
        session.run_many(x)
    with pytest.raises(popmac.InputError, match="the inputs are .*, not wrong"):
        session.run_many({"wrong": x})
    with pytest.raises(popmac.InputError, match="the same number of samples"):
        session.run_many(dict(zip(graph.inputs, (x, y[:2]))))


def test_counters_are_those_of_the_last_sample(digits_graph, images):
    board = SimulatedBoard(build_board(TINY), TINY)
    with Device(Link(board)) as device:
        session = device.load(digits_graph)
        before  = board.bytes_in, board.bytes_out
        session.run(images[10])
        carried  = board.bytes_in - before[0], board.bytes_out - before[1]
        expected = session.counters
        session.run_many(images[:11])
        counters = session.counters
    assert (expected["link_bytes_in"], expected["link_bytes_out"]) == carried
    for name in ("cycles", "stalls", "layers"):
        assert counters[name] == expected[name]
    # Sequence numbers and cycles in the answers may have to be escaped.
    for name in ("link_bytes_in", "link_bytes_out"):
        assert counters[name] == pytest.approx(expected[name], abs=8)


@pytest.mark.parametrize("fast", [False, True])
def test_link_and_computation_overlap(rng, fast):
    board = SimulatedBoard(build_board(TINY), TINY, fast=fast)
    graph = in_and_out(rng)
    xs    = codes(rng, (20, 400))
    with Device(Link(board)) as device:
        session = device.load(graph)

        def cycles_per_sample(function):
            begin = board.cycles
            function()
            return (board.cycles - begin) / len(xs)

        single   = cycles_per_sample(lambda: [session.run(x) for x in xs])
        many     = cycles_per_sample(lambda: session.run_many(xs))
        counters = session.counters
    # What is no faster: the link to the device, or the computation.
    link = counters["link_bytes_in"] * (1 if fast else TINY.cycles_per_byte)
    assert max(link, counters["cycles"]) <= many < (0.95 if fast else 0.6) * single
    assert fast or many < 1.1 * link


def in_and_out(rng):
    """Little to compute, for its inputs and outputs."""
    b = ModelBuilder()
    x = b.input((1, 400), scale=0.1)
    for outputs, inputs in [(16, 400), (400, 16)]:
        x = b.fully_connected(x, codes(rng, (outputs, inputs)), np.zeros(outputs, int),
                              weight_scale=0.01, scale=0.1, zero_point=0, activation="none")
    b.output(x)
    return load_tflite(b.build(), "in and out")


def test_outputs_are_not_where_the_next_inputs_come_to(rng):
    program  = popmac.compile(in_and_out(rng), target="tiny")
    segment, = program.segments
    source, result = (program.layouts[name] for name in (*segment.inputs, *segment.outputs))
    assert source.base + source.words <= result.base or result.base + result.words <= source.base


def test_threads_get_their_own_results(device, digits_graph, rng, monkeypatch):
    monkeypatch.setattr(driver_session, "_TURN", 8)
    other    = interrupted(rng)
    sessions = device.load(digits_graph), device.load(other)
    work     = [(s, samples(g, rng, 12)) for s, g in zip(sessions, (digits_graph, other))] * 2
    expected = [one_by_one(session, xs) for session, xs in work]
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(session.run_many, xs) for session, xs in work]
        single  = pool.submit(one_by_one, *work[0])
        for future, result in zip([*futures, single], [*expected, expected[0]]):
            assert_same(future.result(120), result)


def test_a_program_that_was_evicted_is_not_run(device, digits_graph, images):
    session = device.load(digits_graph)
    device.unload()
    with pytest.raises(popmac.DeviceError, match="load it again"):
        session.run_many(images[:3])
