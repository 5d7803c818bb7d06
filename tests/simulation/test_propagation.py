"""Straight lines and helices against geometry done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.simulation.cards import ATLAS_LIKE, CMS_LIKE
from omnilearn_lab.simulation.propagation import propagate

from tests.simulation.helpers import gun

PROMPT_ANGLE = {CMS_LIKE: 0.735, ATLAS_LIKE: 0.345}  # arcsin(x / pt [GeV])


@pytest.mark.parametrize("card", [CMS_LIKE, ATLAS_LIKE], ids=lambda c: c.name)
@pytest.mark.parametrize("charge", [-1, 1])
@pytest.mark.parametrize("pt", [1.0, 2.0, 10.0])
def test_a_prompt_track_turns_by_the_known_angle(card, charge, pt):
    impact = propagate(gun(211, pt, charge=charge, phi=0.3), card)
    expected = np.arcsin(PROMPT_ANGLE[card] / pt)
    assert impact.phi[0] - 0.3 == pytest.approx(-charge * expected, rel=2e-3)
    assert impact.track_phi[0] == pytest.approx(0.3)
    assert impact.d0[0] == pytest.approx(0, abs=1e-9) and impact.dz[0] == pytest.approx(0, abs=1e-9)


def test_a_curling_track_ends_in_an_end_cap():
    impact = propagate(gun(211, 0.3, eta=0.1, charge=1), CMS_LIKE)
    assert impact.alive[0] and abs(impact.eta[0]) > 2  # inside half the radius, 3 m away


@given(eta=st.floats(-4, 4), phi=st.floats(-3.1, 3.1), pt=st.floats(0.1, 1000))
def test_neutral_particles_from_the_origin_keep_their_direction(eta, phi, pt):
    impact = propagate(gun(22, pt, eta=eta, phi=phi), CMS_LIKE)
    assert impact.eta[0] == pytest.approx(eta, abs=1e-9) and impact.phi[0] == pytest.approx(phi, abs=1e-9)


def test_displaced_neutral_particle_meets_the_barrel_where_geometry_says():
    impact = propagate(gun(22, 5.0, phi=np.pi / 2, vertex=(500.0, 0.0, 100.0)), CMS_LIKE)
    y = np.sqrt(1.29**2 - 0.5**2)
    assert impact.phi[0] == pytest.approx(np.arctan2(y, 0.5))
    assert impact.eta[0] == pytest.approx(np.arcsinh(0.1 / 1.29))


@pytest.mark.parametrize("phi", [-2.0, 0.0, 1.0])
@pytest.mark.parametrize("charge", [-1, 1])
def test_impact_parameters_of_stiff_tracks(charge, phi):
    x, y, z, pt, eta = 3.0, -2.0, 5.0, 1000.0, 0.7
    impact = propagate(gun(211, pt, eta=eta, charge=charge, phi=phi, vertex=(x, y, z)), CMS_LIKE)
    assert impact.d0[0] == pytest.approx(x * np.sin(phi) - y * np.cos(phi), abs=1e-3)
    along = x * np.cos(phi) + y * np.sin(phi)
    assert impact.dz[0] == pytest.approx(z - along * np.sinh(eta), abs=1e-3)


@given(charge=st.sampled_from([-1, 1]), pt=st.floats(1, 50), phi=st.floats(-3, 3), eta=st.floats(-2, 2))
def test_impact_parameter_does_not_depend_on_where_on_its_way_a_track_is_born(charge, pt, phi, eta):
    """Start 20 mm further along the same helix: the closest approach is the same point."""
    first = gun(211, pt, eta=eta, charge=charge, phi=phi, vertex=(2.0, 1.0, 3.0))
    radius = 1e3 * pt / (0.299792458 * charge * 3.8)  # [mm]
    turn = 20.0 / radius
    x = 2.0 + radius * (np.sin(phi) - np.sin(phi - turn))
    y = 1.0 - radius * (np.cos(phi) - np.cos(phi - turn))
    z = 3.0 + radius * np.sinh(eta) * turn
    second = gun(211, pt, eta=eta, charge=charge, phi=phi - turn, vertex=(x, y, z))
    a, b = propagate(first, CMS_LIKE), propagate(second, CMS_LIKE)
    assert a.d0[0] == pytest.approx(b.d0[0], abs=1e-6) and a.dz[0] == pytest.approx(b.dz[0], abs=1e-5)
    assert a.eta[0] == pytest.approx(b.eta[0], abs=1e-6)


@pytest.mark.parametrize("vertex", [(1300.0, 0.0, 0.0), (0.0, 0.0, 3001.0)])
def test_particles_born_outside_are_lost(vertex):
    assert not propagate(gun(22, 5.0, vertex=vertex), CMS_LIKE).alive[0]
