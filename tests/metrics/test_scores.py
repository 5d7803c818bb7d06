"""How jets are drawn, and when a score may stand beside published ones."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import Sampling, w1_mass


def test_only_jetnets_own_sizes_are_comparable():
    large, small = np.zeros(50_000), np.zeros(49_999)
    assert w1_mass(large, large).is_comparable
    assert not w1_mass(large, small).is_comparable
    assert not w1_mass(large, large, sampling=Sampling(n_jets=1000)).is_comparable
    assert not w1_mass(large, large, sampling=Sampling(n_batches=2)).is_comparable
    assert "not comparable: 49999 jets" in str(w1_mass(large, small))


@pytest.mark.parametrize("values", [{"n_jets": 0}, {"n_batches": 0}])
def test_drawing_nothing_is_an_error(values):
    with pytest.raises(MetricError, match="at least one jet and one batch"):
        Sampling(**values)
