"""Damaged files of each format: one clear error, or something that is consistent."""

import hashlib
import json
import resource
import struct
import time

import numpy as np
import operator_models
import pytest
import qonnx_models
import quantized_onnx_models
from corruption import NUMBERS, corrupted

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.compiler.frontends.tflite import load_tflite
from popmac.driver.device import Device
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.golden import GoldenCore
from popmac.driver.link import Link
from popmac.program import Program


#: Seconds that a file may take, and megabytes by which all of them together may let memory grow.
SECONDS   = 5
MEGABYTES = 300

few_and_many = pytest.mark.parametrize(
    "count", [300, pytest.param(100_000, marks=pytest.mark.slow)])


def fuzz(count, make, use):
    """Load ``count`` files, and return how many were accepted."""
    before   = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted = 0
    for _ in range(count):
        data  = make()
        start = time.perf_counter()
        try:
            use(data)
            accepted += 1
        except popmac.PopmacError as error:
            if not isinstance(error, popmac.UnsupportedModelError): # which has a line per operator
                assert "\n" not in str(error), error
        assert time.perf_counter() - start < SECONDS
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES, f"{grown:.0f} MB"
    return accepted


@few_and_many
def test_tflite(rng, digits, count):
    sources = [digits.read_bytes(),
               *(operator_models.random_model(op, rng) for op in operator_models.MODELS)]
    fuzz(count, lambda: corrupted(sources[rng.integers(len(sources))], rng),
         lambda data: load_tflite(data, "model.tflite"))


@few_and_many
def test_onnx(rng, count):
    sources = [qonnx_models.random_network(rng)[0] for _ in range(5)]
    fuzz(count, lambda: corrupted(sources[rng.integers(len(sources))], rng),
         lambda data: load_onnx(data, "model.onnx"))


@few_and_many
def test_quantized_onnx(rng, count):
    sources = [quantized_onnx_models.random_operator(op, rng).SerializeToString()
               for op in quantized_onnx_models.OPERATORS for _ in range(2)]
    fuzz(count, lambda: corrupted(sources[rng.integers(len(sources))], rng),
         lambda data: load_onnx(data, "model.onnx"))


def damaged_program(data, rng):
    """A damaged program whose checksum is right."""
    body = data[:-32]
    size = struct.unpack_from("<I", body, 12)[0]
    if rng.random() < 0.5:
        body = corrupted(body, rng)
    else: # still JSON
        header = json.loads(body[16:16 + size])
        for _ in range(int(rng.choice([1, 1, 3]))):
            change_leaf(header, rng)
        text = json.dumps(header).encode()
        body = body[:12] + struct.pack("<I", len(text)) + text + body[16 + size:]
    return body + hashlib.sha256(body).digest()


def change_leaf(value, rng):
    """Replace something in nested lists and dicts."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if not isinstance(value[key], (dict, list)) or rng.random() < 0.05:
            break
        value = value[key]
    match rng.integers(4):
        case 0:
            value[key] = [None, "", "x", True, [], {}, -1, 0.5, 1e300][rng.integers(9)]
        case 1 | 2:
            value[key] = NUMBERS[rng.integers(len(NUMBERS))]
        case 3:
            other = list(value.values()) if isinstance(value, dict) else value
            value[key] = other[rng.integers(len(other))]


@few_and_many
def test_program(rng, digits, images, count):
    data = popmac.compile(digits, target="tiny").to_bytes()
    arch = popmac.Program.from_bytes(data).arch

    def use(data):
        program = Program.from_bytes(data, "program.popmac")
        program.report()
        with Device(Link(SoftwareEndpoint(arch, GoldenCore(arch)))) as device:
            device.load(program).run(images[0])

    accepted = fuzz(count, lambda: damaged_program(data, rng), use)
    assert accepted < 0.9 * count


@few_and_many
def test_inputs(rng, tmp_path, count):
    from popmac.cli.inputs import load_inputs
    path = tmp_path / "inputs.npz"
    np.savez(path, x=rng.integers(-128, 128, (3, 4, 4, 1)).astype(np.int8))
    data = path.read_bytes()

    def use(data):
        path.write_bytes(data)
        load_inputs(path, ["x"])

    fuzz(count, lambda: corrupted(data, rng), use)
