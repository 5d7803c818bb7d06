"""Detector cards: grids without gaps, numbers from the published cards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation import card
from omnilearn_lab.simulation.cards import CARDS

NAMES = ("ATLAS-like", "CMS-like", "full-like", "JetClass-like")
ATLAS_LIKE, CMS_LIKE, FULL_LIKE, JETCLASS_LIKE = map(card, NAMES)


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("part", ["ecal", "hcal"])
def test_tower_edges_rise_are_symmetric_and_fine(name, part):
    edges = np.array(getattr(card(name), part).eta_edges)
    assert np.all(np.diff(edges) > 0) and edges == pytest.approx(-edges[::-1])
    assert np.diff(edges).max() < 0.36 and edges[-1] >= 4.9


def test_granularity_in_the_barrel():
    for chosen, hadronic in ((CMS_LIKE, 0.087), (ATLAS_LIKE, 0.1)):
        for part, step in ((chosen.ecal, 0.0174), (chosen.hcal, hadronic)):
            edges = np.array(part.eta_edges)
            assert np.diff(edges[np.abs(edges) < 1.5]) == pytest.approx(step, abs=1e-6)


@pytest.mark.parametrize("name", CARDS)
def test_resolution_and_phi_bins_cover_the_grid(name):
    for part in (card(name).ecal, card(name).hcal):
        assert part.resolution[-1][0] >= part.eta_edges[-1] and part.phi_bins[-1][0] >= part.eta_edges[-1]


def test_full_like_differs_from_cms_like_in_the_response_only():
    assert (FULL_LIKE.field, FULL_LIKE.radius) == (CMS_LIKE.field, CMS_LIKE.radius)
    assert FULL_LIKE.hcal.eta_edges == CMS_LIKE.hcal.eta_edges
    assert FULL_LIKE.tracker != CMS_LIKE.tracker and FULL_LIKE.hadrons_in_ecal


def test_jetclass_card_is_the_cms_card_with_weightless_tracks():
    tracker = replace(JETCLASS_LIKE.tracker, weightless=False)
    assert replace(JETCLASS_LIKE, name="CMS-like", tracker=tracker) == CMS_LIKE


def test_unknown_card():
    with pytest.raises(SimulationError, match="did you mean 'CMS-like'"):
        card("CMS")
