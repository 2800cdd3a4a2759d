"""Models that are damaged."""

from importlib.resources import files

import numpy as np
import pytest


@pytest.fixture(scope="session")
def digits():
    """Path of the digits network."""
    return files("popmac") / "zoo" / "digits.tflite"


@pytest.fixture(scope="session")
def images():
    """Images of digits, as codes."""
    with np.load(files("popmac") / "zoo" / "digits.npz") as data:
        return data["image"]
