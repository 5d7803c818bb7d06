"""FastJet over many events against jets done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.clustering import cluster
from omnilearn_lab.simulation.events import Particles


def particles(rows, n_events):
    """Massless particles from (event, pt, eta, phi) rows."""
    event, pt, eta, phi = np.array(rows, dtype=float).T
    columns = {"event": event.astype(int), "px": pt * np.cos(phi), "py": pt * np.sin(phi)}
    columns |= {"pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}
    return Particles(columns, n_events)


def test_two_jets_by_hand_sorted_by_pt_with_an_empty_event_between():
    found = cluster(
        particles([(0, 20, 1.0, 2.0), (0, 90, 0.0, 0.0), (0, 10, 0.1, 0.1), (2, 50, -1, 3)], 3), 0.4, min_pt=5
    )
    assert found.event.tolist() == [0, 0, 2] and found.rank.tolist() == [0, 1, 0]
    assert found.pt[0] == pytest.approx(np.hypot(90 + 10 * np.cos(0.1), 10 * np.sin(0.1)))
    assert [sorted(found.members(np.array([i]))[0].tolist()) for i in range(3)] == [[1, 2], [0], [3]]
    assert found.mass[0] == pytest.approx(np.sqrt(2 * 90 * 10 * (np.cosh(0.1) - np.cos(0.1))))
    assert found.mass[1] == pytest.approx(0, abs=1e-3)


def test_no_jet_above_threshold():
    found = cluster(particles([(0, 20, 0, 0), (1, 30, 0, 0)], 2), 0.4, min_pt=50)
    assert len(found) == 0 and found.offsets.tolist() == [0]


def test_no_particles():
    empty = particles([(0, 20, 0, 0)], 2).select(np.zeros(1, dtype=bool))
    assert len(cluster(empty, 0.4)) == 0


def test_members_follow_the_order_asked_for():
    found = cluster(particles([(0, 20, 1.0, 2.0), (0, 90, 0.0, 0.0)], 1), 0.4)
    members, offsets = found.members(np.array([1, 0]))
    assert members.tolist() == [0, 1] and offsets.tolist() == [0, 1, 2]


def test_rapidity_differs_from_pseudorapidity_for_massive_jets():
    found = cluster(particles([(0, 50, 1.0, 0.3), (0, 50, 1.0, -0.3)], 1), 1.0)
    assert abs(found.rapidity[0]) < abs(found.eta[0])


def test_unknown_algorithm_names_the_nearest():
    with pytest.raises(SimulationError, match="did you mean 'antikt'"):
        cluster(particles([(0, 20, 0, 0)], 1), 0.4, algorithm="anti-kt")
