"""Coverage, MMD, energy mover's distance, FPND's remedy, and the truth floor."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError, MissingDependencyError
from omnilearn_lab.metrics import (
    Sampling,
    coverage_mmd,
    coverage_mmd_from_distances,
    emd_matrix,
    energy_movers_distance,
    fpnd,
    truth_floor,
    w1_mass,
    wasserstein,
)


def test_distances_equal_energyflow(jetnet):
    np.testing.assert_allclose(
        emd_matrix(jetnet["made"][:20], jetnet["real"][:20]), jetnet["emds"], atol=1e-12
    )


def test_coverage_and_mmd_equal_jetnet(jetnet):
    result = coverage_mmd(jetnet["real"], jetnet["made"], sampling=Sampling(n_jets=40, n_batches=3))
    assert (result.coverage, result.mmd) == pytest.approx(tuple(jetnet["cov_mmd"]))


def test_a_symmetric_distance_with_the_triangle_inequality():
    jets = np.random.default_rng(0).random((6, 5, 3))
    table = emd_matrix(jets, jets)
    np.testing.assert_allclose(table, table.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(table), 0, atol=1e-12)
    assert np.all(table[:, None, :] <= table[:, :, None] + table[None] + 1e-12)


def test_radius_scales_the_transport_but_not_the_missing_momentum():
    a, b = [[0.0, 0.0, 2.0]], [[0.3, 0.4, 1.0]]
    assert energy_movers_distance(a, b) == pytest.approx(1.0 * 0.5 + 1.0)
    assert energy_movers_distance(a, b, radius=2.0) == pytest.approx(0.25 + 1.0)


def test_an_empty_jet_costs_all_momentum():
    assert energy_movers_distance([[0.0, 0.0, 0.0]], [[0.1, 0.2, 3.0]]) == 3.0


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


def test_fpnd_without_jetnet_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(MissingDependencyError, match="pip install jetnet torch_geometric"):
        fpnd(np.zeros((2, 30, 3)), "g")


def test_emd_without_pot_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot.lp", None)
    with pytest.raises(MissingDependencyError, match="pip install POT"):
        energy_movers_distance([[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]])


def test_truth_floor_compares_disjoint_halves():
    seen = {}

    def keep(first, second):
        seen["all"] = sorted([*first, *second])
        return len(first), len(second)

    assert truth_floor(keep, np.arange(11.0)) == (5, 5)
    assert len(set(seen["all"])) == 10


def test_truth_floor_falls_with_statistics():
    masses = np.random.default_rng(0).normal(size=40_000)
    assert truth_floor(wasserstein, masses) < 0.5 * truth_floor(wasserstein, masses[:400])
    assert not truth_floor(w1_mass, masses).is_comparable


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage_mmd_from_distances(np.zeros((0, 2))), "generated, reference"),
        (lambda: coverage_mmd_from_distances([[-1.0]]), ">= 0"),
        (lambda: coverage_mmd_from_distances([[np.inf]]), "finite"),
        (lambda: emd_matrix(np.ones((2, 3, 4)), np.ones((2, 3, 3))), "eta, phi, pt"),
        (lambda: emd_matrix(-np.ones((2, 3, 3)), np.ones((2, 3, 3))), "pt >= 0"),
        (lambda: emd_matrix(np.ones((2, 3, 3)), np.ones((2, 3, 3)), radius=0.0), "radius"),
        (lambda: fpnd(np.zeros((2, 30, 3)), "w"), "known: g, q, t"),
        (lambda: truth_floor(wasserstein, [1.0]), "at least two"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
