"""Energy mover's distance against energyflow, coverage and matching distance against jetnet."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError, MissingDependencyError
from omnilearn_lab.metrics.distances import Sampling, coverage_mmd
from omnilearn_lab.metrics.distances.coverage import coverage_mmd_from_distances, emd_matrix


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
def test_bad_input_is_named(generated, options, message):
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
