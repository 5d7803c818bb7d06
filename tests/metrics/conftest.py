"""Reference numbers of the jetnet library (0.2.5); ``make_jetnet_reference.py`` makes them."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def jetnet():
    with np.load(Path(__file__).parent / "jetnet_reference.npz") as data:
        return dict(data)
