"""Loading published files that are already there: splits, archives, processes, converted copies."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.catalog import FetchOptions, LoadOptions, entry, load
from omnilearn_lab.catalog.published import find_published, load_published
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import write_jets

from tests.conftest import random_jets
from tests.readers.samples import truth, write_energyflow, write_jetclass, write_top


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
    monkeypatch.setattr("omnilearn_lab.catalog.published._FILES_PER_LOAD", 3)
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
