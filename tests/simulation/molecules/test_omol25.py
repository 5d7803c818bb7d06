"""Files of OMol25: rows of an ASE database, packed JSON in LMDB."""

import json
import zlib

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.simulation.molecules import sets as room
from omnilearn_lab.simulation.molecules.sets import read_omol25

lmdb = pytest.importorskip("lmdb", reason="of the extra 'molecules'")


def array(values):
    values = np.asarray(values)
    return {"__ndarray__": [list(values.shape), str(values.dtype), values.ravel().tolist()]}


def row(numbers=(8, 1, 1), charge=0, spin=1, energy=-2081.5):
    position = np.arange(3.0 * len(numbers)).reshape(-1, 3)
    about = {"charge": charge, "spin": spin, "source": f"x/{energy:g}"}
    arrays = {"numbers": array(numbers), "positions": array(position), "forces": array(-position)}
    return {**arrays, "energy": energy, "data": about, "pbc": array([False] * 3)}


def write(path, rows):
    with lmdb.open(str(path), subdir=False, map_size=1 << 24) as file, file.begin(write=True) as view:
        for number, content in enumerate(rows, start=1):
            packed = content if isinstance(content, bytes) else zlib.compress(json.dumps(content).encode())
            view.put(str(number).encode(), packed)
        view.put(b"nextid", zlib.compress(b"99"))
        view.put(b"metadata", zlib.compress(b"{}"))
    return path


def test_neutral_organic_molecules_are_read_in_their_order(tmp_path):
    rows = [row(energy=-1.0 * i) for i in range(1, 12)]
    rows[1:4] = [row(charge=1), row(spin=2), row(numbers=(9, 1))]
    sets = read_omol25(write(tmp_path / "a.aselmdb", rows))
    assert sets.energy.tolist() == [-1.0, *(-1.0 * i for i in range(5, 12))]  # 10 after 9, not after 1
    assert sets.numbers[:3].tolist() == [8, 1, 1] and sets.names[1] == "x/-5"
    np.testing.assert_array_equal(sets.force, -sets.position)
    assert len(read_omol25(tmp_path, n_molecules=2)) == 2  # a folder


def test_other_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataFileError, match="no folder that holds one"):
        read_omol25(tmp_path)
    (tmp_path / "b.aselmdb").write_bytes(b"jets" * 2000)
    with pytest.raises(DataFileError, match="is damaged"):
        read_omol25(tmp_path / "b.aselmdb")
    with pytest.raises(DataFileError, match="is damaged"):
        read_omol25(write(tmp_path / "c.aselmdb", [b"not packed"]))
    with pytest.raises(DataFileError, match="is none of OMol25"):
        read_omol25(write(tmp_path / "d.aselmdb", [{"energy": 1.0}]))
    with pytest.raises(DataFileError, match="has no neutral molecule"):
        read_omol25(write(tmp_path / "e.aselmdb", [row(charge=-1)]))
    with pytest.raises(DataFileError, match="are not finite"):
        read_omol25(write(tmp_path / "g.aselmdb", [row(energy=float("nan"))]))
    monkeypatch.setattr(room, "_LARGEST_ROW", 1 << 10)  # in this process
    bomb = row() | {"more": "0" * 5000}
    with pytest.raises(DataFileError, match="row 1: more than"):
        room._read_omol25(write(tmp_path / "f.aselmdb", [bomb]), None)


def test_a_file_that_is_cut_short_ends_no_process_of_ours(tmp_path):
    path = write(tmp_path / "a.aselmdb", [row(energy=-1.0 * i) for i in range(40)])
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataFileError, match="process that read it"):
        read_omol25(path)
