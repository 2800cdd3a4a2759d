"""Fixtures of all tests."""

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """Random numbers, the same ones in each run of a test, others in each test."""
    return np.random.default_rng(list(request.node.nodeid.encode()))
