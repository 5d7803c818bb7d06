"""The fit of a smooth spectrum: unbiased, uniform p-values, signal found, bad input named."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, MetricError
from omnilearn_lab.tasks.search.mass_fits import FUNCTIONS, MassFit, SpectrumModel, bump_hunt, sample_masses
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
    model = SpectrumModel(MassFit(), REGION)
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
