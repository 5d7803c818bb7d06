"""Published files to one ML-ready file, block by block."""

from __future__ import annotations

import errno
import tracemalloc

import numpy as np
import omnilearn_lab.jets.files as jet_files
import pytest
from omnilearn_lab.errors import CatalogError, DataFileError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.readers import ConvertOptions, convert, make_reader
from omnilearn_lab.readers.published.jetclass import JetClass
from omnilearn_lab.readers.published.references import EnergyFlow, TopTagging

from tests.readers.samples import check_particles, truth, write_jetclass, write_top


def test_one_file_comes_back(tmp_path):
    write_jetclass(tmp_path / "HToBB_000.root", truth(), np.arange(12) % 10)
    out = convert(
        tmp_path / "HToBB_000.root", tmp_path / "out" / "a.h5", JetClass(), options=ConvertOptions(chunk=5)
    )
    jets = read_jets(out)
    check_particles(jets, truth(), 1e-4)
    assert jets.label.tolist() == (np.arange(12) % 10).tolist() and jets.class_names[1] == "Hbb"


def test_files_of_one_process_each_alternate(tmp_path):
    for label, name in enumerate(("ZJetsToNuNu_000.root", "HToBB_000.root")):
        write_jetclass(tmp_path / name, truth(seed=label), np.full(12, label))
    paths = [tmp_path / "ZJetsToNuNu_000.root", tmp_path / "HToBB_000.root"]
    out = convert(paths, tmp_path / "a.h5", JetClass(), options=ConvertOptions(chunk=6))
    assert read_jets(out).label.tolist() == [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("options", "rows"),
    [({"max_jets": 7}, range(7)), ({"fraction": (0.5, 1.0)}, range(6, 12)), ({"max_jets": 99}, range(12))],
)
def test_parts_of_files(tmp_path, options, rows):
    write_top(tmp_path / "a.h5", truth(massless=True), np.arange(12) % 2)
    out = convert(
        tmp_path / "a.h5", tmp_path / "out.h5", TopTagging(), options=ConvertOptions(chunk=4, **options)
    )
    expected = TopTagging().read(tmp_path / "a.h5")[list(rows)]
    np.testing.assert_allclose(read_jets(out).jet["pt"], expected.jet["pt"], rtol=1e-6)


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n_jets):
        rng = np.random.default_rng(0)
        values = np.zeros((n_jets, 30, 4))
        values[..., 0], values[..., 1:3], values[..., 3] = rng.uniform(1, 9, (n_jets, 30)), 0.1, 211
        path = tmp_path / f"{n_jets}.npz"
        np.savez(path, X=values, y=np.zeros(n_jets))
        del values
        tracemalloc.start()
        convert(
            path, tmp_path / f"{n_jets}.h5", EnergyFlow(), options=ConvertOptions(chunk=200, max_particles=30)
        )
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(400)
    assert peak(8000) < 1.3 * peak(800)


def test_a_damaged_input_leaves_no_output(tmp_path):
    write_top(tmp_path / "a.h5", truth(massless=True), np.arange(12) % 2, PX_0=(11, np.nan))
    with pytest.raises(DataFileError, match="row 11"):
        convert(tmp_path / "a.h5", tmp_path / "out.h5", TopTagging(), options=ConvertOptions(chunk=4))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5"]


def test_a_full_disk_leaves_no_output(tmp_path, monkeypatch):
    write_top(tmp_path / "a.h5", truth(massless=True), np.arange(12) % 2)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jet_files, "_append", full)
    with pytest.raises(DataFileError, match="No space left.*make room"):
        convert(tmp_path / "a.h5", tmp_path / "out.h5", TopTagging())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5"]


def test_nothing_to_convert_is_an_error(tmp_path):
    with pytest.raises(DataFileError, match="list of files is empty"):
        convert([], tmp_path / "out.h5", TopTagging())


def test_readers_by_name():
    assert make_reader("energyflow", convention="omnilearn").convention == "omnilearn"
    with pytest.raises(CatalogError, match="did you mean 'jetclass'"):
        make_reader("jetclas")
    with pytest.raises(CatalogError, match="did you mean 'bad_jets'"):
        make_reader("jetclass", badjets="drop")
