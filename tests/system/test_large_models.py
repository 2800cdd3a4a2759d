"""Models that do not fit on the device at the same time."""

import numpy as np
from operator_models import random_inputs
from tflite_models import ModelBuilder

import popmac
from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers
from popmac.program import DeviceSegment


def many_weights(rng, inputs, outputs):
    """A fully connected layer."""
    b = ModelBuilder()
    x = b.input((1, inputs), scale=0.02, zero_point=3)
    b.output(b.fully_connected(
        x, rng.integers(-128, 128, (outputs, inputs)).astype(np.int8),
        rng.integers(-5000, 5000, outputs),
        weight_scale=rng.uniform(0.001, 0.004, outputs).tolist(),
        scale=0.05, zero_point=-3, activation="none"))
    return load_tflite(b.build(), "large")


def many_functions(rng, count):
    """Leaky rectifiers one behind the other, each with a table of its own."""
    b = ModelBuilder()
    x = b.input((1, 4, 5, 6), scale=0.1)
    for index in range(count):
        x = b.unary("LEAKY_RELU", x, alpha=0.2 + 0.05 * index, scale=0.1, zero_point=0)
    b.output(x)
    return load_tflite(b.build(), "functions")


def long_residuals(rng, count, size):
    """Rectifiers whose results are all added up again, from the last to the first."""
    b = ModelBuilder()
    history = [b.input((1, size, size, 16), scale=0.1)]
    for index in range(count):
        history.append(b.unary("LEAKY_RELU", history[-1], alpha=0.3 + 0.1 * index, scale=0.1,
                               zero_point=0))
    x = history.pop()
    while history:
        x = b.binary("ADD", x, history.pop(), scale=0.1, zero_point=0, activation="none")
    b.output(x)
    return load_tflite(b.build(), "residuals")


def check(device, graph, rng, runs=2):
    """Program of a graph, whose tensors and results were compared with the reference's."""
    program = popmac.compile(graph, target=device.arch)
    session = device.load(program)
    for _ in range(runs):
        inputs   = random_inputs(graph, rng)
        expected = layers.run(graph, inputs)
        actual   = session.trace(inputs)
        assert actual.keys() >= {name for node in graph.nodes for name in node.outputs}
        for name in actual.keys() & expected.keys(): # there are parts of tensors besides
            np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
        for name in graph.outputs:
            np.testing.assert_array_equal(session.run(inputs), expected[name][0])
    again = popmac.Program.from_bytes(program.to_bytes())
    assert again.to_bytes() == program.to_bytes()
    return program


def test_weights_stream(device, rng):
    graph   = many_weights(rng, 512, 100) # 51,200 bytes, of which 16,640 fit
    program = check(device, graph, rng)
    assert len(program.pages) == 4 and program.macs_on_device == program.macs
    assert program.bytes_per_run >= 51_200
    assert "stream in 4 pages" in program.report()
    # Weights of other programs make room for them, and the other way round.
    small   = many_weights(rng, 64, 10)
    session = device.load(program)
    check(device, small, rng)
    if session.loaded:
        x = random_inputs(graph, rng)
        np.testing.assert_array_equal(session.run(x), layers.run(graph, x)[graph.outputs[0]][0])


def test_weights_of_depthwise_layers_stream(device, rng):
    b = ModelBuilder()
    x = b.input((1, 5, 6, 40), scale=0.1)
    b.output(b.depthwise_conv_2d(x, rng.integers(-128, 128, (1, 15, 15, 40)).astype(np.int8),
                                 weight_scale=0.01, scale=1.0))
    program = check(device, load_tflite(b.build(), "deep"), rng, runs=1)
    assert len(program.pages) > 1 and program.macs_on_device == program.macs


def test_tables_stream(device, rng):
    program = check(device, many_functions(rng, 11), rng)
    assert [page.tables for page in program.pages] == [8, 3]
    assert not program.fallbacks


def test_tensors_make_room(device, rng):
    graph   = long_residuals(rng, 7, 12) # 2,304 bytes each, of which 7 fit
    program = check(device, graph, rng)
    assert not program.fallbacks
    assert sum(isinstance(segment, DeviceSegment) for segment in program.segments) > 1


def test_tensors_that_are_too_large_are_tiled(device, rng):
    b = ModelBuilder()
    x = b.input((1, 30, 30, 16), scale=0.1) # 14,400 bytes of 16,384
    y = b.conv_2d(x, rng.integers(-128, 128, (16, 3, 3, 16)).astype(np.int8), weight_scale=0.01,
                  scale=0.5, zero_point=4)
    b.output(b.unary("LEAKY_RELU", y, alpha=0.1, scale=0.4, zero_point=0))
    program = check(device, load_tflite(b.build(), "too large"), rng, runs=1)
    assert program.macs_on_device == program.macs
    assert {f.op for f in program.fallbacks} == {"StridedSlice", "Concatenation"}


def test_what_cannot_be_tiled_is_computed_on_the_host(device, rng):
    b = ModelBuilder()
    x = b.input((1, 30, 30, 16), scale=0.1)
    b.output(b.resize("RESIZE_NEAREST_NEIGHBOR", x, (60, 60), alignCorners=False,
                      halfPixelCenters=False))
    program = check(device, load_tflite(b.build(), "too large"), rng, runs=1)
    assert "bytes of activations are needed at the same time" in program.report()


def test_parameters_stream(device, rng):
    b, inputs = ModelBuilder(), 8
    x = b.input((1, inputs), scale=0.02)
    for outputs in (900, 4, 1100, 6, 60): # channels, of which 2,048 less some have room
        x = b.fully_connected(x, rng.integers(-128, 128, (outputs, inputs)).astype(np.int8),
                              rng.integers(-500, 500, outputs),
                              weight_scale=rng.uniform(0.001, 0.004, outputs).tolist(), scale=0.1)
        inputs = outputs
    b.output(x)
    program = check(device, load_tflite(b.build(), "channels"), rng)
    assert len(program.pages) > 1 and all(page.rows for page in program.pages)
    assert program.macs_on_device == program.macs
    assert len(program.rows) > program.arch.program_rows >= program.resident_rows
    assert program.bytes_per_run >= 36 * len(program.rows)
