"""Wasserstein distances against scipy and the jetnet library; what makes scores comparable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics.distances import Sampling, w1_efp, w1_mass, w1_particles, wasserstein
from scipy.stats import wasserstein_distance

values = arrays(float, st.integers(1, 30), elements=st.floats(-1e3, 1e3))


@given(values, values, st.integers(0, 100))
def test_weighted_distance_equals_scipy(a, b, seed):
    rng = np.random.default_rng(seed)
    wa, wb = rng.uniform(0.1, 2, len(a)), rng.uniform(0.1, 2, len(b))
    found = wasserstein(a, b, reference_weights=wa, generated_weights=wb)
    assert found == pytest.approx(wasserstein_distance(a, b, wa, wb), abs=1e-9)


@given(values, st.floats(-50, 50))
def test_a_shift_costs_its_size(a, shift):
    assert wasserstein(a, a + shift) == pytest.approx(abs(shift), abs=1e-9)


def test_mass_score_equals_jetnet(jetnet):
    score = w1_mass(jetnet["mass_real"], jetnet["mass_made"])
    assert (score.value, score.uncertainty) == pytest.approx(tuple(jetnet["w1m"]), rel=1e-12)


def test_particle_scores_equal_jetnet(jetnet):
    score = w1_particles(jetnet["real"], jetnet["made"])
    np.testing.assert_allclose([score.values, score.uncertainties], jetnet["w1p"], rtol=1e-10)
    assert score.value == pytest.approx(jetnet["w1p"][0].mean())
    assert score.uncertainty == pytest.approx(jetnet["w1p"][1].mean())


def test_polynomial_scores_equal_jetnet(jetnet):
    score = w1_efp(jetnet["efps_real"], jetnet["efps_made"])
    np.testing.assert_allclose([score.values, score.uncertainties], jetnet["w1efp"], rtol=1e-10)


def test_masks_replace_the_zero_rule(jetnet):
    real, made = jetnet["real"], jetnet["made"]
    masks = tuple(np.any(jets != 0, axis=2) for jets in (real, made))
    assert w1_particles(real, made, masks=masks) == w1_particles(real, made)
    everything = tuple(np.ones_like(mask) for mask in masks)
    assert w1_particles(real, made, masks=everything).value != w1_particles(real, made).value


def test_weights_select_jets():
    masses = np.repeat([0.0, 1.0], 500)
    score = w1_mass(masses, np.ones(1000), weights=(masses, None))
    assert score.value == 0.0


def test_weights_of_one_change_only_the_draws():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=4000), rng.normal(0.5, 1, 4000)
    plain, weighted = w1_mass(a, b), w1_mass(a, b, weights=(np.full(4000, 3.0), None))
    assert weighted.value == pytest.approx(plain.value, abs=5 * plain.uncertainty)


def test_the_seed_fixes_the_score():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(size=300)
    assert w1_mass(a, b) == w1_mass(a, b)
    assert w1_mass(a, b).value != w1_mass(a, b, sampling=Sampling(seed=1)).value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wasserstein([], [1.0]), "at least one jet"),
        (lambda: wasserstein([np.nan], [1.0]), "not finite"),
        (lambda: wasserstein([1.0], [1.0], reference_weights=[0.0]), "sum to zero"),
        (
            lambda: wasserstein([1.0], [1.0], generated_weights=[-1.0]),
            "generated_weights: 1 of 1 are negative",
        ),
        (lambda: w1_mass([], []), r"N >= 1"),
        (lambda: w1_efp(np.ones((3, 2)), np.ones((3, 4))), "2 features and generated 4"),
        (lambda: w1_particles(np.ones((3, 2)), np.ones((3, 2))), "jets, particles, features"),
        (lambda: w1_particles(np.zeros((3, 2, 3)), np.ones((3, 2, 3))), "no real particle"),
        (lambda: w1_particles(*[np.ones((3, 2, 3))] * 2, masks=([True], [True])), "mask of reference"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()


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
