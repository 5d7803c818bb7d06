"""Decay products and their resonances, in hand-made event records."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation.clustering import Clusters
from omnilearn_lab.simulation.truth import contained, delta_r, find_decays, hard_outgoing, pairs_in_event

from tests.simulation.helpers import record

RESONANCES = (6, 23, 24, 25)
# top (1, copy 2) -> W (3, copy 4) b (5); W -> u (6) d (7); Z (8) -> nu nu (9, 10)
TOP = [
    (6, -22, 0, 500.0, 0.0, 0.0),
    (6, -62, 1, 500.0, 10.0, 0.0),
    (24, -22, 2, 350.0, 0.0, 0.0),
    (24, -52, 3, 350.0, 5.0, 0.0),
    (5, -23, 2, 150.0, 30.0, 0.0),
    (2, -23, 4, 200.0, -60.0, 0.0),
    (-1, -23, 4, 150.0, 55.0, 40.0),
    (23, -22, 0, -500.0, 0.0, 0.0),
    (12, -23, 8, -250.0, 10.0, 0.0),
    (-12, -23, 8, -250.0, -10.0, 0.0),
    (21, -23, 0, 10.0, 200.0, 0.0),
]


def jets(phi, *, event=(0,)):
    n = len(phi)
    zero = np.zeros(n)
    return Clusters(
        np.array(event),
        np.arange(n),
        zero,
        zero,
        zero,
        np.array(phi),
        zero,
        np.zeros(n + 1, int),
        np.zeros(0, int),
    )


def test_all_products_of_a_top_share_its_root_and_neutrinos_do_not_count():
    decays = find_decays(record(TOP), RESONANCES)
    assert decays.root.tolist() == [1, 1, 1]


def test_without_the_top_among_the_resonances_the_w_is_the_root():
    decays = find_decays(record(TOP), (24,))
    assert decays.root.tolist() == [3, 3]


def test_jet_around_the_top_holds_it_and_the_opposite_one_does_not():
    decays = find_decays(record(TOP), RESONANCES)
    found = contained(jets([0.0, np.pi, 0.6], event=(0, 0, 0)), decays, 0.8)
    assert found.tolist() == [True, False, False]


def test_a_smaller_cone_loses_a_product():
    decays = find_decays(record(TOP), RESONANCES)
    assert contained(jets([0.0]), decays, 0.3).tolist() == [False]


def test_one_of_two_resonances_is_enough():
    rows = [
        *((24, -22, 0, 300.0, 0.0, 0.0), (1, -23, 1, 150.0, 20.0, 0.0), (-2, -23, 1, 150.0, -20.0, 0.0)),
        *((24, -22, 0, -300.0, 0.0, 0.0), (3, -23, 4, -150.0, 20.0, 0.0), (-4, -23, 4, 0.0, 150.0, 0.0)),
    ]
    decays = find_decays(record(rows), RESONANCES)
    assert decays.root.tolist() == [1, 1, 4, 4]
    assert contained(jets([0.0, np.pi], event=(0, 0)), decays, 0.8).tolist() == [True, False]


def test_no_decays_no_match():
    decays = find_decays(record(TOP[-1:]), RESONANCES)
    assert len(decays.event) == 0 and not contained(jets([0.0]), decays, 0.8).any()


def test_hard_outgoing_finds_the_gluon():
    assert hard_outgoing(record(TOP), (21,)).tolist() == [11]


@pytest.mark.parametrize(("phi1", "phi2", "expected"), [(3.0, -3.0, 2 * np.pi - 6), (0.0, np.pi, np.pi)])
def test_delta_r_wraps(phi1, phi2, expected):
    assert delta_r(0.0, phi1, 0.0, phi2) == pytest.approx(expected)


def test_pairs_of_events_without_partner_are_none():
    left, right = pairs_in_event(np.array([1, 5]), np.array([0, 1, 1, 4]))
    assert left.tolist() == [0, 0] and right.tolist() == [1, 2]
