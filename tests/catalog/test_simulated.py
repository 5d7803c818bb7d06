"""Simulated sets are made once, read back exactly, and made again when the file is damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omnilearn_lab import simulation
from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.catalog.simulated import SimulatedSet, load_simulated, split_seed
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import CatalogError, DataFileError

from tests.conftest import random_jets

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
