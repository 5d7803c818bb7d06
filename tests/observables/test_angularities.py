"""Generalised angularities: their named members, and a jet by hand."""

import numpy as np
import pytest
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import ConfigError

R = 0.4
MEMBERS = {"width": (1, 1), "les_houches": (1, 0.5), "thrust": (1, 2)}


@pytest.mark.parametrize("name", MEMBERS)
def test_named_members(toy_jets, name):
    kappa, beta = MEMBERS[name]
    expected = obs.observables(toy_jets, [name], jet_radius=R)[name]
    np.testing.assert_allclose(obs.angularity(toy_jets, kappa=kappa, beta=beta, jet_radius=R), expected)


def test_counting_and_dispersion_need_no_radius(toy_jets):
    np.testing.assert_allclose(obs.angularity(toy_jets, kappa=0, beta=0), toy_jets.counts)
    dispersion = obs.observables(toy_jets, ["pt_dispersion"])["pt_dispersion"]
    np.testing.assert_allclose(obs.angularity(toy_jets, kappa=2, beta=0), dispersion**2)


def test_two_particles_by_hand(build):
    """Massless particles at y = 0: the axis divides the azimuth by the vector sum."""
    jets = build([[(80, 0, 0.0), (20, 0, 0.2)]])
    phi = np.arctan2(20 * np.sin(0.2), 80 + 20 * np.cos(0.2))
    expected = 0.8**1.5 * (phi / R) ** 0.7 + 0.2**1.5 * ((0.2 - phi) / R) ** 0.7
    np.testing.assert_allclose(obs.angularity(jets, kappa=1.5, beta=0.7, jet_radius=R), expected, rtol=1e-5)


def test_a_lone_particle_has_no_angle(build):
    assert obs.angularity(build([[(80, 1.3, 0.7)]]), beta=0.5, jet_radius=R).tolist() == [0.0]


def test_bad_exponents_and_missing_radius(toy_jets):
    with pytest.raises(ConfigError, match="0 or more"):
        obs.angularity(toy_jets, beta=-1.0, jet_radius=R)
    with pytest.raises(ConfigError, match="pass jet_radius"):
        obs.angularity(toy_jets)
