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
    fpnd,
    truth_floor,
    w1_mass,
    wasserstein,
)


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


def test_fpnd_without_jetnet_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(MissingDependencyError, match="pip install jetnet torch_geometric"):
        fpnd(np.zeros((2, 30, 3)), "g")


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
        (lambda: fpnd(np.zeros((2, 30, 3)), "w"), "known: g, q, t"),
        (lambda: truth_floor(wasserstein, [1.0]), "at least two"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
