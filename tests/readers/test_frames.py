"""pandas frames read with h5py alone: both layouts, all placements of a pickle, and damage."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from omnilearn_lab.errors import DataFileError, MissingDependencyError
from omnilearn_lab.readers import make_reader, read_atlas_omnifold
from omnilearn_lab.readers.storage import open_frame

from tests.readers.published.test_atlas_omnifold import write as write_omnifold
from tests.readers.published.test_lhco import events
from tests.readers.samples import truth, write_top

FORMATS = ("table", "fixed")


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.fixture
def frame():
    columns = {"a": np.arange(5.0), "b": np.arange(5, dtype=np.float32), "n": np.arange(5)}
    return pd.DataFrame(columns | {"c": -np.arange(5.0)})[["b", "a", "n", "c"]]


@pytest.mark.parametrize("kind", [*FORMATS, "data columns"])
def test_rows_and_columns_are_those_of_pandas(tmp_path, frame, kind):
    options = {"format": "table", "data_columns": True} if kind == "data columns" else {"format": kind}
    frame.to_hdf(tmp_path / "a.h5", key="df", **options)
    with open_frame(tmp_path / "a.h5") as read:
        assert read.n_rows == 5 and read.columns == list(frame.columns)
        block = read.rows(1, 4)
        for name in frame:
            assert block[name].tolist() == frame[name].iloc[1:4].tolist()
        assert block.matrix(["c", "a"]).tolist() == frame[["c", "a"]].iloc[1:4].to_numpy().tolist()
        assert block.matrix(["n", "a"]).tolist() == frame[["n", "a"]].iloc[1:4].to_numpy().tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_without_names_are_numbers(tmp_path, kind):
    pd.DataFrame(np.arange(12.0).reshape(3, 4)).to_hdf(tmp_path / "a.h5", key="df", format=kind)
    with open_frame(tmp_path / "a.h5") as read:
        assert read.columns == [0, 1, 2, 3]
        assert read.rows(0, 3).matrix(read.columns).tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_an_empty_frame_has_no_rows(tmp_path, frame):
    frame.iloc[:0].to_hdf(tmp_path / "a.h5", key="df", format="fixed")  # pandas writes no empty table
    with open_frame(tmp_path / "a.h5") as read:
        assert read.n_rows == 0 and len(read.rows(0, 0)["a"]) == 0


def test_other_compressions_are_read_or_named(tmp_path, frame, monkeypatch):
    frame.to_hdf(tmp_path / "a.h5", key="df", format="table", complib="blosc", complevel=5)
    script = f"""
import sys
sys.modules["hdf5plugin"] = None
from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.readers.storage import open_frame
from pathlib import Path
try:
    with open_frame(Path({str(tmp_path / "a.h5")!r})):
        pass
except MissingDependencyError as error:
    sys.exit(str(error))
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert re.search(r"with blosc \(.*\); pip install hdf5plugin", answer.stderr), answer.stderr
    assert issubclass(MissingDependencyError, ImportError)
    pytest.importorskip("hdf5plugin")
    with open_frame(tmp_path / "a.h5") as read:
        assert read.rows(0, 5)["a"].tolist() == frame["a"].tolist()


def places(path):
    """All groups and datasets of a file, its root among them."""
    names = ["/"]
    with h5py.File(path) as file:
        file.visit(names.append)
    return names


def write_frames(folder, kind):
    """One file of every published layout that pandas wrote, with what reads it."""
    top, lhco, table = (folder / f"{name}.h5" for name in ("top", "lhco", "table"))
    write_top(top, truth(massless=True), np.arange(12) % 2, fmt=kind)
    pd.DataFrame(events()).to_hdf(lhco, key="df", mode="w", format=kind)
    write_omnifold(table, fmt=kind)
    yield top, make_reader("top_tagging").read
    yield lhco, make_reader("lhco").read
    yield table, read_atlas_omnifold


@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_anywhere_in_a_frame_is_refused_by_name_and_never_run(tmp_path, kind):
    canary = tmp_path / "canary"
    for path, read in write_frames(tmp_path, kind):
        read(path)  # as written, it can be read
        before = path.read_bytes()
        for place in places(path):
            for protocol in (0, 2, 5):
                path.write_bytes(before)
                with h5py.File(path, "r+") as file:
                    file[place].attrs["pandas_note"] = np.bytes_(pickle.dumps(Canary(canary), protocol))
                if place == "/":  # not of the frame: never looked at
                    read(path)
                    continue
                with pytest.raises(
                    DataFileError, match=r"@pandas_note' holds a pickled object.*nothing was run"
                ):
                    read(path)
        assert not canary.exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_in_place_of_a_name_is_refused_and_never_run(tmp_path, kind):
    canary = tmp_path / "canary"
    for path, read in write_frames(tmp_path, kind):
        before = path.read_bytes()
        with h5py.File(path) as file:
            texts = [(p, a) for p in places(path) for a, v in file[p].attrs.items() if isinstance(v, bytes)]
        for place, attribute in texts:
            path.write_bytes(before)
            with h5py.File(path, "r+") as file:
                file[place].attrs[attribute] = np.bytes_(pickle.dumps(Canary(canary), 0))
            if place == "/":
                read(path)
            else:
                with pytest.raises(DataFileError):
                    read(path)
        assert not canary.exists()


def test_a_block_of_python_objects_is_refused_by_name(tmp_path, frame):
    frame["words"] = [Canary(tmp_path / "canary")] * 5
    with pytest.warns(pd.errors.PerformanceWarning):
        frame.to_hdf(tmp_path / "a.h5", key="df", format="fixed")
    with (
        pytest.raises(DataFileError, match=r"block\d_values' holds Python objects.*numbers only"),
        open_frame(tmp_path / "a.h5"),
    ):
        pass
    assert not (tmp_path / "canary").exists()


def test_text_is_not_read_as_numbers(tmp_path, frame):
    frame["words"] = ["x", "yy", "z", "", "w"]
    frame.to_hdf(tmp_path / "a.h5", key="df", format="table")
    with open_frame(tmp_path / "a.h5") as read:
        assert read.n_rows == 5 and read.rows(0, 5)["a"].tolist() == frame["a"].tolist()
        with pytest.raises(DataFileError, match="'words' holds .*numbers are needed"):
            read.rows(0, 5)["words"]


def test_a_block_that_lost_rows_is_named(tmp_path, frame):
    frame.to_hdf(tmp_path / "a.h5", key="df", format="fixed")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        kept = file["df/block0_values"][:3]
        attributes = dict(file["df/block0_values"].attrs)
        del file["df/block0_values"]
        file["df/block0_values"] = kept
        file["df/block0_values"].attrs.update(attributes)
    with pytest.raises(DataFileError, match="for .* columns and 5 rows"), open_frame(tmp_path / "a.h5"):
        pass


def test_claims_that_no_file_can_keep_are_refused(tmp_path, frame):
    frame.to_hdf(tmp_path / "a.h5", key="df", format="fixed")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["df/axis1"]
        file.create_dataset("df/axis1", (10**10,), "i8", chunks=(1000,))
    with pytest.raises(DataFileError, match="claims 80 GB in a file of"), open_frame(tmp_path / "a.h5"):
        pass


def test_reading_needs_no_pytables():
    code = """
import sys
sys.modules["tables"] = None
import omnilearn_lab.readers as readers
readers.readers()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
