"""Energy mover's distance against EnergyFlow, by hand, and as a metric."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError, MissingDependencyError
from omnilearn_lab.metrics import emd_matrix, energy_movers_distance


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
    assert energy_movers_distance(a, b) == pytest.approx(1.0 * 0.5 + 1.0)
    assert energy_movers_distance(a, b, radius=2.0) == pytest.approx(0.25 + 1.0)


def test_an_empty_jet_costs_all_momentum():
    assert energy_movers_distance([[0.0, 0.0, 0.0]], [[0.1, 0.2, 3.0]]) == 3.0


def test_emd_without_pot_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot.lp", None)
    with pytest.raises(MissingDependencyError, match="pip install POT"):
        energy_movers_distance([[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]])


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
