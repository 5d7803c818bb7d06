"""Trees and particles."""

import numpy as np
import pytest
from omnilearn_lab.observables.clustering import (
    Constituents,
    cluster,
    equal_sizes,
    mass_of,
    pt_y_phi,
    slices,
    wrapped,
)

N_JETS, N_PARTICLES = 30, 17


@pytest.fixture(scope="module")
def momenta():
    rng = np.random.default_rng(4)
    pt, y, phi = (
        rng.exponential(20, (N_PARTICLES, N_JETS)) + 0.1,
        *rng.normal(0, 0.4, (2, N_PARTICLES, N_JETS)),
    )
    mass = rng.uniform(0, 1, pt.shape)
    mt = np.hypot(pt, mass)
    return np.stack([pt * np.cos(phi + 3), pt * np.sin(phi + 3), mt * np.sinh(y), mt * np.cosh(y)], axis=-1)


def test_coordinates_by_hand():
    momenta = [[3.0, 4.0, 0.0, 13.0], [-1.0, 0.0, np.sinh(5.0), np.cosh(5.0)], [0.0, -1.0, -1e6, 1e6]]
    pt, y, phi = pt_y_phi(np.array(momenta)).T
    np.testing.assert_allclose(pt, [5, 1, 1])
    np.testing.assert_allclose(y, [0, 5, -np.log(2e6)], rtol=1e-6)
    np.testing.assert_allclose(phi, [np.arctan2(4, 3), np.pi, -np.pi / 2])


def test_every_merge_adds_two_momenta_and_uses_every_node_once(momenta):
    tree = cluster(momenta, pt_y_phi(momenta))
    jets = np.arange(N_JETS)
    for step, pair in enumerate(tree.children):
        parents = tree.momenta[pair[:, 0], jets] + tree.momenta[pair[:, 1], jets]
        np.testing.assert_allclose(tree.momenta[N_PARTICLES + step], parents)
    for jet in jets:
        assert sorted(tree.children[:, jet].ravel()) == list(range(2 * N_PARTICLES - 2))
    np.testing.assert_allclose(tree.momenta[-1], momenta.sum(axis=0))
    np.testing.assert_allclose(tree.coordinates, pt_y_phi(tree.momenta))


def test_one_particle_and_coinciding_particles(momenta):
    alone = cluster(momenta[:1], pt_y_phi(momenta[:1]))
    np.testing.assert_array_equal(alone.momenta, momenta[:1])
    same = np.repeat(momenta[:1], 5, axis=0)
    np.testing.assert_allclose(cluster(same, pt_y_phi(same)).momenta[-1], 5 * momenta[0])


def test_equal_sizes_gives_every_row_once():
    counts = np.random.default_rng(0).integers(1, 9, 200)
    groups = list(equal_sizes(counts))
    assert all(len(set(counts[rows])) == 1 for rows in groups)
    assert sorted(np.concatenate(groups)) == list(range(200))
    assert len(groups) == 8


def test_chunks_are_bounded():
    assert [len(rows) for rows in equal_sizes(np.full(900, 100))] == [400, 400, 100]
    assert list(equal_sizes(np.array([], dtype=int))) == []


def test_momenta_are_those_of_the_jets_up_to_a_turn(toy_jets):
    particles = Constituents(toy_jets, slice(0, len(toy_jets)))
    px, py, pz, energy = toy_jets.cartesian()
    np.testing.assert_allclose(particles.momenta[2], pz, rtol=1e-12)
    np.testing.assert_allclose(particles.momenta[3], energy)
    np.testing.assert_allclose(np.hypot(*particles.momenta[:2]), np.hypot(px, py))
    azimuth = np.arctan2(py, px) - particles.per_particle(toy_jets.jet["phi"])
    np.testing.assert_allclose(wrapped(particles.phi - azimuth), 0, atol=1e-6)


def test_the_axis_is_the_stored_jet(toy_jets):
    """Made by the E scheme, so the vector sum must come back."""
    particles = Constituents(toy_jets, slice(10, 60))
    np.testing.assert_allclose(particles.axis[:, 0], toy_jets.jet["pt"][10:60], rtol=1e-5)
    np.testing.assert_allclose(particles.axis[:, 2], 0, atol=1e-5)


def test_a_slice_is_a_part_of_the_whole(toy_jets):
    whole, part = Constituents(toy_jets, slice(0, len(toy_jets))), Constituents(toy_jets, slice(20, 40))
    np.testing.assert_array_equal(part.total, whole.total[20:40])
    np.testing.assert_array_equal(part.counts, toy_jets.counts[20:40])


def test_angles_wrap():
    np.testing.assert_allclose(
        wrapped(np.array([0.1, -6.2, 6.2, np.pi])), [0.1, 0.083185, 0.083185, np.pi], rtol=1e-4
    )


def test_masses():
    momenta = np.array([[3.0, 0, 0, 5.0], [3.0, 0, 0, 2.9], [30.0, 0, 0, 30.00001], [30.0, 0, 0, 30.00001]])
    masses = mass_of(momenta, np.array([True, True, True, False]))
    np.testing.assert_allclose(masses, [4, 0, 0, np.sqrt(2 * 30e-5)], rtol=1e-5)


def test_one_huge_jet_is_one_slice(toy_jets):
    assert list(slices(toy_jets)) == [slice(0, len(toy_jets))]
    assert len(list(slices(toy_jets, 1))) == len(toy_jets)
    assert list(slices(toy_jets[:0])) == []
