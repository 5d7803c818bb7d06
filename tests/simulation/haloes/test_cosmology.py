"""Expansion, growth and power of a flat universe against known limits and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.haloes.cosmology import Cosmology

PLANCK_LIKE = Cosmology(0.3175, 0.834)


def test_growth_of_a_universe_of_matter_is_the_scale_factor():
    matter = Cosmology(1.0, 0.8)
    for a in (0.1, 0.5, 0.9):
        assert matter.growth(a) == pytest.approx(a, rel=1e-4) and matter.growth_rate(a) == pytest.approx(1)


def test_growth_equals_colossus():
    """D(z = 1) = 0.605948 and f(0) = 0.52946 for omega_m = 0.3175 with colossus 1.4."""
    assert PLANCK_LIKE.growth(0.5) == pytest.approx(0.605948, rel=1e-4)
    assert PLANCK_LIKE.growth_rate(1.0) == pytest.approx(0.52946, rel=1e-4)
    assert PLANCK_LIKE.growth_rate(1.0) == pytest.approx(0.3175**0.55, rel=0.01)


def test_spectrum_has_the_normalisation_and_the_slopes():
    assert PLANCK_LIKE.sigma(8.0) == pytest.approx(0.834, rel=1e-6)
    slope = np.gradient(np.log(PLANCK_LIKE.power(np.logspace(-4, 2, 600))), np.log(10) / 100)
    assert slope[0] == pytest.approx(PLANCK_LIKE.n_s, abs=0.02)
    assert -3 < slope[-1] < -2.4
    peak = np.logspace(-3, 0, 500)[np.argmax(PLANCK_LIKE.power(np.logspace(-3, 0, 500)))]
    assert 0.01 < peak < 0.03


def test_transfer_function_by_hand():
    """Eisenstein and Hu's fit at k = 0.1 h/Mpc, worked out step by step."""
    h, om, ob = 0.7, 0.3, 0.05
    s = 44.5 * np.log(9.83 / (om * h * h)) / np.sqrt(1 + 10 * (ob * h * h) ** 0.75)
    alpha = 1 - 0.328 * np.log(431 * om * h * h) * ob / om + 0.38 * np.log(22.3 * om * h * h) * (ob / om) ** 2
    gamma = om * h * (alpha + (1 - alpha) / (1 + (0.43 * 0.1 * h * s) ** 4))
    q = 0.1 * (2.7255 / 2.7) ** 2 / gamma
    log = np.log(2 * np.e + 1.8 * q)
    expected = log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q * q)
    assert Cosmology(om, 0.8, ob, h).transfer(np.array([0.1]))[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("values", [(0.04, 0.8), (1.2, 0.8), (0.3, 0.0)])
def test_impossible_universes(values):
    with pytest.raises(SimulationError, match="0 < omega_b < omega_m <= 1"):
        Cosmology(*values)
