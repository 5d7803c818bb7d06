"""Notebook 14 with a file of the reader's own: HDF5, other names, fewer jets than the profile asks for."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.notebook.execute import execute_notebook
from omnilearn_lab.notebook.recorded import read_results

from tests.readers.samples import truth

FOLDER = Path(__file__).parents[1] / "notebooks"
N_JETS = 200
MOMENTA = ("px", "py", "pz", "energy")


def write_own(path: Path) -> None:
    """Rectangular momenta with zeros where a jet has no further particle, a truth bit and an event number."""
    true = truth(N_JETS, seed=1)
    filled = np.arange(true.counts.max()) < true.counts[:, None]
    with h5py.File(path, "w") as file:
        for name in MOMENTA:
            values = np.zeros(filled.shape)
            values[filled] = getattr(true, name)
            file[f"cand_{name}"] = values
        file["signal"] = np.arange(N_JETS) % 2
        file["event"] = 7 * np.arange(N_JETS)


@pytest.mark.nb
@pytest.mark.slow
def test_scores_of_a_file_of_the_readers_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "mine.h5"
    write_own(path)
    columns = {
        "particles": {name: f"cand_{name}" for name in MOMENTA},
        "jet": {"label": "signal"},
        "class_names": ["QCD", "top"],
    }
    done = execute_notebook(
        "14_your_own_jets",
        "smoke",
        parameters={"path": str(path), "columns": columns},
        folder=FOLDER,
        progress=False,
    )
    assert read_results(done.directory).source == "own file"
    assert not (tmp_path / "data" / "simulated").exists(), "jets were simulated although a file was given"
    with h5py.File(done.directory / "my_jets_scored.h5") as file:
        assert np.array_equal(file["event"], 7 * np.arange(N_JETS))
        seen = file["pet_has_seen"][()].astype(bool)
        assert abs(seen.sum() - 100) <= 2  # half of the profile's 300 jets are seen; so here
        assert abs(seen[::2].sum() - 50) <= 1  # of either class
        assert np.isfinite(file["pet_score"]).all()
    with uproot.open(done.directory / "my_events_scored.root") as file:
        rows = file["Events"].arrays(["FatJet_pt", "FatJet_pet_score"])
    assert ak.num(rows["FatJet_pet_score"]).to_list() == ak.num(rows["FatJet_pt"]).to_list()
    missing = np.isnan(ak.flatten(rows["FatJet_pet_score"]).to_numpy())
    assert np.flatnonzero(missing).tolist() == [0]  # the jet that lost its particles


@pytest.mark.nb
@pytest.mark.slow
def test_scores_of_the_file_that_the_notebook_makes_keep_its_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    done = execute_notebook("14_your_own_jets", "smoke", folder=FOLDER, progress=False)
    paths = (done.directory / name for name in ("my_jets.h5", "my_jets_scored.h5"))
    with h5py.File(next(paths)) as before, h5py.File(next(paths)) as after:
        assert np.array_equal(before["jets/eventNumber"], after["jets/eventNumber"])
        missing = np.isnan(after["pet_score"])
    assert np.flatnonzero(missing).tolist() == [7]  # the jet without particles
