"""Particles of a slice: momenta, axis, distances, masses."""

import numpy as np
from omnilearn_lab.observables.constituents import Constituents, mass_of, slices, wrapped


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
