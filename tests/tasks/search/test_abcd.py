"""ABCD: closure for independent variables, correction for dependent ones, signal, bad input."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, MetricError
from omnilearn_lab.tasks.search.abcd import AbcdCounts, AbcdPlane, abcd_estimate
from omnilearn_lab.tasks.search.mass_fits import MassWindow
from scipy.stats import kstest

PLANE = AbcdPlane(0.8, MassWindow((150.0, 210.0), (100.0, 260.0)))


def jets(n, seed, correlated=0.0):
    rng = np.random.default_rng(seed)
    mass = 100 + 160 * rng.random(n)
    return mass, (1 - correlated) * rng.random(n) + correlated * (mass - 100) / 160


def test_independent_variables_close():
    pulls = []
    for seed in range(300):
        found = abcd_estimate(PLANE.count(*jets(4000, seed)))
        pulls.append(found.significance)
        assert found.correction == 1 and found.closure is None
    assert abs(np.mean(pulls)) < 4 / np.sqrt(300) and 0.85 < np.std(pulls) < 1.15
    assert kstest(pulls, "norm").pvalue > 0.001


def test_simulation_corrects_dependent_variables():
    raw, corrected = [], []
    for seed in range(60):
        data = PLANE.count(*jets(4000, seed, 0.3))
        simulation = PLANE.count(*jets(4000, 1000 + seed, 0.3))
        raw.append(abcd_estimate(data).significance)
        corrected.append(abcd_estimate(data, simulation).significance)
    assert abs(np.mean(raw)) > 2 > 4 / np.sqrt(60) > abs(np.mean(corrected))
    assert np.std(corrected) == pytest.approx(1, abs=0.3)


def test_signal_is_seen():
    mass, score = jets(4000, 1)
    signal = np.full(150, 173.0), np.full(150, 0.95)
    found = abcd_estimate(PLANE.count(np.append(mass, signal[0]), np.append(score, signal[1])))
    assert found.significance > 5 and "sigma" in repr(found)


def test_regions_by_hand():
    counts = PLANE.count([150, 209, 210, 120, 120, 99, 260], [0.8, 0.7, 0.9, 0.9, 0.1, 0.9, 0.9])
    assert counts == AbcdCounts(a=1, b=2, c=1, d=1)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="must lie inside"):
        MassWindow((50.0, 210.0), (100.0, 260.0))
    with pytest.raises(MetricError, match="finite and equally many"):
        PLANE.count([np.nan], [0.5])
    with pytest.raises(MetricError, match="finite and equally many"):
        PLANE.count([150.0], [0.5, 0.6])
    with pytest.raises(MetricError, match="counts > 0 in B, C and D"):
        abcd_estimate(AbcdCounts(3, 0, 10, 10))
