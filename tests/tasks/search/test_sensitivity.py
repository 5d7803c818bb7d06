"""Expected reach against formulas, and bad input."""

import sys

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError, MissingDependencyError
from omnilearn_lab.metrics import significance
from omnilearn_lab.tasks.search.sensitivity import expected_sensitivity


@pytest.mark.parametrize(("s", "b", "error"), [(10, 100, 5), (30, 50, 10), (5, 4, 1)])
def test_discovery_significance_is_that_of_the_formula(s, b, error):
    found = expected_sensitivity([s], [b], [error])
    assert found.significance == pytest.approx(significance(s, b, background_uncertainty=error), rel=0.01)


def test_limit_of_many_events_is_the_gaussian_one():
    """CLs without a signal: mu = sigma * Phi^-1(1 - 0.05 / 2) = 1.96 sigma for the median."""
    found = expected_sensitivity([100.0], [10_000.0], [10.0])
    sigma = np.sqrt(10_000 + 100) / 100
    assert found.limit == pytest.approx(1.96 * sigma, rel=0.03)
    low2, low1, high1, high2 = found.limit_band
    assert low2 < low1 < found.limit < high1 < high2


def test_bins_add_information_and_uncertainty_costs():
    one, two = (
        expected_sensitivity([10.0], [100.0], [1.0]),
        expected_sensitivity([10.0] * 2, [100.0] * 2, [1.0] * 2),
    )
    assert two.significance == pytest.approx(np.sqrt(2) * one.significance, rel=0.01)
    assert expected_sensitivity([10.0], [100.0], [20.0]).significance < one.significance


@pytest.mark.parametrize(
    "bins",
    [([0.0], [10.0], [1.0]), ([1.0], [0.0], [1.0]), ([1.0], [10.0], [0.0]), ([np.nan], [10.0], [1.0])],
)
def test_impossible_bins_are_named(bins):
    with pytest.raises(MetricError, match="merge bins"):
        expected_sensitivity(*bins)


def test_unequal_bins_are_named():
    with pytest.raises(MetricError, match="one number per bin"):
        expected_sensitivity([1.0, 2.0], [3.0], [1.0])


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyhf", None)
    with pytest.raises(MissingDependencyError, match="pip install 'pyhf"):
        expected_sensitivity([1.0], [3.0], [1.0])
