"""JetNet: a mask in the fourth column, the class in the file name, no azimuth."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.references import JetNet

from tests.readers.samples import truth, write_h5, write_jetnet


def write(path, **changes):
    return write_jetnet(path, truth(massless=True), **changes)


@pytest.mark.parametrize(
    ("name", "label"), [("g.hdf5", 0), ("q150.hdf5", 1), ("t.hdf5", 2), ("w30.hdf5", 3), ("z.hdf5", 4)]
)
def test_the_class_is_the_file_name(tmp_path, name, label):
    assert set(JetNet().read(write(tmp_path / name)).label) == {label}


def test_particles_are_massless_and_relative(tmp_path):
    true = truth(massless=True)
    jets = JetNet().read(write(tmp_path / "t.hdf5"))
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    np.testing.assert_allclose(jets.particles["pt"], true.pt[order], rtol=1e-5)
    np.testing.assert_allclose(jets.particles["energy"], true.energy[order], rtol=1e-4)
    np.testing.assert_allclose(jets.jet["mass"], true.jet()["mass"], rtol=1e-5)
    assert (jets.jet["phi"] == 0).all()


def test_the_fourth_column_is_a_mask(tmp_path):
    assert len(JetNet().read(write(tmp_path / "t.hdf5", mask_value=0.0))) == 0


def test_the_capped_multiplicity_is_kept(tmp_path):
    jets = JetNet().read(write(tmp_path / "t.hdf5", multiplicity=np.full(12, 30)))
    assert (jets.jet["multiplicity"] == 30).all() and jets.counts.max() < 30


def test_other_names_need_a_label(tmp_path):
    path = write(tmp_path / "gluons.hdf5")
    with pytest.raises(DataFileError, match="first letter.*label="):
        JetNet().read(path)
    assert set(JetNet(label=0).read(path).label) == {0}


def test_tables_of_different_length_are_refused(tmp_path):
    path = write_h5(tmp_path / "g.hdf5", particle_features=np.zeros((3, 30, 4)), jet_features=np.ones((2, 4)))
    with pytest.raises(DataFileError, match="'particle_features' has 3 rows, and others have 2"):
        JetNet().read(path)
