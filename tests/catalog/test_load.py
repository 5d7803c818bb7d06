"""Pairs of jets, simulated and published; two jets of one event stay together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from omnilearn_lab import simulation
from omnilearn_lab.catalog import LoadOptions, load, load_pairs
from omnilearn_lab.errors import CatalogError, DataFileError

from tests.conftest import random_jets
from tests.readers.published.test_lhco import events
from tests.readers.published.test_omnifold import write


def test_published_pairs_stay_pairs(tmp_path):
    (tmp_path / "omnifold_zjets").mkdir()
    for number in (0, 1):
        write(tmp_path / "omnifold_zjets" / f"Pythia21_Zjet_pTZ-200GeV_{number}.npz", sim_empty=[number])
    options = LoadOptions(data_dir=tmp_path)
    pairs = load_pairs(options=options)
    assert len(pairs) == 22 and pairs.truth.jet["event"].tolist() == pairs.detector.jet["event"].tolist()
    assert not np.array_equal(pairs.truth.jet["event"], np.sort(pairs.truth.jet["event"]))
    assert len(load_pairs(max_jets=7, options=options)) == 7
    with pytest.raises(DataFileError, match="Herwig_Zjet_pTZ-200GeV_0|Pythia21_Zjet_pTZ-200GeV_13"):
        load_pairs(split="val", source="published", options=options)


def test_simulated_pairs_are_cached_level_by_level(tmp_path, monkeypatch):
    calls = []

    def simulate_pairs(recipe, n_jets, *, seed, cache):
        calls.append(seed)
        jets = random_jets(n_jets, seed=seed).with_jet(event=np.arange(n_jets))
        return simulation.PairedJets(truth=jets, detector=jets.truncate(3))

    monkeypatch.setattr(simulation, "simulate_pairs", simulate_pairs)
    for _ in range(2):
        pairs = load_pairs(max_jets=9, source="simulated", options=LoadOptions(data_dir=tmp_path))
    assert len(pairs) == 9 and pairs.detector.counts.max() == 3 < pairs.truth.counts.max()
    assert len(calls) == 2 and len(set(calls)) == 1


def test_other_sets_have_one_level(tmp_path):
    with pytest.raises(CatalogError, match="one level only"):
        load_pairs("jetclass", options=LoadOptions(data_dir=tmp_path))


def test_two_jets_of_an_event_stay_together(tmp_path):
    (tmp_path / "lhco").mkdir()
    pd.DataFrame(np.tile(events(), (10, 1))).to_hdf(
        tmp_path / "lhco" / "events_anomalydetection_v2.h5", key="df"
    )
    jets = load("lhco", source="published", options=LoadOptions(data_dir=tmp_path))
    assert len(jets) == 96 and jets.jet["rank"].tolist() == [0, 1] * 48
    event = jets.jet["event"]
    assert np.array_equal(event[::2], event[1::2]) and not np.array_equal(event, np.sort(event))


def test_a_stand_in_with_classes_of_its_own_keeps_their_names(tmp_path, monkeypatch):
    def simulate(recipe, n_jets, *, seed, cache):
        return random_jets(n_jets, n_classes=len(recipe.class_names))

    monkeypatch.setattr(simulation, "simulate", simulate)
    options = LoadOptions(data_dir=tmp_path)
    assert load("cms_bsm", max_jets=5, options=options).class_names[0] == "class 0"
    assert load("jetnet30", max_jets=5, options=options).class_names[0] == "gluon"


def test_the_real_simulation_end_to_end(tmp_path):
    options = LoadOptions(data_dir=tmp_path, simulation={"workers": 1, "progress": False})
    first, again = (load("jetnet30", "val", max_jets=10, seed=5, options=options) for _ in range(2))
    other = load("jetnet30", "test", max_jets=10, seed=5, options=options)
    assert np.bincount(first.label, minlength=5).tolist() == [2] * 5
    assert np.array_equal(first.particles["pt"], again.particles["pt"])
    assert not np.intersect1d(first.jet["pt"], other.jet["pt"]).size
    assert first.class_names == ("gluon", "light quark", "top", "W", "Z") and first.counts.max() <= 30
