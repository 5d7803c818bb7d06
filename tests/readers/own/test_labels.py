"""Labels as files have them: codes, signs, text, one-hot, flags; and those that are none."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import InputSpec, read_jets
from omnilearn_lab.readers import OwnFormat, column_map, convert, from_file

from tests.readers.own.test_layouts import nested
from tests.readers.samples import truth

PARTICLES = {name: name for name in ("px", "py", "pz", "energy")}


@pytest.fixture
def write(tmp_path):
    def write(name="mine.h5", **columns):
        true = truth()
        with h5py.File(tmp_path / name, "w") as file:
            for momentum in PARTICLES:
                file[momentum] = true.padded([getattr(true, momentum)], 15)[..., 0]
            for column, values in columns.items():
                file[column] = values
        return tmp_path / name

    return write


def read(path, **more):
    return from_file(path, {"particles": PARTICLES, "jet": {"label": "y"}, **more})


FLAVOURS = np.array([0, 5, 4, 15] * 3)


@pytest.mark.parametrize("kind", [np.int32, np.int8, np.float32])
def test_codes_get_the_names_that_the_map_gives(write, kind):
    jets = read(write(y=FLAVOURS.astype(kind)), labels={5: "b", 4: "c", 0: "light", 15: "tau"})
    assert jets.class_names == ("b", "c", "light", "tau")
    assert [jets.class_names[i] for i in jets.label] == ["light", "b", "c", "tau"] * 3
    assert InputSpec.of(jets).label_map["5"] == "b"


def test_codes_without_a_map_are_shown_and_not_guessed(write):
    with pytest.raises(DataFileError, match=r"'y' holds 0, 4, 5, 15; .*labels=\{0: 'name'"):
        read(write(y=FLAVOURS), class_names=["light", "c", "b", "tau"])


def test_values_that_the_map_leaves_out_are_named_or_dropped(write):
    path, some = write(y=FLAVOURS), {5: "b", 4: "c", 0: "light"}
    with pytest.raises(DataFileError, match=r"holds 15, which labels=.*bad_jets='drop'"):
        read(path, labels=some)
    mapping = {"particles": PARTICLES, "jet": {"label": "y"}, "labels": some}
    jets = from_file(path, mapping, bad_jets="drop")
    assert jets.jet["row"].tolist() == [i for i in range(12) if i % 4 != 3]


def test_several_codes_may_be_one_class(write):
    jets = read(write(y=FLAVOURS), labels={5: "heavy", 4: "heavy", 0: "light", 15: "light"})
    assert jets.class_names == ("heavy", "light") and jets.label.tolist() == [1, 0, 0, 1] * 3


def test_signs(write):
    jets = read(write(y=np.array([-1, 1] * 6)), class_names=["background", "signal"])
    assert jets.label.tolist() == [0, 1] * 6


@pytest.mark.parametrize("kind", ["S8", "object"])
def test_text(write, kind):
    words = np.array(["top", "QCD", "W"] * 4, dtype=kind if kind == "S8" else h5py.string_dtype())
    jets = read(write(y=words))
    assert jets.class_names == ("QCD", "W", "top") and jets.label.tolist() == [2, 0, 1] * 4
    jets = read(write(y=words), class_names=["top", "QCD", "W"])
    assert jets.label.tolist() == [0, 1, 2] * 4
    with pytest.raises(DataFileError, match="holds W, and class_names"):
        read(write(y=words), class_names=["top", "QCD"])


def test_one_hot(write):
    one_hot = np.eye(3)[np.arange(12) % 3]
    assert read(write(y=one_hot), class_names=["a", "b", "c"]).label.tolist() == [0, 1, 2] * 4


def test_labels_of_two_jets_an_event_are_no_one_hot_columns(tmp_path):
    """One signal jet in every event: the map of values counts, not the place."""
    true, pairs = truth(), [2] * 6
    columns = nested(true, pairs) | {"y": ak.unflatten(np.arange(12) % 2, pairs)}
    with uproot.recreate(tmp_path / "events.root") as file:
        file.mkrntuple("events", columns)
    mapping = {"particles": {n: f"jet_constituents_{n}" for n in ("pt", "eta", "phi", "energy")}}
    for jet in ({}, {n: f"jet_{n}" for n in ("pt", "eta", "phi")}):
        jets = from_file(
            tmp_path / "events.root", mapping | {"jet": jet | {"label": "y"}, "labels": {1: "top", 0: "QCD"}}
        )
        assert [jets.class_names[i] for i in jets.label] == ["QCD", "top"] * 6


def test_exclusive_flags(write):
    kind = np.arange(12) % 3
    path = write(isQCD=kind == 0, isTop=kind == 1, isW=kind == 2)
    flags = {"top": "isTop", "QCD": "isQCD", "W": "isW"}
    jets = from_file(path, {"particles": PARTICLES, "flags": flags})
    assert jets.class_names == ("top", "QCD", "W")
    assert [jets.class_names[i] for i in jets.label] == ["QCD", "top", "W"] * 4
    path = write(isQCD=kind == 0, isTop=np.ones(12), isW=kind == 2)
    with pytest.raises(DataFileError, match="row 0: the label is outside 0 to 2"):
        from_file(path, {"particles": PARTICLES, "flags": flags})


@pytest.mark.parametrize("values", [np.linspace(0, 0.9999, 12), np.full(12, 0.5)])
def test_probabilities_are_no_labels(write, values):
    path = write(y=values)
    with pytest.raises(DataFileError, match=r"labels are whole numbers.*jet=\{'target'"):
        read(path)
    jets = from_file(path, {"particles": PARTICLES, "jet": {"target": "y"}})
    np.testing.assert_allclose(jets.jet["target"], values, rtol=1e-6)


def test_labels_of_a_block_mean_what_those_of_the_file_mean(write):
    path = write(y=np.sort(FLAVOURS))
    labels = {0: "light", 4: "c", 5: "b", 15: "tau"}
    reader = OwnFormat(columns=column_map({"particles": PARTICLES, "jet": {"label": "y"}, "labels": labels}))
    blocks = list(reader.iterate(path, chunk=3))
    assert [set(block.label.tolist()) for block in blocks] == [{0}, {1}, {2}, {3}]
    assert len({block.class_names for block in blocks}) == 1


def test_files_with_other_classes_are_joined_by_name(write, tmp_path):
    write("a.h5", y=np.array(["QCD", "top"] * 6, "S3"))
    write("b.h5", y=np.array(["W"] * 12, "S3"))
    mapping = {"particles": PARTICLES, "jet": {"label": "y"}}
    jets = from_file([tmp_path / "a.h5", tmp_path / "b.h5"], mapping)
    assert [jets.class_names[i] for i in jets.label] == ["QCD", "top"] * 6 + ["W"] * 12


def test_a_file_converted_without_labels_is_read_back(write, tmp_path):
    reader = OwnFormat(columns=column_map({"particles": PARTICLES}))
    out = convert(write(), tmp_path / "out.h5", reader)
    from omnilearn_lab.readers import make_reader

    assert len(make_reader("ml_ready").read(out)) == 12 and "label" not in read_jets(out).jet


def test_a_column_named_event_survives_conversion(write, tmp_path):
    event = 2**53 + 1 + np.arange(12)
    mapping = {"particles": PARTICLES, "jet": {"event": "event", "run": "run"}}
    path = write(event=event, run=np.full(12, 16777217))
    out = convert(path, tmp_path / "out.h5", OwnFormat(columns=column_map(mapping)))
    assert read_jets(out).jet["event"].tolist() == event.tolist()
    assert set(read_jets(out).jet["run"].tolist()) == {16777217}


def test_a_jet_mass_of_minus_one_is_named(write):
    jet = truth().jet()
    mass = np.where(np.arange(12) == 7, -1.0, jet["mass"])
    path = write(pt=jet["pt"], eta=jet["eta"], phi=jet["phi"], m=mass)
    mapping = {"particles": PARTICLES, "jet": {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "m"}}
    with pytest.raises(DataFileError, match="row 7: the jet's mass is negative.*bad_jets='drop'"):
        from_file(path, mapping)
    assert from_file(path, mapping, bad_jets="drop").jet["row"].tolist() == [*range(7), *range(8, 12)]


def test_a_mass_that_rounding_made_negative_is_zero(write):
    jet = truth().jet()
    mass = np.where(np.arange(12) == 7, -1e-4, jet["mass"])
    path = write(pt=jet["pt"], eta=jet["eta"], phi=jet["phi"], m=mass)
    mapping = {"particles": PARTICLES, "jet": {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "m"}}
    assert from_file(path, mapping).jet["mass"][7] == 0


@pytest.mark.parametrize("pt", [0.0, 1e-300])
def test_a_jet_without_pt_is_named(write, pt):
    jet = truth().jet()
    path = write(
        pt=np.where(np.arange(12) == 3, pt, jet["pt"].astype(np.float64)), eta=jet["eta"], phi=jet["phi"]
    )
    with pytest.raises(DataFileError, match="row 3: the jet has no transverse momentum"):
        from_file(path, {"particles": PARTICLES, "jet": {"pt": "pt", "eta": "eta", "phi": "phi"}})


def test_rows_that_unequal_lengths_would_lose_are_an_error(write):
    path = write(y=np.arange(9) % 2)
    with pytest.raises(DataFileError, match=r"'y' has shape \(9,\), and 12 rows are expected"):
        read(path)


def test_an_empty_jet_leaves_a_gap_in_the_rows(write):
    path = write(y=np.arange(12) % 2)
    with h5py.File(path, "r+") as file:
        for name in PARTICLES:
            file[name][4] = 0
    jets = read(path)
    assert jets.jet["row"].tolist() == [i for i in range(12) if i != 4]


def test_an_optional_label_may_be_missing(write):
    mapping = {"particles": PARTICLES, "jet": {"label": "flavour?"}, "labels": {0: "light", 5: "b"}}
    assert "label" not in from_file(write(), mapping).jet
    jets = from_file(write(flavour=np.array([0, 5] * 6)), mapping)
    assert jets.label.tolist() == [0, 1] * 6
