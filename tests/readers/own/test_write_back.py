import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers import add_columns

PARTICLES = ak.Array([[1.0, 2.0], [], [3.0]])


@pytest.fixture(params=["mktree", "mkrntuple"])
def root(tmp_path, request):
    with uproot.recreate(tmp_path / "mine.root") as file:
        getattr(file, request.param)("Jets", {"part_pt": PARTICLES, "run": np.array([7, 8, 9])})
    return tmp_path / "mine.root"


def test_root_keeps_every_column_beside_the_new_one(root, tmp_path):
    made = add_columns(root, tmp_path / "scored.root", {"score": np.array([0.1, 0.2, 0.3])})
    with uproot.open(made) as file:
        rows = file["Jets"].arrays()
    assert rows["part_pt"].to_list() == PARTICLES.to_list()
    assert rows["run"].to_list() == [7, 8, 9]
    assert rows["score"].to_list() == [0.1, 0.2, 0.3]


def test_columns_can_be_added_again(root, tmp_path):
    once = add_columns(root, tmp_path / "a.root", {"score": np.zeros(3)})
    twice = add_columns(once, tmp_path / "b.root", {"other": np.ones(3)})
    with uproot.open(twice) as file:
        assert {"part_pt", "run", "score", "other"} <= set(file["Jets"].keys())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"run": np.zeros(3)}, "already has a column 'run'"),
        ({"score": np.zeros(2)}, "2 values and .* 3 rows"),
    ],
)
def test_bad_columns_leave_nothing_behind(root, tmp_path, columns, message):
    before = root.read_bytes()
    with pytest.raises(DataFileError, match=message):
        add_columns(root, tmp_path / "scored.root", columns)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.root"]
    assert root.read_bytes() == before


def test_hdf5_rows_are_counted_and_names_protected(tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["data"] = np.ones((4, 2, 3))
        file["jets/pt"] = np.ones(4)
        file["classes"] = [b"QCD", b"top"]
    for columns in ({"score": np.ones(3)}, {"jets/pt": np.ones(4)}):
        with pytest.raises(DataFileError):
            add_columns(tmp_path / "mine.h5", tmp_path / "scored.h5", columns)
    made = add_columns(tmp_path / "mine.h5", tmp_path / "scored.h5", {"jets/score": np.ones((4, 2))})
    with h5py.File(made) as file:
        assert file["jets/score"].shape == (4, 2)
        assert file["classes"][1] == b"top"


def test_the_source_is_never_the_target(root):
    with pytest.raises(DataFileError, match="would be overwritten"):
        add_columns(root, root, {"score": np.zeros(3)})


def test_endings_must_agree(root, tmp_path):
    with pytest.raises(DataFileError, match="same ending"):
        add_columns(root, tmp_path / "scored.h5", {"score": np.zeros(3)})
