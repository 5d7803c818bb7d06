"""OmniLearned's ML-ready files: shifted and stray labels, empty rows, files of ours."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import write_jets
from omnilearn_lab.readers.published.omnilearn import MLReady

from tests.conftest import random_jets
from tests.readers.samples import truth, write_h5


def write(path, labels, empty=()):
    """Four columns, as OmniLearned writes top tagging; no dataset of ours."""
    true = truth()
    jet = true.jet()
    owner = np.repeat(np.arange(12), true.counts)
    dphi = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    pt = np.where(true.pt == 1, 1.001, true.pt)
    data = true.padded([true.eta - jet["eta"][owner], dphi, np.log(pt), np.log(true.energy)], 150)
    data[list(empty)] = 0
    return write_h5(path, data=data.astype(np.float32), pid=np.asarray(labels, dtype=np.float32))


def test_the_shift_is_taken_off(tmp_path):
    path = write(tmp_path / "a.h5", 2 + np.arange(12) % 10)
    jets = MLReady(shift=2, classes=tuple("abcdefghij")).read(path)
    assert jets.label.tolist() == (np.arange(12) % 10).tolist() and jets.class_names[9] == "j"


def test_atlas_labels_are_no_range(tmp_path):
    path = write(tmp_path / "a.h5", [2, 10] * 6)
    jets = MLReady(stored_labels=(2, 10), classes=("QCD", "top")).read(path)
    assert jets.label.tolist() == [0, 1] * 6


def test_stray_labels_are_named_or_dropped(tmp_path, caplog):
    path = write(tmp_path / "a.h5", np.where(np.arange(12) == 7, 0, 2))
    reader = {"shift": 2, "classes": tuple("abcdefghij")}
    with pytest.raises(DataFileError, match="row 7: the label is outside 0 to 9"):
        MLReady(**reader).read(path)
    with caplog.at_level(logging.WARNING):
        assert len(MLReady(**reader, bad_jets="drop").read(path)) == 11


def test_empty_rows_are_dropped_and_rows_keep_their_numbers(tmp_path, caplog):
    path = write(tmp_path / "a.h5", np.where(np.arange(12) == 7, 5, 0), empty=[2, 3])
    with caplog.at_level(logging.WARNING), pytest.raises(DataFileError, match="row 7:"):
        MLReady(classes=("a",)).read(path)
        MLReady(empty_jets="error").read(path)
    with pytest.raises(DataFileError, match="row 2: a jet without particles"):
        MLReady(empty_jets="error").read(path)
    jets = MLReady(classes=("a",), bad_jets="drop").read(path)
    assert jets.jet["row"].tolist() == [0, 1, 4, 5, 6, 8, 9, 10, 11]
    assert "'a.h5': left out 3 of 12 rows: 2 without particles, 1 bad" in caplog.text


def test_our_own_files_stream(tmp_path):
    jets = random_jets(30)
    path = write_jets(jets, tmp_path / "ours.h5")
    blocks = list(MLReady().iterate(path, chunk=7))
    assert np.concatenate([b.label for b in blocks]).tolist() == jets.label.tolist()
    assert blocks[0].class_names == jets.class_names


def test_bad_files_are_named(tmp_path):
    path = write(tmp_path / "a.h5", np.zeros(12))
    with h5py.File(path, "a") as file:
        file["data"][4, 0, 1] = np.nan
    with pytest.raises(DataFileError, match=r"a\.h5.*not finite"):
        MLReady().read(path)
    with pytest.raises(DataFileError, match="\\['pid'\\] are missing"):
        MLReady().read(write_h5(tmp_path / "b.h5", data=np.ones((1, 2, 4))))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataFileError, match="truncated"):
        MLReady().read(path)


def test_rows_of_dropped_jets_are_known_and_those_of_the_source_kept(tmp_path):
    jets = random_jets(8).with_jet(row=np.arange(100, 108), rank=np.arange(8) % 2)
    path = write_jets(jets, tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["jet"][3, list(file.attrs["jet_columns"]).index(b"pt")] = 0
    kept = MLReady(bad_jets="drop").read(path, start=2)
    assert kept.jet["row"].tolist() == [2, 4, 5, 6, 7]
    assert kept.jet["source_row"].tolist() == [102, 104, 105, 106, 107]
    assert kept.jet["source_rank"].tolist() == [0, 0, 1, 0, 1]
