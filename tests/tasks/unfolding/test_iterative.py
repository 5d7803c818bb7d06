"""Iterative Bayesian unfolding: exact where it must be, efficiency and fakes included."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.tasks.reweighting.samples import PairedSample
from omnilearn_lab.tasks.unfolding.iterative import IBUConfig, Response, bayesian_unfolding

EDGES = np.linspace(-2, 2, 9)


def smeared(n=20_000, shift=0.0, seed=1, efficiency=1.0, fakes=0.0):
    """Truth, detector, and which events pass; fakes look the same whatever the truth is."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(shift, 1, n)
    detector = truth + rng.normal(0, 0.3, n)
    is_real = rng.random(n) >= fakes
    detector = np.where(is_real, detector, rng.uniform(-2, 2, n))
    return truth, detector, rng.random(n) < efficiency, is_real


def test_closure_is_exact():
    truth, detector, *_ = smeared()
    sample = PairedSample(truth, detector)
    result = bayesian_unfolding(sample, detector, EDGES, config=IBUConfig(n_iterations=5, n_bootstrap=0))
    expected = np.histogram(truth, EDGES)[0]
    for iteration in result.iterations:
        np.testing.assert_allclose(iteration, expected, rtol=1e-12)
    assert np.isnan(result.statistical).all()


def test_response_counts_by_hand():
    sample = PairedSample(
        np.array([0.5, 0.5, 1.5, np.nan, 1.5]),
        np.array([0.5, np.nan, 0.5, 1.5, 5.0]),
        weight=[1.0, 3.0, 2.0, 4.0, 2.0],
        pass_truth=[True, True, True, False, True],
        pass_detector=[True, False, True, True, True],
    )
    response = Response.of(sample, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(response.prior, [4.0, 4.0])
    np.testing.assert_allclose(response.migration, [[0.25, 0.5], [0.0, 0.0]])
    np.testing.assert_allclose(response.fakes, [0.0, 4.0])
    np.testing.assert_allclose(response.efficiency, [0.25, 0.5])
    np.testing.assert_allclose(response.fold(np.array([4.0, 4.0])), [3.0, 4.0])


def test_efficiency_and_fakes_are_corrected_for():
    edges = np.array([-6, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 6])  # all events are in a bin
    truth, detector, seen, real = smeared(200_000, efficiency=0.7, fakes=0.1)
    sample = PairedSample(truth, detector, pass_truth=real, pass_detector=seen)
    hidden, observed, seen2, real2 = smeared(200_000, shift=0.4, seed=2, efficiency=0.7, fakes=0.1)
    config = IBUConfig(n_iterations=10, n_bootstrap=0)
    result = bayesian_unfolding(sample, observed[seen2], edges, config=config)
    expected = np.histogram(hidden[real2], edges)[0]
    assert np.abs(result.values / expected - 1).max() < 0.05
    assert np.abs(result.response.prior / expected - 1).max() > 0.3


def test_uncertainty_is_that_of_counts_without_smearing():
    values = np.random.default_rng(0).uniform(-2, 2, 8000)
    sample = PairedSample(values, values)
    result = bayesian_unfolding(sample, values, EDGES, config=IBUConfig(n_iterations=1, n_bootstrap=400))
    np.testing.assert_allclose(result.statistical, np.sqrt(1000), rtol=0.15)


def test_totals_are_kept_when_not_normalised():
    truth, detector, *_ = smeared()
    sample = PairedSample(truth, detector)
    config = IBUConfig(normalise=False, n_bootstrap=0)
    half = bayesian_unfolding(sample, detector[::2], EDGES, config=config)
    np.testing.assert_allclose(half.values.sum(), 0.5 * np.histogram(truth, EDGES)[0].sum(), rtol=0.02)


def test_coarse_bins_get_the_shape_of_the_prior_inside():
    truth, detector, *_ = smeared(2000)
    sample = PairedSample(truth, detector)
    coarse = bayesian_unfolding(sample, detector[:1000], EDGES[::2], config=IBUConfig(n_bootstrap=3))
    prior = Response.of(sample, EDGES).prior
    fine = coarse.refined(EDGES, prior)
    np.testing.assert_allclose(fine.values.reshape(-1, 2).sum(axis=1), coarse.values)
    pairs = prior.reshape(-1, 2)
    np.testing.assert_allclose(fine.values[::2] / fine.values[1::2], pairs[:, 0] / pairs[:, 1])
    assert fine.bootstrap.shape == (3, 8)
    with pytest.raises(JetsError, match="not all among"):
        coarse.refined(EDGES + 0.1, prior)


def test_histogram_for_plotting():
    truth, detector, *_ = smeared(500)
    result = bayesian_unfolding(PairedSample(truth, detector), detector, EDGES)
    np.testing.assert_allclose(result.to_hist().values(), result.values)
    np.testing.assert_allclose(result.to_hist().variances(), result.statistical**2)


def test_bad_input():
    sample = PairedSample(np.zeros(3), np.zeros(3))
    with pytest.raises(JetsError, match="rise"):
        bayesian_unfolding(sample, np.zeros(3), [1.0, 0.0])
    with pytest.raises(JetsError, match="no events"):
        bayesian_unfolding(sample, [], EDGES)
    with pytest.raises(JetsError, match="negative"):
        bayesian_unfolding(sample, np.zeros(3), EDGES, data_weights=[-1, 1, 1])
    with pytest.raises(JetsError, match="one observable"):
        Response.of(PairedSample(np.zeros((3, 2)), np.zeros(3)), EDGES)
    with pytest.raises(ConfigError):
        IBUConfig(n_iterations=0)
