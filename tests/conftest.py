"""Fixtures of all tests."""

from importlib.resources import files

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """Random numbers, the same ones in each run of a test, others in each test."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def digits():
    """Path of the digits network."""
    return files("popmac") / "zoo" / "digits.tflite"


@pytest.fixture(scope="session")
def images():
    """Images of digits, as codes."""
    with np.load(files("popmac") / "zoo" / "digits.npz") as data:
        return data["image"]
