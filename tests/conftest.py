import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """Random numbers that depend on nothing but the name of the test."""
    return np.random.default_rng(list(request.node.nodeid.encode()))
