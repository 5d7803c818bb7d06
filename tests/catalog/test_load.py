"""Loading datasets."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omnilearn_lab import simulation
from omnilearn_lab.catalog import FetchOptions, LoadOptions, entry, load, load_pairs
from omnilearn_lab.catalog.load import (
    SimulatedSet,
    find_published,
    load_published,
    load_simulated,
    split_seed,
)
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import CatalogError, DataFileError
from omnilearn_lab.jets import PairedJets, write_jets

from tests.conftest import random_jets
from tests.readers.published.test_lhco import events
from tests.readers.published.test_omnifold import write
from tests.readers.samples import truth, write_energyflow, write_jetclass, write_top


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
        return PairedJets(truth=jets, detector=jets.truncate(3))

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


@pytest.fixture
def options(tmp_path):
    return LoadOptions(data_dir=tmp_path)


def test_auto_prefers_published_files(tmp_path, options):
    (tmp_path / "top_tagging").mkdir()
    write_top(tmp_path / "top_tagging" / "val.h5", truth(massless=True), np.arange(12) % 2)
    jets = load("top_tagging", "val", options=options)
    assert len(jets) == 12 and jets.provenance["source"] == "published" and jets.class_names == ("QCD", "top")
    with pytest.raises(DataFileError, match=r"train\.h5"):
        load("top_tagging", "train", source="published", options=options)


def test_the_seed_fixes_choice_and_order(tmp_path, options):
    (tmp_path / "top_tagging").mkdir()
    write_top(tmp_path / "top_tagging" / "val.h5", truth(massless=True), np.arange(12) % 2)
    one, two, three = (load("top_tagging", "val", max_jets=5, seed=s, options=options) for s in (1, 1, 2))
    assert len(one) == 5 and np.array_equal(one.jet["pt"], two.jet["pt"])
    assert not np.array_equal(one.jet["pt"], three.jet["pt"])


@pytest.fixture
def jetclass(tmp_path):
    """Three processes with two files each, as unpacked from two archives."""
    for number in range(2):
        folder = tmp_path / "jetclass" / f"JetClass_Pythia_train_100M_part{number % 2}" / "Pythia"
        folder.mkdir(parents=True, exist_ok=True)
        for label, process in enumerate(("ZJetsToNuNu", "HToBB", "HToCC")):
            write_jetclass(folder / f"{process}_{number:03d}.root", truth(seed=number), np.full(12, label))
    return tmp_path


def test_all_processes_are_mixed(jetclass, options):
    jets = load("jetclass", "train", max_jets=30, options=options)
    assert np.bincount(jets.label).tolist() == [10, 10, 10]
    assert len(load("jetclass", "train", options=options)) == 72


def test_few_files_still_cover_all_processes(jetclass, monkeypatch):
    monkeypatch.setattr(sys.modules[find_published.__module__], "_FILES_PER_LOAD", 3)
    found = find_published("jetclass", entry("jetclass"), "train", Store(jetclass))
    assert len(found.paths) == 6
    assert np.bincount(load_published(found, max_jets=6).label).tolist() == [2, 2, 2]


def test_splits_of_one_file_are_disjoint(tmp_path, options):
    import h5py

    (tmp_path / "jetnet30").mkdir()
    rng = np.random.default_rng(1)
    features = np.zeros((100, 30, 4))
    features[:, :3, 2:] = 0.3, 1.0
    for letter in "gq":
        with h5py.File(tmp_path / "jetnet30" / f"{letter}.hdf5", "w") as file:
            file["particle_features"] = features
            file["jet_features"] = np.stack([1000 + rng.permutation(100), *np.ones((3, 100))], axis=1)
    parts = [load("jetnet30", split, options=options) for split in ("train", "val", "test")]
    assert [len(p) for p in parts] == [126, 14, 60]
    for label in (0, 1):
        seen = [set(p.jet["pt"][p.label == label]) for p in parts]
        assert len(set.union(*seen)) == 100 == sum(map(len, seen))


def test_a_converted_copy_comes_first(tmp_path, options):
    write_jets(random_jets(9, n_classes=10), tmp_path / "jetclass" / "ml_ready" / "val" / "a.h5")
    assert len(load("jetclass", "val", source="published", options=options)) == 9


def test_users_put_h1_files_by_split(tmp_path, options):
    with pytest.raises(DataFileError, match=r"on_request.*h1_dis/test"):
        load("h1_dis", "test", source="published", options=options)


def test_variants_are_kept_apart(tmp_path):
    (tmp_path / "quark_gluon").mkdir()
    write_energyflow(tmp_path / "quark_gluon" / "QG_jets_herwig_3.npz", truth(), np.arange(12) % 2)
    with pytest.raises(DataFileError, match=r"QG_jets\.npz"):
        load("quark_gluon", source="published", options=LoadOptions(data_dir=tmp_path))
    jets = load("quark_gluon", source="published", options=LoadOptions(data_dir=tmp_path, variant="herwig"))
    assert len(jets) == 12 and jets.provenance["variant"] == "herwig"


def test_fetch_options_and_load_options_agree_on_the_folder():
    assert FetchOptions().data_dir is LoadOptions().data_dir is None


WANTED = SimulatedSet("top_tagging", "quick", "train", 20, 1)


@pytest.fixture
def calls(monkeypatch):
    """Replace the simulation by random jets, and note the calls."""
    noted = []

    def simulate(recipe, n_jets, *, seed, cache, **arguments):
        noted.append((recipe.name, n_jets, seed, arguments))
        jets = random_jets(n_jets, seed=seed)
        return replace(jets, class_names=recipe.class_names)

    monkeypatch.setattr(simulation, "simulate", simulate, raising=False)
    return noted


def same(a, b):
    return all(np.array_equal(a.particles[k], b.particles[k]) for k in a.particles) and all(
        np.array_equal(a.jet[k], b.jet[k]) for k in a.jet
    )


def test_the_second_call_reads_the_same_jets_from_disk(calls, tmp_path):
    store = Store(tmp_path)
    first, second = load_simulated(WANTED, store), load_simulated(WANTED, store)
    assert len(calls) == 1 and len(first) == 20 and same(first, second)


@pytest.mark.parametrize(
    "change", [{"n_jets": 21}, {"seed": 2}, {"split": "val"}, {"version": "0"}, {"profile": "production"}]
)
def test_another_request_is_another_file(calls, tmp_path, change):
    load_simulated(WANTED, Store(tmp_path))
    load_simulated(replace(WANTED, **change), Store(tmp_path))
    assert len(calls) == 2


def test_splits_have_different_seeds():
    seeds = [split_seed(seed, split) for seed in range(50) for split in ("train", "val", "test")]
    assert len(set(seeds)) == 150 and min(seeds) >= 0


def damage_truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


def damage_sidecar(path):
    Path(f"{path}.json").write_text("{")


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_sidecar, Path.unlink])
def test_a_damaged_file_is_noticed_and_made_again(calls, tmp_path, damage, caplog):
    store = Store(tmp_path)
    first = load_simulated(WANTED, store)
    damage(store.target(WANTED.file_name))
    with caplog.at_level(logging.WARNING):
        assert same(first, load_simulated(WANTED, store))
    assert len(calls) == 2
    assert damage is Path.unlink or "damaged" in caplog.text
    load_simulated(WANTED, store)
    assert len(calls) == 2


def test_a_file_without_its_note_is_unfinished_not_damaged(calls, tmp_path, caplog):
    store = Store(tmp_path)
    first = load_simulated(WANTED, store)
    Path(f"{store.target(WANTED.file_name)}.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert same(first, load_simulated(WANTED, store))
    assert len(calls) == 2 and not caplog.text


def test_a_failed_simulation_leaves_no_file(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("stopped")

    monkeypatch.setattr(simulation, "simulate", fails, raising=False)
    with pytest.raises(RuntimeError, match="stopped"):
        load_simulated(WANTED, Store(tmp_path))
    assert not list(tmp_path.rglob("*.h5"))


def _process(folder, results):
    def simulate(recipe, n_jets, *, seed, cache):
        results.put("simulated")
        return random_jets(n_jets, seed=seed)

    simulation.simulate = simulate
    results.put(len(load_simulated(WANTED, Store(folder))))


def test_two_processes_at_once_simulate_once(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_process, args=(tmp_path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = [results.get(timeout=10) for _ in range(3)]
    assert sorted(map(str, found)) == ["20", "20", "simulated"] and results.empty()


def test_load_names_source_split_and_classes(calls, tmp_path):
    options = LoadOptions(data_dir=tmp_path, max_particles=5, simulation={"workers": 1})
    jets = load("top_tagging", "val", max_jets=20, seed=3, options=options)
    assert jets.class_names == ("QCD", "top") and jets.counts.max() == 5
    facts = {"dataset": "top_tagging", "split": "val", "source": "simulated", "seed": 3}
    assert facts.items() <= jets.provenance.items()
    assert calls == [("top_tagging", 20, split_seed(3, "val"), {"workers": 1})]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "jetclas"}, "did you mean 'jetclass'"),
        ({"split": "tset"}, "did you mean 'test'"),
        ({"source": "simulate"}, "did you mean 'simulated'"),
        ({"max_jets": 0}, "at least 1"),
    ],
)
def test_a_wrong_request_names_the_nearest(tmp_path, arguments, message):
    arguments = {"name": "top_tagging", "options": LoadOptions(data_dir=tmp_path)} | arguments
    with pytest.raises(CatalogError, match=message):
        load(**arguments)


def test_published_files_that_are_absent_are_named(tmp_path):
    with pytest.raises(DataFileError) as error:
        load("top_tagging", source="published", options=LoadOptions(data_dir=tmp_path))
    expected = ["train.h5", "https://zenodo.org/record/2603256", str(tmp_path / "top_tagging"), "simulated"]
    assert all(part in str(error.value) for part in expected), str(error.value)
