"""Conversions are complete or resumable, and land where they are looked for."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from omnilearn_lab.catalog import (
    DatasetConversion,
    LoadOptions,
    catalog,
    convert_dataset,
    convert_files,
    load,
)
from omnilearn_lab.errors import CatalogError, DataFileError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.readers import ConvertOptions, make_reader

from tests.readers.samples import truth, write_energyflow, write_top

TOP = make_reader("top_tagging")


def top_files(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        write_top(folder / name, truth(10, seed=seed), np.arange(10) % 2)
    return [folder / name for name in names]


def test_names_that_collide_are_numbered(tmp_path):
    paths = top_files(tmp_path / "a", "x.h5") + top_files(tmp_path / "b", "x.h5", "y.h5")
    found = convert_files(paths, tmp_path / "out", TOP, workers=1)
    assert [path.name for path in found] == ["x.h5", "x-1.h5", "y.h5"]
    assert all(len(read_jets(path)) == 10 for path in found)


def test_what_is_there_is_not_made_again(tmp_path):
    paths = top_files(tmp_path, "a.h5", "b.h5")
    first, _ = convert_files(paths, tmp_path / "out", TOP, workers=1)
    stamp = first.stat().st_mtime_ns
    (tmp_path / "out" / "b.h5").unlink()
    found = convert_files(paths, tmp_path / "out", TOP, workers=1)
    assert first.stat().st_mtime_ns == stamp and all(path.exists() for path in found)


def test_other_options_and_other_files_are_not_mixed_in(tmp_path):
    paths, out = top_files(tmp_path, "a.h5", "b.h5"), tmp_path / "out"
    convert_files(paths[:1], out, TOP, workers=1)
    with pytest.raises(DataFileError, match="begun with max_particles: 150, asked now: 20;.*delete this one"):
        convert_files(paths, out, TOP, options=ConvertOptions(max_particles=20), workers=1)
    with pytest.raises(DataFileError, match="begun with reader: .*bad_jets='error'.*bad_jets='drop'"):
        convert_files(paths, out, make_reader("top_tagging", bad_jets="drop"), workers=1)
    with pytest.raises(DataFileError, match=r"begun with a\.h5: .*asked now: .*other/a\.h5"):
        convert_files(top_files(tmp_path / "other", "a.h5"), out, TOP, workers=1)
    assert sorted(path.name for path in out.glob("*.h5")) == ["a.h5"]
    convert_files(paths, out, TOP, workers=1)
    assert sorted(path.name for path in out.glob("*.h5")) == ["a.h5", "b.h5"]
    (out / ".conversion.json").write_text("[]")
    with pytest.raises(DataFileError, match="is damaged .*to convert anew"):
        convert_files(paths, out, TOP, workers=1)


@pytest.mark.parametrize("changes", [{"max_particles": 20}, {"max_jets": 4}])
def test_an_interrupted_dataset_goes_on_with_the_same_options_alone(tmp_path, changes):
    (tmp_path / "quark_gluon").mkdir()
    for number, last in ((1, 1), (2, 7)):  # the second file has a label that there is not
        path = tmp_path / "quark_gluon" / f"QG_jets_{number}.npz"
        write_energyflow(path, truth(4), np.array([0, 1, 0, last]))
    with pytest.raises(DataFileError, match="row 3"):
        convert_dataset("quark_gluon", config=DatasetConversion(data_dir=tmp_path), workers=1)
    other = DatasetConversion(data_dir=tmp_path, options=ConvertOptions(**changes))
    with pytest.raises(DataFileError, match=r"train\.unfinished' was begun with max_"):
        convert_dataset("quark_gluon", config=other, workers=1)
    write_energyflow(path, truth(4), np.array([0, 1, 0, 1]))
    folder = convert_dataset("quark_gluon", config=DatasetConversion(data_dir=tmp_path), workers=1)
    assert sorted(file.name for file in folder.iterdir()) == ["QG_jets_1.h5", "QG_jets_2.h5"]


def test_two_processes_convert_the_same_files(tmp_path):
    paths = top_files(tmp_path, "a.h5", "b.h5")
    there = convert_files(paths, tmp_path / "two", TOP, workers=2)
    here = convert_files(paths, tmp_path / "one", TOP, workers=1)
    for one, other in zip(there, here, strict=True):
        assert np.array_equal(read_jets(one).particles["pt"], read_jets(other).particles["pt"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_file_keeps_the_others(tmp_path, workers):
    paths = top_files(tmp_path, "a.h5", "b.h5")
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(DataFileError, match=r"b\.h5' is not a readable 'top_tagging' file"):
        convert_files(paths, tmp_path / "out", TOP, workers=workers)
    assert not (tmp_path / "out" / "b.h5").exists()
    assert workers == 2 or len(read_jets(tmp_path / "out" / "a.h5")) == 10


def test_no_files_is_an_error(tmp_path):
    with pytest.raises(DataFileError, match="the list of files is empty"):
        convert_files([], tmp_path, TOP)


def test_an_interrupted_dataset_is_not_taken_for_complete(tmp_path):
    (path,) = top_files(tmp_path / "top_tagging", "train.h5")
    good = path.read_bytes()
    path.write_bytes(good[:3000])
    config = DatasetConversion(data_dir=tmp_path)
    with pytest.raises(DataFileError):
        convert_dataset("top_tagging", config=config, workers=1)
    assert not (tmp_path / "top_tagging/ml_ready/train").exists()
    path.write_bytes(good)
    folder = convert_dataset("top_tagging", config=config, workers=1)
    assert [p.name for p in folder.iterdir()] == ["train.h5"]


def test_splits_that_share_a_file_stay_apart(tmp_path):
    n_jets, name = 40, "own_gluons"
    folder = tmp_path / name
    folder.mkdir()
    write_energyflow(folder / "all.npz", truth(n_jets), np.arange(n_jets) % 2)
    entry = catalog()["quark_gluon"].model_dump(mode="json", exclude_none=True)
    entry |= {
        "splits": {
            "train": {"fraction": [0, 0.7]},
            "val": {"fraction": [0.7, 0.9]},
            "test": {"fraction": [0.9, 1]},
        }
    }
    entry |= {"files": [{"name": "all.npz"}], "recipe_variants": {}, "variant_options": {}}
    entry.pop("default_variant", None)
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"version": 1, "datasets": {name: entry}}))
    parts = {}
    for split in ("train", "val", "test"):
        convert_dataset(name, split, config=DatasetConversion(data_dir=tmp_path, catalog_file=own), workers=1)
        options = LoadOptions(data_dir=tmp_path, catalog_file=own)
        parts[split] = load(name, split, source="published", options=options).jet["pt"].tolist()
    assert [len(part) for part in parts.values()] == [28, 8, 4]
    together = sorted(parts["train"] + parts["val"] + parts["test"])
    np.testing.assert_allclose(together, np.sort(truth(n_jets).jet()["pt"]), rtol=1e-4)


def test_a_limit_makes_one_file(tmp_path):
    top_files(tmp_path / "top_tagging", "train.h5")
    config = DatasetConversion(data_dir=tmp_path, options=ConvertOptions(max_jets=4))
    folder = convert_dataset("top_tagging", config=config)
    assert [len(read_jets(path)) for path in folder.iterdir()] == [4]


def test_wrong_requests(tmp_path):
    config = DatasetConversion(data_dir=tmp_path)
    with pytest.raises(CatalogError, match="no split 'training'"):
        convert_dataset("top_tagging", "training", config=config)
    with pytest.raises(DataFileError, match="are not here: 1 files such as 'train.h5'"):
        convert_dataset("top_tagging", config=config)


def test_bad_jets_are_dropped_when_asked(tmp_path):
    (tmp_path / "quark_gluon").mkdir()
    write_energyflow(tmp_path / "quark_gluon" / "QG_jets_1.npz", truth(6), np.array([0, 1, 0, 1, 0, 7]))
    with pytest.raises(DataFileError, match="row 5"):
        convert_dataset("quark_gluon", config=DatasetConversion(data_dir=tmp_path), workers=1)
    config = DatasetConversion(data_dir=tmp_path, drop_bad_jets=True)
    folder = convert_dataset("quark_gluon", config=config, workers=1)
    assert sum(len(read_jets(path)) for path in folder.iterdir()) == 5
