"""Molecules of the catalogue: shipped, made and kept, or published."""

import numpy as np
import pytest
from omnilearn_lab.catalog import load_molecules
from omnilearn_lab.errors import CatalogError, DataFileError


def test_the_first_shipped_molecules_need_nothing_else(tmp_path):
    every, few = load_molecules(data_dir=tmp_path), load_molecules("shipped", 3, data_dir=tmp_path)
    assert set(few.molecule) == {0, 1, 2} and len(few.names) == 3
    assert np.array_equal(few.energy, every.energy[: len(few)])
    with pytest.raises(CatalogError, match="'shipped' has 160"):
        load_molecules("shipped", 161, data_dir=tmp_path)
    with pytest.raises(CatalogError, match="no molecules 'organik'.*did you mean 'organic'"):
        load_molecules("organik", 1, data_dir=tmp_path)
    with pytest.raises(CatalogError, match="how many molecules"):
        load_molecules("organic", data_dir=tmp_path)
    with pytest.raises(DataFileError, match="omol25' is not there; put .aselmdb files into it"):
        load_molecules("omol25", 2, data_dir=tmp_path)


def test_made_molecules_are_kept(tmp_path):
    pytest.importorskip("rdkit")
    pytest.importorskip("tblite")
    tiny = {"heavy": (1, 2), "n_vibrations": 1, "n_dynamics": 0}
    made = load_molecules("organic", 2, changes=tiny, data_dir=tmp_path)
    kept = list((tmp_path / "simulated").glob("molecules-organic-*/*.npz"))
    assert len(made) == 2 and len(kept) >= 2
    (tmp_path / "omol25").mkdir()
    with pytest.raises(DataFileError, match="no folder that holds one"):
        load_molecules("omol25", 2, data_dir=tmp_path)
