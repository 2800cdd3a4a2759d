"""Published models, and devices, of the tests of whole systems."""

from pathlib import Path

import pytest

import popmac


#: Published models, beside the project; where they are missing, their tests are not collected.
MODELS = Path(__file__).parents[3] / "shared" / "models"

collect_ignore = [] if MODELS.is_dir() else ["test_published_models.py"]


@pytest.fixture(scope="session", params=["golden:tiny", "sim:tiny?link=fast"])
def device(request):
    """A device that is open."""
    with popmac.open(request.param) as device:
        yield device
