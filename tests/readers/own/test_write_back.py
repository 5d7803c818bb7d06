from functools import partial

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers import add_columns, column_map, from_file, inspect
from omnilearn_lab.readers.own import write_back

from tests.readers.own.layouts import LAYOUTS
from tests.readers.own.test_reader import nano
from tests.readers.samples import truth

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


# ---- jets of events, gaps, and what cannot be copied ---------------------------------------------


def write_nano(path):
    true = truth()
    columns = nano(true, [5, 0, 7])
    groups = {}
    for prefix in ("PFCands", "Jet", "JetPFCands"):
        members = {
            n.removeprefix(f"{prefix}_"): columns.pop(n) for n in list(columns) if n.startswith(f"{prefix}_")
        }
        groups[prefix] = ak.zip(members)
    columns |= groups | {"nothing": np.array([1.5, 2.5, 3.5])}
    with uproot.recreate(path) as file:
        file.mktree("Events", {n: ak.type(ak.Array(v)).content for n, v in columns.items()}).extend(columns)
        file.mktree("Runs", {"run": "int32"}).extend({"run": np.array([1, 2], dtype=np.int32)})
    return path


def test_scores_of_events_are_aligned_with_their_jets(tmp_path):
    path = write_nano(tmp_path / "nano.root")
    jets = from_file(path, "pfnano")
    kept = jets[[0, 2, 5, 11]]  # as after a selection
    score = np.arange(4) + 0.5
    options = {"jets": kept, "tree": "Events", "aligned_with": "Jet_pt"}
    made = add_columns(path, tmp_path / "s.root", {"Jet_score": score}, **options)
    with uproot.open(path) as before, uproot.open(made) as after:
        scores = after["Events"]["Jet_score"].array()
        assert ak.num(scores).to_list() == ak.num(before["Events"]["Jet_pt"].array()).to_list() == [5, 0, 7]
        flat = ak.flatten(scores).to_numpy()
        assert flat[[0, 2, 5, 11]].tolist() == score.tolist() and np.isnan(flat).sum() == 8
        assert set(before["Events"].keys()) | {"Jet_score"} == set(after["Events"].keys())
        for name in set(before["Events"].keys()):
            assert after["Events"][name].array().to_list() == before["Events"][name].array().to_list(), name
        assert after["Runs"]["run"].array().to_list() == [1, 2]
    again = from_file(made, column_map("pfnano"))
    np.testing.assert_array_equal(again.jet["pt"], jets.jet["pt"])


def test_events_need_a_branch_to_align_with(tmp_path):
    path = write_nano(tmp_path / "nano.root")
    jets = from_file(path, "pfnano")
    add_columns = partial(write_back.add_columns, tree="Events")
    for branch in ("", "Jet_ptt"):
        with pytest.raises(DataFileError, match="name a branch of these jets with aligned_with"):
            add_columns(path, tmp_path / "s.root", {"s": np.zeros(12)}, jets=jets, aligned_with=branch)
    wrong = {"row": np.array([1]), "rank": np.array([0])}
    with pytest.raises(DataFileError, match="does not have in 'Jet_pt'"):
        add_columns(path, tmp_path / "s.root", {"s": np.zeros(1)}, jets=wrong, aligned_with="Jet_pt")
    twice = {"row": np.array([0, 0]), "rank": np.array([1, 1])}
    with pytest.raises(DataFileError, match="two jets are of the same place"):
        add_columns(path, tmp_path / "s.root", {"s": np.zeros(2)}, jets=twice, aligned_with="Jet_pt")
    assert [p.name for p in tmp_path.iterdir()] == ["nano.root"]


@pytest.mark.parametrize("kind", ["h5", "root"])
def test_an_empty_jet_keeps_its_row(tmp_path, kind):
    true = truth()
    padded = {n: true.padded([getattr(true, n)], 15)[..., 0] for n in ("px", "py", "pz", "energy")}
    for values in padded.values():
        values[3] = 0
    path = tmp_path / f"mine.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in padded.items():
                file[f"jets/{name}"] = values
            file["longer"] = np.zeros(99)
        mapping = {"particles": {n: f"jets/{n}" for n in padded}}
    else:
        with uproot.recreate(path) as file:
            file["jets"] = {n: ak.Array(v.tolist()) for n, v in padded.items()}
        mapping = {"particles": {n: n for n in padded}}
    jets = from_file(path, mapping)
    name = "jets/score" if kind == "h5" else "score"
    options = {"aligned_with": "jets/px"} if kind == "h5" else {}
    made = add_columns(path, tmp_path / f"scored.{kind}", {name: jets.jet["pt"]}, jets=jets, **options)
    if kind == "h5":
        with h5py.File(made) as file:
            score = file["jets/score"][:]
    else:
        with uproot.open(made) as file:
            score = file["jets"]["score"].array().to_numpy()
    assert np.flatnonzero(np.isnan(score)).tolist() == [3]
    np.testing.assert_allclose(np.delete(score, 3), jets.jet["pt"])


def test_scores_of_padded_events_keep_their_places(tmp_path):
    true = truth()
    grid = np.zeros((2, 7, 15, 4))
    place = [(0, i) for i in range(5)] + [(1, i) for i in range(7)]
    padded = true.padded([true.px, true.py, true.pz, true.energy], 15)
    for (event, rank), values in zip(place, padded, strict=True):
        grid[event, rank] = values
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file["cand"] = grid
    names = {"px": "cand[0]", "py": "cand[1]", "pz": "cand[2]", "energy": "cand[3]"}
    jets = from_file(tmp_path / "grid.h5", {"particles": names})
    made = add_columns(
        tmp_path / "grid.h5", tmp_path / "s.h5", {"s": jets.jet["pt"]}, jets=jets, aligned_with="cand[0]"
    )
    with h5py.File(made) as file:
        assert file["s"].shape == (2, 7) and np.isnan(file["s"][0, 5:]).all()
        np.testing.assert_allclose(file["s"][1], jets.jet["pt"][5:])


def test_values_for_some_rows_are_refused_without_their_places(root, tmp_path):
    with pytest.raises(DataFileError, match="2 values and .* 3 rows; say which jets they are of with jets="):
        add_columns(root, tmp_path / "scored.root", {"score": np.zeros(2)})


def test_nobody_elses_file_is_touched(tmp_path):
    for name in ("jets.part.h5", "scored.part.h5", "jets.h5.part"):
        (tmp_path / name).write_text("not ours")
    source = tmp_path / "jets.part.h5"
    with h5py.File(source, "w") as file:
        file["pt"] = np.ones(3)
    before = source.read_bytes()
    add_columns(source, tmp_path / "jets.h5", {"score": np.ones(3)})
    add_columns(source, tmp_path / "scored.h5", {"score": np.ones(3)})
    assert source.read_bytes() == before
    assert (tmp_path / "scored.part.h5").read_text() == (tmp_path / "jets.h5.part").read_text() == "not ours"


def test_two_names_of_one_file_are_one_file(root, tmp_path):
    (tmp_path / "alias.root").hardlink_to(root)
    (tmp_path / "link.root").symlink_to(root)
    before = root.read_bytes()
    for name in ("alias.root", "link.root", "mine.root"):
        with pytest.raises(DataFileError, match="would be overwritten"):
            add_columns(root, tmp_path / name, {"score": np.zeros(3)})
    assert root.read_bytes() == before


def test_a_branch_of_lists_of_lists_is_named_and_left_out(tmp_path, caplog, monkeypatch):
    with uproot.recreate(tmp_path / "mine.root") as file:
        file.mktree("t", {"pt": "var * float64", "bits": "float64"}).extend(
            {"pt": PARTICLES, "bits": np.zeros(3)}
        )
    real = write_back._why_not
    monkeypatch.setattr(
        write_back,
        "_why_not",
        lambda t, n, k: "NotImplementedError when read" if n == "bits" else real(t, n, k),
    )
    with caplog.at_level("WARNING"):
        made = add_columns(tmp_path / "mine.root", tmp_path / "s.root", {"score": np.zeros(3)})
    assert "1 branches cannot be copied: bits (NotImplementedError when read)" in caplog.text
    with uproot.open(made) as file:
        assert {"pt", "score"} <= set(file["t"].keys()) and not {"bits"} & set(file["t"].keys())


def test_lists_of_lists_of_a_tree_are_named_and_their_jets_get_scores(tmp_path, caplog, monkeypatch):
    path = LAYOUTS["nested lists"](tmp_path, monkeypatch)
    mapping = inspect(path).mapping
    jets = from_file(path, mapping)
    options = {"jets": jets, "aligned_with": column_map(mapping).of_jets()}
    made = add_columns(path, tmp_path / "s.root", {"jet_score": jets.jet["pt"]}, **options)
    assert "jet_constituents_pt (lists of lists" in caplog.text
    with uproot.open(path) as before, uproot.open(made) as after:
        rows = after["analysis"].arrays()
        assert rows["jet_pt"].to_list() == before["analysis"]["jet_pt"].array().to_list()
    np.testing.assert_allclose(ak.flatten(rows["jet_score"]), ak.flatten(rows["jet_pt"]), rtol=1e-6)


def test_lists_of_lists_are_copied_where_the_format_takes_them(tmp_path):
    nested = ak.Array([[[1.0, 2.0], []], [], [[3.0]]])
    with uproot.recreate(tmp_path / "mine.root") as file:
        file.mkrntuple("t", {"nested": nested, "n": np.arange(3)})
    made = add_columns(tmp_path / "mine.root", tmp_path / "s.root", {"score": np.zeros(3)})
    with uproot.open(made) as file:
        assert file["t"]["nested"].array().to_list() == nested.to_list()


def test_branches_that_look_like_lengths_are_kept(tmp_path):
    with uproot.recreate(tmp_path / "mine.root") as file:
        columns = {"jets": PARTICLES, "njets_good": np.array([5, 6, 7]), "n_jets": np.array([1, 2, 3])}
        types = {n: ak.type(ak.Array(v)).content for n, v in columns.items()}
        file.mktree("t", types).extend(columns)
    made = add_columns(tmp_path / "mine.root", tmp_path / "s.root", {"score": np.zeros(3)})
    with uproot.open(made) as file:
        assert file["t"]["njets_good"].array().to_list() == [5, 6, 7]
        assert file["t"]["n_jets"].array().to_list() == [1, 2, 3]


def test_root_files_are_copied_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(write_back, "_STEP_BYTES", 400)
    values = np.arange(500.0)
    with uproot.recreate(tmp_path / "mine.root") as file:
        parts = ak.unflatten(np.arange(1500.0), np.full(500, 3))
        file.mktree("t", {"x": "float64", "parts": "var * float64"}).extend({"x": values, "parts": parts})
    made = add_columns(tmp_path / "mine.root", tmp_path / "s.root", {"score": -values})
    with uproot.open(made) as file:
        assert file["t"]["score"].array().to_list() == (-values).tolist()
        assert ak.flatten(file["t"]["parts"].array()).to_list() == np.arange(1500.0).tolist()
        assert file["t"]["x"].num_baskets > 5
