"""Models, images and devices of the tests of whole systems."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import popmac


#: Published models, beside the project; where they are missing, their tests are not collected.
MODELS = Path(__file__).parents[3] / "shared" / "models"

collect_ignore = [] if MODELS.is_dir() else ["test_published_models.py"]


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
