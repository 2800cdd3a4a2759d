import link_core
import pytest

from popmac_sim.board import GATEWARE
from popmac_sim.verilated import build


@pytest.fixture(scope="session")
def link_library():
    """The board of ``link_core`` as a simulation; kept in the user's cache."""
    return build(link_core.LinkBoard, sources=[*GATEWARE, link_core.__file__], parameters="",
                 description="the link")
