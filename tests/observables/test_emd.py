"""Energy mover's distance: jets by hand, and EnergyFlow."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.observables import jet_distances, pt_y_phi

R = 0.4


def test_two_prongs_against_one(build):
    """All pt must move from the axis to the prongs, 0.1 away on either side."""
    jets = build([[(100, 0, 0)], [(50, 0, 0.1), (50, 0, -0.1)]])
    distance = jet_distances(jets, jet_radius=R)
    np.testing.assert_allclose(distance, 100 * 0.1 / R * (1 - np.eye(2)), rtol=1e-6, atol=1e-9)


def test_three_particles_by_hand(build):
    """The middle particle stays; 20 GeV travel 0.2 on either side."""
    jets = build([[(20, 0, 0.2), (60, 0, 0), (20, 0, -0.2)], [(100, 0, 0)]])
    np.testing.assert_allclose(jet_distances(jets, jet_radius=R)[0, 1], 40 * 0.2 / R, rtol=1e-6)


def test_unequal_pt_costs_the_difference(build):
    jets = build([[(100, 0, 0)], [(70, 0, 0)]])
    np.testing.assert_allclose(jet_distances(jets, jet_radius=R), [[0, 30], [30, 0]])
    np.testing.assert_allclose(jet_distances(jets, jet_radius=R, normalise=True), 0, atol=1e-9)


def test_it_is_a_distance_between_shapes(toy_jets):
    few = toy_jets[:12]
    distance = jet_distances(few, jet_radius=1.0)
    np.testing.assert_allclose(np.diag(distance), 0, atol=1e-6)
    np.testing.assert_allclose(distance, distance.T, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(jet_distances(few, few[:3], jet_radius=1.0), distance[:, :3])


def test_where_the_jet_points_does_not_matter(build):
    row = [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)]
    jets = build([row, [(pt, y + 1.1, phi + np.pi) for pt, y, phi in row]])
    np.testing.assert_allclose(jet_distances(jets, jet_radius=R), 0, atol=1e-4)


def test_no_jets_and_no_radius(toy_jets):
    assert jet_distances(toy_jets[:0], toy_jets[:2], jet_radius=R).shape == (0, 2)
    with pytest.raises(ConfigError, match="pass jet_radius"):
        jet_distances(toy_jets[:2])


@pytest.mark.energyflow
def test_it_agrees_with_energyflow(toy_jets):
    emds = pytest.importorskip("energyflow.emd").emds
    few = toy_jets[:20]
    momenta = np.stack(few.cartesian(), axis=-1)
    events = []
    for start, stop in zip(few.offsets[:-1], few.offsets[1:], strict=True):
        particles, (_, y, phi) = pt_y_phi(momenta[start:stop]), pt_y_phi(momenta[start:stop].sum(axis=0))
        dphi = (particles[:, 2] - phi + np.pi) % (2 * np.pi) - np.pi
        events.append(np.stack([particles[:, 0], particles[:, 1] - y, dphi], axis=-1))
    expected = emds(events, R=1.0, norm=False, n_jobs=1, verbose=0)
    np.testing.assert_allclose(jet_distances(few, jet_radius=1.0), expected, rtol=1e-8, atol=1e-7)
