"""Soft drop and N-subjettiness on trees written out by hand."""

import numpy as np
import pytest
from omnilearn_lab.observables import SoftDrop, cluster, exclusive_subjets, pt_y_phi, soft_drop, subjettiness

ROW = np.array([(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1), (1, 0.9, 0)], dtype=float)


@pytest.fixture(scope="module")
def particles():
    """One jet of four massless particles; the last is soft and far away."""
    pt, y, phi = ROW.T
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=-1)[:, None]


def test_soft_drop_follows_the_harder_branch(particles):
    """First the soft particle fails, then 10 GeV against the rest passes with 0.1001."""
    tree = cluster(particles, pt_y_phi(particles), power=0)
    groomed = soft_drop(tree, SoftDrop())
    core = particles[:2, 0].sum(axis=0)
    core_pt, core_y, core_phi = pt_y_phi(core)
    kept = particles[:3, 0].sum(axis=0)
    np.testing.assert_allclose(groomed.z_g, 10 / (10 + core_pt))
    np.testing.assert_allclose(groomed.radius, np.hypot(core_y + 0.3, core_phi - 0.1))
    np.testing.assert_allclose(groomed.pt, np.hypot(*kept[:2]))
    np.testing.assert_allclose(groomed.mass, np.sqrt(kept[3] ** 2 - (kept[:3] ** 2).sum()))


def test_a_harder_cut_goes_deeper_and_an_impossible_one_to_the_end(particles):
    tree = cluster(particles, pt_y_phi(particles), power=0)
    np.testing.assert_allclose(soft_drop(tree, SoftDrop(z_cut=0.2)).z_g, 1 / 3)
    last = soft_drop(tree, SoftDrop(z_cut=0.4))
    assert [float(values[0]) for values in last] == [0.0, 60.0, 0.0, 0.0]


def test_no_cut_keeps_the_jet(particles):
    tree = cluster(particles, pt_y_phi(particles), power=0)
    groomed = soft_drop(tree, SoftDrop(z_cut=0.0))
    np.testing.assert_allclose(groomed.pt, tree.coordinates[-1, :, 0])


def test_subjettiness_by_hand(particles):
    """Three axes: the pair of hardest close particles is one of them."""
    tree = cluster(particles, pt_y_phi(particles), power=1)
    axes = exclusive_subjets(tree, 3)
    distance = np.hypot(
        ROW[:, 1, None] - axes.coordinates[:, 0, 1], ROW[:, 2, None] - axes.coordinates[:, 0, 2]
    )
    expected = (ROW[:, 0] * distance.min(axis=1) ** 2).sum() / (0.5**2 * ROW[:, 0].sum())
    np.testing.assert_allclose(subjettiness(tree, axes, jet_radius=0.5, beta=2.0), expected)
    assert expected > 0


def test_as_many_axes_as_particles_leave_nothing(particles):
    tree = cluster(particles, pt_y_phi(particles), power=1)
    assert subjettiness(tree, exclusive_subjets(tree, 4), jet_radius=0.5).tolist() == [0.0]
