"""Layers of few bits on the binary engine: exact, and only where they take fewer cycles."""

import numpy as np
import pytest
from few_bit_models import WEIGHTS, FewBitModel, levels, prefer_engine

import popmac
from popmac import isa
from popmac.compiler import storage
from popmac.compiler.lowering import thresholds
from popmac.compiler.requantize import FitError
from popmac.golden import layers


KINDS = ["signed", "unsigned", "bipolar"]


@pytest.fixture
def engine_first(monkeypatch):
    prefer_engine(monkeypatch)


def units(program):
    return [isa.Unit(program.descriptor(i).unit) for i in range(len(program.layers))]


def check(model, device, *, inputs=2, on_engine=None):
    """Compare all tensors; how many layers ran on the binary engine."""
    graph   = model.graph()
    program = popmac.compile(graph, target=device.arch)
    assert not [f for f in program.fallbacks if f.op not in ("Threshold", "Reshape")], \
        program.report()
    program = popmac.Program.from_bytes(program.to_bytes())
    session = device.load(program)
    for _ in range(inputs):
        x      = model.input()
        actual = session.trace(x)
        for name, values in layers.run(graph, {"x": x}).items():
            if not graph.tensors[name].is_constant:
                np.testing.assert_array_equal(actual[name], values, err_msg=name)
    used = units(program).count(isa.Unit.BINARY)
    assert on_engine is None or used == on_engine, program.report()
    return used


def random_codes(rng, arch):
    most = {1: 1, 2: 2, 4: 4, 8: 4}[arch.planes]
    bits = int(rng.choice([b for b in (1, 2, 3, 4) if b <= most]))
    return levels(bits, str(rng.choice(KINDS)))


def random_model(rng, arch, *, extreme=False, largest=150):
    """A few convolutions and fully connected layers."""
    kinds = list(WEIGHTS)
    size  = rng.integers(3, 9, 2).tolist()
    model = FewBitModel(rng, (*size, int(rng.integers(1, largest))), random_codes(rng, arch),
                        extreme=extreme)
    for _ in range(int(rng.integers(3))):
        size = model.last.shape[1:3]
        kernel = [int(rng.integers(1, min(n, 3) + 1)) for n in size]
        model.convolution(int(rng.integers(1, largest)), kernel, random_codes(rng, arch),
                          str(rng.choice(kinds)), strides=rng.integers(1, 3, 2).tolist())
    if np.prod(model.last.shape) > 4096: # the most that a fully connected layer takes
        return random_model(rng, arch, extreme=extreme, largest=largest)
    if rng.random() < 0.7:
        model.fully_connected(int(rng.integers(1, 2 * largest)), random_codes(rng, arch),
                              str(rng.choice(kinds)))
    model.sums(int(rng.integers(1, 12)), str(rng.choice(kinds)))
    return model


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("target", ["ulx3s-85f", "ulx3s-85f-binary", "tiny"])
def test_random_networks(rng, engine_first, target, extreme):
    used = 0
    with popmac.open(f"golden:{target}") as device:
        largest = 40 if target == "tiny" else 150
        for _ in range(12):
            used += check(random_model(rng, device.arch, extreme=extreme, largest=largest), device)
    assert used >= 12


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_kind_runs_on_the_engine(rng, engine_first, weights, bits):
    with popmac.open("golden:ulx3s-85f") as device:
        for kind in KINDS:
            for channels in (3, 64, 100):
                model = FewBitModel(rng, (4, 5, channels), levels(bits, kind))
                model.convolution(33, (3, 2), levels(bits, kind), weights)
                model.sums(3, weights)
                check(model, device, inputs=1, on_engine=2)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("channels", [512, 300])
@pytest.mark.parametrize("weights, bits", [("int2", 4), ("int3", 2), ("ternary", 4)])
def test_large_sums(rng, engine_first, weights, bits, channels, extreme):
    with popmac.open("golden:ulx3s-85f") as device:
        model = FewBitModel(rng, (3, 4, channels), levels(bits, "unsigned"), extreme=extreme)
        model.convolution(200, (3, 3), levels(bits, "signed"), weights)
        model.fully_connected(5, levels(2, "signed"), weights)
        check(model, device, inputs=3)


def test_too_large_sums_stay_on_the_array(rng, engine_first):
    with popmac.open("golden:ulx3s-85f") as device:
        model = FewBitModel(rng, (3, 3, 512), levels(2, "unsigned"))
        model.convolution(4, (3, 3), levels(2, "signed"), "int4") # 4,608 * 16 is 2**16 and more
        check(model, device, on_engine=0)


@pytest.mark.parametrize("weights, bits, channels, least", [
    ("ternary", 2, 64, 3.5), ("int2", 2, 64, 2.4), ("ternary", 1, 128, 12), ("int4", 4, 128, 1.3),
    ("ternary", 4, 128, 3.5),
])
def test_engine_takes_fewer_cycles(rng, monkeypatch, weights, bits, channels, least):
    def program():
        return popmac.compile(model.graph(), target="ulx3s-85f")

    model = FewBitModel(rng, (14, 14, channels), levels(bits, "unsigned"))
    model.convolution(channels, (3, 3), levels(bits, "unsigned"), weights)
    on_engine = program()
    monkeypatch.setattr(storage, "choose_bit_tensors", lambda *arguments: set())
    on_array  = program()
    assert units(on_engine) == [isa.Unit.BINARY] and units(on_array) == [isa.Unit.ARRAY]
    assert sum(layer.cycles for layer in on_array.layers) \
        >= least * sum(layer.cycles for layer in on_engine.layers)


def test_engine_is_not_used_where_it_takes_longer(rng, monkeypatch):
    model = FewBitModel(rng, (14, 14, 16), levels(4, "unsigned"))
    model.convolution(16, (3, 3), levels(4, "unsigned"), "int4")
    assert units(popmac.compile(model.graph(), target="ulx3s-85f")) == [isa.Unit.ARRAY]
    prefer_engine(monkeypatch)
    program = popmac.compile(model.graph(), target="ulx3s-85f")
    assert set(units(program)) == {isa.Unit.BINARY}


def test_array_computes_what_has_no_parameters_on_the_engine(rng, engine_first, monkeypatch):
    def fail(fitted, factor):
        if factor == 2:
            raise FitError([0], "no reason")
        return of_counts(fitted, factor)

    of_counts = thresholds._of_counts
    monkeypatch.setattr(thresholds, "_of_counts", fail)
    with popmac.open("golden:ulx3s-85f") as device:
        model = FewBitModel(rng, (5, 5, 20), levels(2, "unsigned"))
        model.convolution(20, (3, 3), levels(2, "signed"), "ternary")
        model.convolution(20, (3, 3), levels(2, "signed"), "odd")
        model.sums(3, "ternary")
        check(model, device, on_engine=2)


@pytest.mark.parametrize("url", ["sim:tiny?link=fast", "sim:ulx3s-85f?link=fast"])
def test_simulated_board(rng, monkeypatch, url):
    used = 0
    with popmac.open(url) as device:
        largest = 40 if "tiny" in url else 150
        for _ in range(4):
            used += check(random_model(rng, device.arch, largest=largest), device)
        prefer_engine(monkeypatch)
        for extreme in [False] * 5 + [True] * 3:
            used += check(random_model(rng, device.arch, largest=largest, extreme=extreme), device)
    assert used >= 8


def test_predicted_cycles_are_counted(rng, monkeypatch):
    prefer_engine(monkeypatch)
    with popmac.open("sim:ulx3s-85f?link=fast") as device:
        for weights, bits in [("bipolar", 1), ("ternary", 2), ("int2", 2), ("int4", 4)]:
            model = FewBitModel(rng, (6, 8, 40), levels(bits, "unsigned"))
            model.convolution(40, (3, 3), levels(bits, "unsigned"), weights)
            model.sums(4, weights)
            program = popmac.compile(model.graph(), target=device.arch)
            session = device.load(program)
            session.run(model.input())
            predicted = sum(layer.cycles for layer in program.layers)
            assert predicted <= session.counters["cycles"] <= 1.005 * predicted + 25


@pytest.mark.parametrize("weights", ["bipolar", "ternary", "int4"])
def test_codes_that_are_not_reached_need_no_room(rng, weights):
    # A straight line whose ends the sums of 5-bit codes do not reach. Those of bytes would.
    model = FewBitModel(rng, (5, 6, 1), tuple(range(32)))

    def limits_of(data, codes):
        low, high = model._reach(data)
        apart     = (high - low) // 9
        limits    = ((low + high) // 2)[:, None] + apart[:, None] * np.arange(-7, 8)
        return model._constant(limits.clip(low[:, None], high[:, None] + 1).astype(np.int32))

    model._thresholds = limits_of
    model.convolution(8, (3, 3), tuple(range(16)), weights)
    with popmac.open("golden:tiny") as device:
        program = popmac.compile(model.graph(), target=device.arch)
        assert program.macs_on_device == program.macs > 0
        check(model, device, inputs=4)
