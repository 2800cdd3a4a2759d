"""Models, images and devices of the tests of whole systems."""

from importlib.resources import files

import numpy as np
import pytest

import popmac


@pytest.fixture(scope="session")
def digits():
    """Path of the digits network."""
    return files("popmac") / "zoo" / "digits.tflite"


@pytest.fixture(scope="session")
def images():
    """Images of digits, as codes."""
    with np.load(files("popmac") / "zoo" / "digits.npz") as data:
        return data["image"]


@pytest.fixture(scope="session", params=["golden:tiny", "sim:tiny?link=fast"])
def device(request):
    """A device that is open."""
    with popmac.open(request.param) as device:
        yield device
