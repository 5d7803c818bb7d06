"""Towers: smearing, thresholds, and what becomes of tracks."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation.calorimeter import Deposits, log_normal, read_out, resolution
from omnilearn_lab.simulation.cards import ATLAS_LIKE, CMS_LIKE

NOTHING = Deposits(*(np.zeros(0, dtype=int), *(np.zeros(0) for _ in range(3))))


def deposits(energies, *, eta=0.01, phi=0.01):
    n = len(energies)
    return Deposits(np.arange(n), np.full(n, eta), np.full(n, phi), np.asarray(energies, dtype=float))


def test_log_normal_has_the_mean_and_spread_asked_for():
    n = 200_000
    drawn = log_normal(np.full(n, 10.0), np.full(n, 3.0), np.random.default_rng(1))
    assert drawn.min() > 0
    assert drawn.mean() == pytest.approx(10, abs=5 * 3 / np.sqrt(n))
    assert drawn.std() == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(
    ("card", "eta", "energy", "sigma"),
    [
        (CMS_LIKE.ecal, 0.0, 50.0, np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.ecal, 1.0, 50.0, 1.64 * np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.ecal, -2.0, 50.0, 2.16 * np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.hcal, 0.0, 100.0, np.sqrt(25 + 225)),
        (CMS_LIKE.hcal, 4.0, 100.0, np.sqrt(169 + 729)),
        (ATLAS_LIKE.hcal, 1.0, 100.0, np.sqrt(3.02**2 + 0.5205**2 * 100 + 1.59**2)),
        (ATLAS_LIKE.ecal, 4.0, 100.0, np.sqrt(3.5**2 + 0.285**2 * 100)),
    ],
)
def test_resolution_by_hand(card, eta, energy, sigma):
    assert resolution(card, np.array([eta]), np.array([energy]))[0] == pytest.approx(sigma)


def test_lone_deposit_becomes_a_neutral_object_inside_its_tower():
    found = read_out(
        CMS_LIKE.ecal, deposits([100.0] * 500), NOTHING, np.zeros(0), rng=np.random.default_rng(1)
    ).neutral
    assert np.array_equal(found.event, np.arange(500))
    assert found.eta.min() >= 0 and found.eta.max() <= 0.0174
    assert found.phi.min() >= 0 and found.phi.max() <= np.pi / 180


def test_deposits_in_one_tower_are_one_object_and_in_two_events_two():
    rng = np.random.default_rng(1)
    together = Deposits(
        np.array([0, 0, 1]), np.full(3, 0.01), np.full(3, 0.01), np.array([50.0, 50.0, 100.0])
    )
    found = read_out(CMS_LIKE.ecal, together, NOTHING, np.zeros(0), rng=rng).neutral
    assert found.event.tolist() == [0, 1]
    assert found.energy == pytest.approx([100, 100], rel=0.1)


def test_energy_below_threshold_and_outside_is_not_seen():
    rng = np.random.default_rng(1)
    faint = read_out(CMS_LIKE.hcal, deposits([0.2] * 100), NOTHING, np.zeros(0), rng=rng).neutral
    outside = read_out(CMS_LIKE.hcal, deposits([500.0], eta=5.2), NOTHING, np.zeros(0), rng=rng).neutral
    assert len(outside.event) == 0
    assert np.all(faint.energy >= CMS_LIKE.hcal.min_energy)


def test_tower_that_agrees_with_its_track_gives_no_object():
    rng = np.random.default_rng(2)
    n = 4000
    seen = deposits([50.0] * n)
    result = read_out(CMS_LIKE.hcal, seen, seen, np.full(n, 3.0), rng=rng)
    sigma = float(resolution(CMS_LIKE.hcal, np.array([0.0435]), np.array([50.0]))[0])
    assert 0.05 < len(result.neutral.event) / n < 0.2  # more than one sigma above the track
    scaled = np.delete(result.factor, result.neutral.event)
    assert np.array_equal(result.factor[result.neutral.event], np.ones(len(result.neutral.event)))
    assert 0 < scaled.std() * 50 < 9 / sigma  # pulled towards the tower by its small weight 9 / sigma^2


def test_missing_energy_leaves_the_track_alone():
    tracks = deposits([50.0])
    result = read_out(CMS_LIKE.hcal, deposits([0.0]), tracks, np.array([3.0]), rng=np.random.default_rng(1))
    assert len(result.neutral.event) == 0 and result.factor[0] == pytest.approx(1)


def test_energy_is_conserved_on_average():
    n = 20_000
    found = read_out(
        CMS_LIKE.hcal, deposits([50.0] * n), NOTHING, np.zeros(0), rng=np.random.default_rng(4)
    ).neutral
    sigma = np.sqrt(2.5**2 + 1.5**2 * 50)
    assert len(found.event) == n
    assert found.energy.mean() == pytest.approx(50, abs=5 * sigma / np.sqrt(n))
    assert found.energy.std() == pytest.approx(sigma, rel=0.03)
