"""Distances between samples."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from omnilearn_lab.errors import ConfigError, MetricError, MissingDependencyError
from omnilearn_lab.metrics.distances import (
    FpdConfig,
    KpdConfig,
    Sampling,
    coverage_mmd,
    coverage_mmd_from_distances,
    emd_matrix,
    fpd,
    frechet_distance,
    kpd,
    w1_efp,
    w1_mass,
    w1_particles,
    wasserstein,
)
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
    with pytest.raises(ConfigError, match=r"Sampling\.n_.* is 0"):
        Sampling(**values)


def test_frechet_distance_of_known_normals():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 3))
    white = (white - white.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    stretched = white * [1.0, 2.0, 3.0] + [0.0, 0.0, 5.0]
    # commuting covariances: sum of squared differences of the standard deviations, plus the shift
    assert frechet_distance(white, stretched) == pytest.approx(0 + 1 + 4 + 25)
    assert frechet_distance(white, white) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_takes_a_constant_feature():
    data = np.random.default_rng(1).normal(size=(50, 3)) * [1, 1, 0]
    assert frechet_distance(data, data + [0, 0, 2.0]) == pytest.approx(4.0)


def test_fpd_equals_jetnet(jetnet):
    config = FpdConfig(min_samples=48, max_samples=120)
    score = fpd(jetnet["features_real"], jetnet["features_made"], config=config)
    # its line is fitted by an iterative solver, ours is exact
    assert (score.value, score.uncertainty) == pytest.approx(tuple(jetnet["fpd"]), rel=1e-6)


def test_kpd_equals_jetnet(jetnet):
    score = kpd(jetnet["features_real"], jetnet["features_made"], config=KpdConfig(batch_size=120))
    assert (score.value, score.uncertainty) == pytest.approx(tuple(jetnet["kpd"]), rel=1e-10)


def test_kpd_equals_the_double_sum():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 2)), rng.normal(0.5, 1, (30, 2))
    score = kpd(a, b, config=KpdConfig(n_batches=1, batch_size=30))
    draws = np.random.default_rng(42)
    scale = np.abs(a).max(axis=0)
    x, y = (a / scale)[draws.choice(30, 30)], (b / scale)[draws.choice(30, 30)]
    kernel = lambda u, v: (u @ v / 2 + 1) ** 4  # noqa: E731
    own = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(30) for j in range(30) if i != j) / (30 * 29)
    cross = np.mean([[kernel(u, v) for v in y] for u in x])
    assert score.value == pytest.approx(own - 2 * cross)


def test_scores_grow_with_the_shift_and_vanish_without():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4))
    shifted = [fpd(a, b + shift, config=FpdConfig(n_batches=3)).value for shift in (0.0, 0.5, 1.0)]
    assert shifted[0] < 0.01 * shifted[2] and shifted[0] < shifted[1] < shifted[2]
    kernel = [kpd(a, b + shift, config=KpdConfig(n_batches=3)) for shift in (0.0, 1.0)]
    assert abs(kernel[0].value) < 0.1 * kernel[1].value


def test_small_samples_and_other_settings_are_not_comparable():
    data = np.random.default_rng(0).normal(size=(100, 2))
    assert not fpd(data, data, config=FpdConfig(n_batches=1)).is_comparable
    assert not kpd(data, data, config=KpdConfig(n_batches=1)).is_comparable


def test_weights_move_the_reference():
    rng = np.random.default_rng(2)
    a = np.append(rng.normal(0, 1, 2000), rng.normal(8, 1, 2000))[:, None]
    weights = np.repeat([0.0, 1.0], 2000)
    selected = fpd(a, a[2000:], weights=(weights, None), config=FpdConfig(n_batches=3))
    assert selected.value < 0.01 * fpd(a, a[2000:], config=FpdConfig(n_batches=3)).value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fpd(np.ones((20, 2)), np.ones((20, 3))), "2 features and generated 3"),
        (lambda: fpd(np.ones((5, 2)), np.ones((20, 2))), "at least 10 jets"),
        (lambda: kpd(np.full((20, 2), np.nan), np.ones((20, 2))), "not finite"),
        (lambda: frechet_distance([[1.0]], [[1.0]]), "at least two"),
    ],
)
def test_bad_samples_for_physics_distances_are_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()


def test_bad_settings_of_physics_distances_are_named():
    with pytest.raises(ConfigError, match="min_samples < max_samples"):
        FpdConfig(min_samples=50, max_samples=10)
    with pytest.raises(ConfigError, match="batch_size is 1"):
        KpdConfig(batch_size=1)


def test_distances_equal_energyflow(jetnet):
    np.testing.assert_allclose(
        emd_matrix(jetnet["made"][:20], jetnet["real"][:20]), jetnet["emds"], atol=1e-12
    )


def test_a_symmetric_distance_with_the_triangle_inequality():
    jets = np.random.default_rng(0).random((6, 5, 3))
    table = emd_matrix(jets, jets)
    np.testing.assert_allclose(table, table.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(table), 0, atol=1e-12)
    assert np.all(table[:, None, :] <= table[:, :, None] + table[None] + 1e-12)


def test_radius_scales_the_transport_but_not_the_missing_momentum():
    a, b = [[0.0, 0.0, 2.0]], [[0.3, 0.4, 1.0]]
    assert emd_matrix([a], [b])[0, 0] == pytest.approx(1.0 * 0.5 + 1.0)
    assert emd_matrix([a], [b], radius=2.0)[0, 0] == pytest.approx(0.25 + 1.0)


def test_an_empty_jet_costs_all_momentum():
    assert emd_matrix([[[0.0, 0.0, 0.0]]], [[[0.1, 0.2, 3.0]]]).tolist() == [[3.0]]


def test_emd_without_pot_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot.lp", None)
    with pytest.raises(MissingDependencyError, match="pip install POT"):
        emd_matrix([[[0.0, 0.0, 1.0]]], [[[0.0, 0.0, 1.0]]])


@pytest.mark.parametrize(
    ("generated", "options", "message"),
    [
        (np.ones((2, 3, 4)), {}, "eta, phi, pt"),
        (-np.ones((2, 3, 3)), {}, "pt >= 0"),
        (np.full((2, 3, 3), np.nan), {}, "finite"),
        (np.ones((0, 3, 3)), {}, "jets, particles, 3"),
        (np.ones((2, 3, 3)), {"radius": 0.0}, "radius must be positive"),
    ],
)
def test_bad_jets_for_energy_movers_are_named(generated, options, message):
    with pytest.raises(MetricError, match=message):
        emd_matrix(generated, np.ones((2, 3, 3)), **options)


def test_coverage_and_mmd_equal_jetnet(jetnet):
    result = coverage_mmd(jetnet["real"], jetnet["made"], sampling=Sampling(n_jets=40, n_batches=3))
    assert (result.coverage, result.mmd) == pytest.approx(tuple(jetnet["cov_mmd"]))


def test_weights_of_reference_jets_by_hand():
    table = [[0.1, 0.5, 0.9], [0.2, 0.6, 0.4]]
    assert coverage_mmd_from_distances(table).coverage == pytest.approx(1 / 3)
    weighted = coverage_mmd_from_distances(table, weights=[2.0, 1.0, 1.0])
    assert weighted.coverage == 0.5
    assert weighted.mmd == pytest.approx((2 * 0.1 + 0.5 + 0.4) / 4)


def test_an_own_distance_is_used():
    jets = np.random.default_rng(0).random((30, 4, 3))
    ones = lambda made, real: np.ones((len(made), len(real)))  # noqa: E731
    result = coverage_mmd(jets, jets, distance=ones, sampling=Sampling(n_jets=10, n_batches=2))
    assert (result.mmd, result.coverage, result.n_jets) == pytest.approx((1.0, 0.1, 10))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage_mmd_from_distances(np.zeros((0, 2))), "generated, reference"),
        (lambda: coverage_mmd_from_distances([[-1.0]]), ">= 0"),
        (lambda: coverage_mmd_from_distances([[np.inf]]), "finite"),
    ],
)
def test_bad_input_is_named_of_coverage(call, message):
    with pytest.raises(MetricError, match=message):
        call()
