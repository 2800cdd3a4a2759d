"""Layers of few bits on the binary engine: exact, and only where they take fewer cycles."""

import numpy as np
import pytest
from few_bit_models import WEIGHTS, FewBitModel, levels

import popmac
from popmac import isa
from popmac.compiler import bit_tensors
from popmac.golden import layers


KINDS = ["signed", "unsigned", "bipolar"]


@pytest.fixture
def prefer_engine(monkeypatch):
    """Layers run on the binary engine wherever they can, whatever it takes."""
    def cycles(graph, node, storages, arch):
        return 10 - 5 * (storages[node.inputs[0]].layout.bits > 0)
    monkeypatch.setattr(bit_tensors, "sums_cycles", cycles)


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
def test_random_networks(rng, prefer_engine, target, extreme):
    used = 0
    with popmac.open(f"golden:{target}") as device:
        largest = 40 if target == "tiny" else 150
        for _ in range(12):
            used += check(random_model(rng, device.arch, extreme=extreme, largest=largest), device)
    assert used >= 12


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_kind_runs_on_the_engine(rng, prefer_engine, weights, bits):
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
def test_large_sums(rng, prefer_engine, weights, bits, channels, extreme):
    with popmac.open("golden:ulx3s-85f") as device:
        model = FewBitModel(rng, (3, 4, channels), levels(bits, "unsigned"), extreme=extreme)
        model.convolution(200, (3, 3), levels(bits, "signed"), weights)
        model.fully_connected(5, levels(2, "signed"), weights)
        check(model, device, inputs=3)


def test_too_large_sums_stay_on_the_array(rng, prefer_engine):
    with popmac.open("golden:ulx3s-85f") as device:
        model = FewBitModel(rng, (3, 3, 512), levels(2, "unsigned"))
        model.convolution(4, (3, 3), levels(2, "signed"), "int4") # 4,608 * 16 is 2**16 and more
        check(model, device, on_engine=0)
