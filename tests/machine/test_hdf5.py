"""HDF5 on a full disk: an error of ours, the old file as it was, and a process that lives on."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import atomic_hdf5, check_disk
from tests.machine.faults import in_child, small_disk

WRITE = """
import gc, sys
import numpy as np
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import read_jets, write_jets
from tests.conftest import random_jets
jets = random_jets(400, seed=1)
try:
    write_jets([jets] * 20, sys.argv[1])
except DataFileError as error:
    print(error)
gc.collect()
print("alive")
"""


def fill(file, rows=2000):
    rng = np.random.default_rng(1)
    for _ in range(4):
        values = rng.random((rows, 8))
        if "x" in file:
            file["x"].resize(len(file["x"]) + rows, axis=0)
            file["x"][-rows:] = values
        else:
            file.create_dataset("x", data=values, chunks=(500, 8), maxshape=(None, 8), compression="gzip")


def test_the_file_is_the_one_that_the_library_writes_itself(tmp_path):
    with atomic_hdf5(tmp_path / "a.h5") as file:
        fill(file)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        fill(file)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_copy_is_changed_and_the_source_stays(tmp_path):
    with atomic_hdf5(tmp_path / "a.h5") as file:
        file["x"] = [1, 2]
    before = (tmp_path / "a.h5").read_bytes()
    with atomic_hdf5(tmp_path / "b.h5", copy_of=tmp_path / "a.h5") as file:
        file["y"] = [3]
    assert (tmp_path / "a.h5").read_bytes() == before
    with h5py.File(tmp_path / "b.h5") as file:
        assert list(file["x"]) == [1, 2] and list(file["y"]) == [3]


@pytest.mark.parametrize("kilobytes", [20, 64, 200, 500, 900])
def test_a_full_disk_kills_nothing(tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", kilobytes / 1024) as disk:
        done = in_child(
            WRITE.replace("sys.argv[1]", repr(str(disk / "jets.h5"))).replace("sys.argv[2]", "20")
        )
        assert done.returncode == 0, done.stderr
        assert "No space left" in done.stdout and done.stdout.strip().endswith("alive")
        assert list(disk.iterdir()) == []


def test_a_full_disk_is_noticed_at_the_step_and_the_old_file_stays(tmp_path):
    with small_disk(tmp_path / "disk", 0.25) as disk:
        with atomic_hdf5(disk / "a.h5") as file:
            file["x"] = [1, 2]
        before, steps = (disk / "a.h5").read_bytes(), 0
        with pytest.raises(DataFileError, match="make room"), atomic_hdf5(disk / "a.h5") as file:
            for steps in range(100):  # noqa: B007
                file[f"x{steps}"] = np.arange(5000)
                check_disk(file)
        assert 0 < steps < 10 and (disk / "a.h5").read_bytes() == before
