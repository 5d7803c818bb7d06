"""Top tagging: pandas table and fixed layouts, pitfalls, and every way a file can be bad."""

from __future__ import annotations

import logging
import os

import numpy as np
import pandas as pd
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.readers.published.references import TopTagging

from tests.readers.samples import check_jet, check_particles, truth, write_top

LABELS = np.arange(12) % 2


@pytest.fixture
def true():
    return truth(massless=True)


@pytest.mark.parametrize("fmt", ["table", "fixed"])
def test_jets_are_the_sums_of_their_constituents(tmp_path, true, fmt):
    write_top(tmp_path / "train.h5", true, LABELS, fmt=fmt)
    jets = TopTagging().read(tmp_path / "train.h5")
    check_particles(jets, true)
    check_jet(jets, true, 1e-4)
    assert jets.label.tolist() == LABELS.tolist() and jets.class_names == ("QCD", "top")
    assert jets.provenance["file"] == "train.h5"


@pytest.mark.parametrize("fmt", ["table", "fixed"])
def test_blocks_are_the_whole(tmp_path, true, fmt):
    write_top(tmp_path / "train.h5", true, LABELS, fmt=fmt)
    reader = TopTagging()
    assert reader.count(tmp_path / "train.h5") == 12
    blocks = list(reader.iterate(tmp_path / "train.h5", chunk=5))
    assert [len(b) for b in blocks] == [5, 5, 2]
    whole = reader.read(tmp_path / "train.h5")
    np.testing.assert_array_equal(np.concatenate([b.particles["pt"] for b in blocks]), whole.particles["pt"])
    part = reader.read(tmp_path / "train.h5", start=3, stop=7, max_particles=2)
    assert part.label.tolist() == LABELS[3:7].tolist() and part.counts.max() == 2


def test_the_truth_columns_are_not_the_jet(tmp_path, true):
    frame = write_top(tmp_path / "train.h5", true, LABELS)
    assert (frame["truthE"] == 7).all()
    assert TopTagging().read(tmp_path / "train.h5").jet["pt"].min() > 7


def test_unsorted_constituents_are_sorted(tmp_path, true):
    assert np.any(np.diff(true.pt)[: true.counts[0] - 1] > 0)
    write_top(tmp_path / "train.h5", true, LABELS)
    pt = TopTagging().read(tmp_path / "train.h5")[0].particles["pt"]
    assert np.all(np.diff(pt) <= 0)


def test_a_particle_of_exactly_1_gev_is_kept(tmp_path, true):
    write_top(tmp_path / "train.h5", true, LABELS)
    assert np.isclose(TopTagging().read(tmp_path / "train.h5")[0].particles["pt"], 1.0).any()


BAD = [
    ({"PX_1": (3, np.nan)}, "row 3.*'px' is not finite"),
    ({"E_0": (4, -5.0)}, "row 4.*negative energy"),
    ({"is_signal_new": (5, 7)}, "row 5.*label is outside 0 to 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_row_is_named_with_file_and_remedy(tmp_path, true, change, message):
    path = tmp_path / "train.h5"
    write_top(path, true, LABELS, **change)
    for reading in (TopTagging().read, lambda p: list(TopTagging().iterate(p, chunk=2))):
        with pytest.raises(DataFileError, match=f"{message}.*bad_jets='drop'") as error:
            reading(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_row_can_be_dropped(tmp_path, true, change, message, caplog):
    write_top(tmp_path / "train.h5", true, LABELS, **change)
    with caplog.at_level(logging.WARNING):
        assert len(TopTagging(bad_jets="drop").read(tmp_path / "train.h5")) == 11
    assert "left out 1 of 12 rows: 0 without particles, 1 bad" in caplog.text


@pytest.fixture
def with_empty(tmp_path, true):
    path = tmp_path / "train.h5"
    frame = write_top(path, true, LABELS)
    frame.iloc[2, :800] = 0
    frame.to_hdf(path, key="table", mode="w", format="table")
    return path


def test_an_empty_jet_is_dropped_and_counted(with_empty, caplog):
    with caplog.at_level(logging.WARNING):
        jets = TopTagging().read(with_empty)
    assert len(jets) == 11 and "left out 1 of 12 rows: 1 without particles, 0 bad" in caplog.text
    assert jets.label.tolist() == np.delete(LABELS, 2).tolist()


def test_an_empty_jet_can_be_refused(with_empty):
    with pytest.raises(DataFileError, match="row 2: a jet without particles.*empty_jets='drop'"):
        TopTagging(empty_jets="error").read(with_empty)


def test_nothing_but_empty_jets_is_no_crash(tmp_path, true):
    frame = write_top(tmp_path / "train.h5", true, LABELS)
    frame.iloc[:, :800] = 0
    frame.to_hdf(tmp_path / "train.h5", key="table", mode="w", format="table")
    assert len(TopTagging().read(tmp_path / "train.h5")) == 0


def test_a_missing_column_is_named(tmp_path, true):
    frame = write_top(tmp_path / "train.h5", true, LABELS)
    frame.drop(columns=["PZ_17"]).to_hdf(tmp_path / "train.h5", key="table", mode="w")
    with pytest.raises(DataFileError, match="has no 'PZ_17'"):
        TopTagging().read(tmp_path / "train.h5")


def test_another_key_is_named(tmp_path):
    pd.DataFrame({"a": [1.0]}).to_hdf(tmp_path / "train.h5", key="events")
    with pytest.raises(DataFileError, match=r"no frame 'table'.*/events"):
        TopTagging().read(tmp_path / "train.h5")


def test_a_truncated_file_is_named(tmp_path, true):
    path = tmp_path / "train.h5"
    write_top(path, true, LABELS)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataFileError, match="fetch it again") as error:
        TopTagging().read(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"train\.h5.*fetch the dataset"):
        TopTagging().read(tmp_path / "train.h5")


def test_an_unknown_choice_is_refused():
    with pytest.raises(ConfigError, match="known: drop, error"):
        TopTagging(bad_jets="ignore")
