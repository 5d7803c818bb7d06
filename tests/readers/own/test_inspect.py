"""What a file holds, which preset fits, and a map that reads it unchanged."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import write_jets
from omnilearn_lab.readers import column_map, from_file, inspect
from omnilearn_lab.readers.own.columns import presets

from tests.conftest import random_jets
from tests.readers.own.layouts import LAYOUTS
from tests.readers.own.test_reader import write_own_h5, write_root
from tests.readers.samples import check_particles, truth


def same_jets(path, mapping, preset):
    made, expected = from_file(path, mapping), from_file(path, preset)
    assert np.array_equal(made.offsets, expected.offsets)
    for name, values in expected.particles.items():
        np.testing.assert_array_equal(made.particles[name], values, err_msg=name)
    assert made.class_names == expected.class_names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised_and_its_map_reads_it(tmp_path, layout, monkeypatch):
    path = LAYOUTS[layout](tmp_path, monkeypatch)
    seen = inspect(path)
    assert seen.presets[:1] == ((layout,) if layout in presets() else ()), seen
    assert path.name in repr(seen) and "<pre>" in seen._repr_html_()
    mapping = yaml.safe_load(seen.to_yaml())
    if layout in presets():
        same_jets(path, mapping, layout)
        assert layout in repr(seen)
    else:
        jets = from_file(path, mapping)
        check_particles(jets, truth(40))
        assert len(jets.class_names) == len(set(jets.label.tolist())) > 1


def test_a_flat_file_gets_a_map_that_reads_it(tmp_path):
    true = truth()
    columns = {f"const_{n}": true.jagged(getattr(true, n)) for n in ("px", "py", "pz")}
    columns |= {"const_E": true.jagged(true.energy), "isTop": np.arange(12) % 2, "eventNumber": np.arange(12)}
    path = write_root(tmp_path / "mine.root", "LargeRJets", columns)
    seen = inspect(path)
    assert seen.tables == {"LargeRJets": 12} and seen.presets == ()
    mapping = yaml.safe_load(seen.to_yaml())
    assert mapping["jet"] == {"event": "eventNumber", "label": "isTop?"} and mapping["tree"] == "LargeRJets"
    jets = from_file(path, mapping)
    check_particles(jets, true)
    assert jets.label.tolist() == [0, 1] * 6 and jets.class_names == ("class 0", "class 1")


@pytest.mark.parametrize("codes", [[0, 4, 5, 15], ["QCD", "top", "W", "Z"]])
def test_labels_are_proposed_as_they_are(tmp_path, codes):
    path = write_own_h5(tmp_path / "mine.h5", truth())
    with h5py.File(path, "r+") as file:
        del file["data"], file["jets/flavour"]
        file["jets/flavour"] = np.array(codes * 3, dtype=None if isinstance(codes[0], int) else "S4")
    jets = from_file(path, yaml.safe_load(inspect(path).to_yaml()))
    check_particles(jets, truth())
    assert len(jets.class_names) == 4 and set(jets.label.tolist()) == {0, 1, 2, 3}


def test_ml_ready_and_published_files_are_named(tmp_path):
    assert inspect(write_jets(random_jets(4), tmp_path / "jets.h5")).reader == "ml_ready"


def test_a_file_without_particles_says_so(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
    seen = inspect(tmp_path / "a.h5")
    assert not seen.mapping and "write a map by hand" in repr(seen)


def test_thousands_of_columns_are_cut_short(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(300):
            file[f"column_{i}"] = np.arange(3)
    assert "and 260 more" in repr(inspect(tmp_path / "a.h5"))


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.root").write_bytes(b"root" + bytes(2000))
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with uproot.recreate(tmp_path / "none.root") as file:
        file["words"] = "text"
    for name in ("a.root", "a.h5", "none.root", "missing.h5"):
        with pytest.raises(DataFileError, match=name.replace(".", r"\.")):
            inspect(tmp_path / name)


def test_a_guessed_map_for_events_asks_for_the_radius(tmp_path):
    true = truth(6, massless=True)
    per_event = np.array([2, 1, 3])
    jet = {f"jet_{n}": ak.unflatten(true.jet()[n], per_event) for n in ("pt", "eta", "phi")}
    counts = np.add.reduceat(true.counts, np.cumsum(per_event) - per_event)
    cloud = {f"trk_{n}": ak.unflatten(getattr(true, n), counts) for n in ("pt", "eta", "phi")}
    seen = inspect(write_root(tmp_path / "a.root", "t", jet | cloud))
    assert seen.mapping["radius"] == 0.4 and "radius" in repr(seen)
    assert column_map(seen.mapping).jet["pt"] == "jet_pt"
    assert len(from_file(tmp_path / "a.root", seen.mapping)) > 0
