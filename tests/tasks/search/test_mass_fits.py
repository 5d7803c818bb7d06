"""Bump hunts, scans and sensitivity."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, MetricError, MissingDependencyError
from omnilearn_lab.metrics import significance
from omnilearn_lab.tasks.search.decorrelation import efficiency_scan, significances
from omnilearn_lab.tasks.search.mass_fits import (
    FUNCTIONS,
    MassFit,
    MassWindow,
    SpectrumModel,
    bump_hunt,
    expected_sensitivity,
    sample_masses,
)
from scipy.stats import kstest

REGION = (3300.0, 3700.0)


def falling(n, seed):
    """Poisson number of masses of a falling spectrum that every function can describe."""
    rng = np.random.default_rng(seed)
    mass = 2300 + rng.exponential(450, rng.poisson(n))
    return mass[mass < 5000]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_p_values_are_uniform_without_a_signal(function):
    hunts = [bump_hunt(falling(4000, seed), REGION, MassFit(function=function)) for seed in range(150)]
    assert kstest([h.p_value for h in hunts], "uniform").pvalue > 0.001
    pulls = np.array([h.n_signal / h.n_signal_uncertainty for h in hunts])
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls)) and 0.8 < pulls.std() < 1.2
    chi2 = np.mean([h.chi2 / h.n_degrees_of_freedom for h in hunts])
    assert 0.85 < chi2 < 1.15


@pytest.mark.slow
def test_p_values_are_uniform_with_few_events_and_toys_agree():
    fit = MassFit(function="dijet3", n_toys=200)
    hunts = [bump_hunt(falling(400, seed), REGION, fit) for seed in range(150)]
    assert kstest([h.p_value_toys for h in hunts], "uniform").pvalue > 0.001
    assert kstest([h.p_value for h in hunts], "uniform").pvalue > 0.001


def test_injected_signal_is_recovered():
    rng = np.random.default_rng(5)
    found = []
    for seed in range(40):
        signal = rng.uniform(*REGION, 120)
        found.append(bump_hunt(np.concatenate([falling(4000, seed), signal]), REGION))
    values = np.array([h.n_signal for h in found])
    assert abs(values.mean() - 120) < 4 * values.std() / np.sqrt(len(values))
    assert np.mean([h.significance for h in found]) > 5
    assert all(h.observed == pytest.approx(h.expected + h.n_signal) for h in found)


def test_significance_has_the_sign_of_the_excess_and_p_fits():
    mass = falling(4000, 1)
    hole = mass[(mass < REGION[0]) | (mass > REGION[1])]
    found = bump_hunt(hole, REGION)
    assert found.observed == 0 and found.significance < -10 and found.p_value == pytest.approx(1.0)
    assert "0 events between 3300 and 3700 GeV" in str(found)


def test_toys_agree_with_the_asymptotic_p_value():
    found = bump_hunt(falling(4000, 7), REGION, MassFit(n_toys=300))
    assert abs(found.p_value_toys - found.p_value) < 4 * max(found.p_value_toys_uncertainty, 0.01)


def test_signal_outside_the_window_does_not_count():
    mass = falling(4000, 2)
    same = bump_hunt(np.concatenate([mass, [1000.0, 6000.0]]), REGION)
    assert same.n_signal == bump_hunt(mass, REGION).n_signal


def test_edges_are_those_of_the_window():
    model = SpectrumModel(MassFit(), MassWindow(REGION))
    assert set(REGION) <= set(model.edges) and model.edges[0] == 2300 and model.edges[-1] == 5000
    assert model.is_signal.sum() == 4


def test_sampled_masses_follow_the_sidebands():
    drawn = sample_masses(falling(20_000, 3), 4000, REGION, fit=MassFit(function="log_polynomial2"))
    assert drawn.min() >= REGION[0] and drawn.max() <= REGION[1]
    x = np.exp(-(REGION[1] - REGION[0]) / 450)
    expected = 450 - (REGION[1] - REGION[0]) * x / (1 - x)  # mean of the exponential inside the window
    assert abs(drawn.mean() - REGION[0] - expected) < 8


@pytest.mark.parametrize(
    ("masses", "message"),
    [
        ([3500.0, np.nan], "1 of 2 masses are not finite .first at row 1."),
        ([], "0 below, 0 above"),
        (np.linspace(3301, 3699, 500), "sidebands .* hold 0 below, 0 above"),
        (np.linspace(2400, 3200, 500), "hold 500 below, 0 above"),
        (np.linspace(2400, 4900, 12), "at least 15, on both sides"),
    ],
)
def test_bad_masses_are_named(masses, message):
    with pytest.raises(MetricError, match=message):
        bump_hunt(masses, REGION)


@pytest.mark.parametrize("region", [(2300, 2500), (4000, 6000), (3700, 3300)])
def test_a_window_without_sidebands_is_refused(region):
    with pytest.raises(ConfigError, match="must lie inside the limits"):
        bump_hunt(falling(100, 0), region)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "dijet5"}, "did you mean 'dijet"),
        ({"limits": (5000.0, 2300.0)}, "must rise"),
        ({"limits": (2300.0, 14_000.0)}, "13000 GeV"),
        ({"n_bins": 3}, "more bins"),
        ({"n_toys": -1}, "toys"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        MassFit(**settings)


FIT = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
SOFT_DROP = (150.0, 210.0)


def spectrum(n, seed):
    rng = np.random.default_rng(seed)
    mass = 100 + rng.exponential(80, n)
    return mass[mass < 260]


def test_a_good_score_makes_the_bump_appear():
    before, after = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        qcd, top = spectrum(6000, seed), rng.normal(175, 10, 80)
        mass = np.concatenate([qcd, top])
        score = np.concatenate([rng.random(len(qcd)), 0.9 + 0.1 * rng.random(80)])
        scan = efficiency_scan(mass, score, SOFT_DROP, fit=FIT, kept=(1.0, 0.1))
        before.append(scan[0].significance)
        after.append(scan[1].significance)
    assert np.mean(after) > np.mean(before) + 1


def test_an_independent_score_finds_nothing():
    values = []
    for seed in range(60):
        mass = spectrum(4000, seed)
        score = np.random.default_rng(100 + seed).random(len(mass))
        values += [p.significance for p in efficiency_scan(mass, score, SOFT_DROP, fit=FIT, kept=(0.3,))]
    assert abs(np.mean(values)) < 4 / np.sqrt(60) and 0.7 < np.std(values) < 1.3


def test_thin_sidebands_are_a_gap_and_not_a_failure():
    mass = spectrum(400, 1)
    first, second = efficiency_scan(mass, -np.abs(mass - 180), SOFT_DROP, fit=FIT, kept=(1.0, 0.05))
    assert first.hunt is not None
    assert second.hunt is None and "sidebands" in second.problem and np.isnan(second.significance)


@pytest.mark.parametrize(
    ("masses", "scores", "kept", "message"),
    [
        ([150.0], [0.1, 0.2], (1.0,), "shapes"),
        ([], [], (1.0,), "shapes"),
        ([np.nan], [0.1], (1.0,), "not finite"),
        ([150.0], [np.inf], (1.0,), "not finite"),
        ([150.0], [0.1], (0.0,), "shares"),
    ],
)
def test_bad_input_is_named(masses, scores, kept, message):
    with pytest.raises(MetricError, match=message):
        efficiency_scan(masses, scores, SOFT_DROP, fit=FIT, kept=kept)


def test_shares_without_a_fit_are_left_out_of_the_table():
    mass = spectrum(400, 1)
    runs = [
        efficiency_scan(mass, -np.abs(mass - 180), SOFT_DROP, fit=FIT, kept=(1.0, 0.05)) for _ in range(2)
    ]
    table = significances({"a": runs, "b": runs[:1]})
    assert {name: list(row) for name, row in table.items()} == {"a": ["100% kept"], "b": ["100% kept"]}
    assert len(table["a"]["100% kept"]) == 2


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
    "bins", [([0.0], [10.0], [1.0]), ([1.0], [0.0], [1.0]), ([1.0], [10.0], [0.0]), ([np.nan], [10.0], [1.0])]
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
