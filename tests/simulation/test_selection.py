"""The shared steps from events to jets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.simulation import recipe
from omnilearn_lab.simulation.clustering import cluster
from omnilearn_lab.simulation.events import EventBatch
from omnilearn_lab.simulation.recipes import JetWindow, Profile
from omnilearn_lab.simulation.selection import build_jets, find_jets, in_window, jet_columns, observe

from tests.simulation.helpers import gun, with_profile
from tests.simulation.test_clustering import particles

BATCH = EventBatch(np.array([0, 1, 2]), {}, np.array([1.0, 0.25]))


def test_threshold_on_constituents():
    objects = gun(22, 1.0, n=100)
    for threshold, n_kept in ((0.99, 100), (1.01, 0)):
        chosen = with_profile("quark_gluon", quick=Profile(min_pt=threshold))
        assert len(observe(chosen, objects, np.random.default_rng(1))) == n_kept


def test_window_in_pt_and_eta_or_rapidity():
    found = cluster(particles([(0, 50, 1.0, 0.3), (0, 50, 1.0, -0.3), (0, 20, -1, 3)], 1), 1.0)
    middle = (found.eta[0] + found.rapidity[0]) / 2  # rapidity of a massive jet is smaller
    window = JetWindow(1.0, (30.0, 200.0), (-2.0, middle))
    assert in_window(window, found).tolist() == [False, False]
    assert in_window(replace(window, use_rapidity=True), found).tolist() == [True, False]


def test_jets_lie_above_the_smallest_pt_of_the_window():
    chosen = with_profile("jetclass", window=JetWindow(0.4, (30.0, 100.0), (-2, 2)))
    objects = particles([(0, 50, 0, 0), (0, 20, 1, 2)], 1)
    assert len(find_jets(chosen, objects)) == 1 and len(find_jets(chosen, objects, min_pt=5.0)) == 2


def test_weights_come_from_the_biased_phase_space_only():
    event = np.array([1, 0])
    biased, plain = recipe("cms_open_data"), recipe("jetclass")
    assert jet_columns(biased, biased.samples[0], BATCH, event)["weight"].tolist() == [0.25, 1.0]
    columns = jet_columns(plain, plain.samples[3], BATCH, event)
    assert "weight" not in columns and columns["label"].tolist() == [3, 3]
    assert "label" not in jet_columns(biased, biased.samples[0], BATCH, event)  # the selector finds it


@pytest.mark.parametrize(("count_kept", "multiplicity"), [(False, 5), (True, 3)])
def test_multiplicity_counts_all_or_the_kept_constituents(count_kept, multiplicity):
    chosen = with_profile("jetnet30", max_constituents=3, count_kept=count_kept)
    objects = particles([(0, pt, 0.01 * pt, 0) for pt in (10, 30, 20, 5, 15)], 1)
    objects.columns["pid"], objects.columns["charge"] = np.full(5, 22), np.zeros(5)
    found = cluster(objects, 0.8)
    jets = build_jets(chosen, objects, found, np.array([0]), {"label": [0]})["jets"]
    assert jets.particles["pt"].tolist() == [30, 20, 15] and jets.jet["multiplicity"][0] == multiplicity
    assert jets.jet["pt"][0] == pytest.approx(80)  # of all constituents


def test_nothing_chosen_gives_nothing():
    objects = particles([(0, 10, 0, 0)], 1)
    assert build_jets(recipe("jetnet30"), objects, cluster(objects, 0.8), np.zeros(0, int), {}) == {}
