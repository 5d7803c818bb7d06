"""JetClass: the sign of part_deta, the mass that is not stored, species from flags, one-hot labels."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.jetclass import JetClass

from tests.readers.samples import check_jet, check_particles, jetclass_columns, truth, write_jetclass

LABELS = np.arange(12) % 10


@pytest.fixture
def path(tmp_path):
    write_jetclass(tmp_path / "HToBB_120.root", truth(), LABELS)
    return tmp_path / "HToBB_120.root"


def test_four_momenta_species_and_labels_come_back(path):
    true = truth()
    jets = JetClass().read(path)
    order = check_particles(jets, true, 1e-4)
    check_jet(jets, true, 1e-3)
    assert np.array_equal(jets.particles["pid"], true.pid[order])
    assert np.array_equal(jets.particles["charge"], true.charge[order])
    assert jets.label.tolist() == LABELS.tolist() and jets.class_names[8] == "Tbqq"
    assert jets.jet["multiplicity"].tolist() == true.counts.tolist()


def test_the_published_sign_of_deta_is_taken_out(path):
    true = truth()
    jets = JetClass().read(path)
    assert (jets.jet["eta"] < 0).any() and (jets.jet["eta"] > 0).any()
    stored = ak.to_numpy(ak.flatten(jetclass_columns(true)["part_deta"]))
    away = np.repeat(true.jet()["eta"] < 0, true.counts)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    plain = np.where(away, -stored, stored)[order]
    np.testing.assert_allclose(jets.particles["deta"], plain, atol=1e-6)
    assert not np.allclose(jets.particles["deta"], stored[order], atol=1e-3)


def test_neutrals_have_no_impact_parameters(path):
    jets = JetClass().read(path)
    neutral = jets.particles["charge"] == 0
    for name in ("d0", "d0_err", "dz", "dz_err"):
        assert (jets.particles[name][neutral] == 0).all() and (jets.particles[name][~neutral] != 0).all()


def test_blocks_are_the_whole(path):
    blocks = list(JetClass().iterate(path, chunk=5))
    assert np.concatenate([b.label for b in blocks]).tolist() == LABELS.tolist()
    assert JetClass().read(path, start=10).label.tolist() == LABELS[10:].tolist()


def test_a_jet_without_a_label_is_named(tmp_path):
    write_jetclass(tmp_path / "a.root", truth(), np.where(np.arange(12) == 6, 99, LABELS))
    with pytest.raises(DataFileError, match="row 6: the label is outside 0 to 9"):
        JetClass().read(tmp_path / "a.root")


def test_a_missing_branch_is_named(tmp_path):
    write_jetclass(tmp_path / "a.root", truth(), LABELS, drop=["part_dzerr"])
    with pytest.raises(DataFileError, match="no 'part_dzerr'.*did you mean 'part_"):
        JetClass().read(tmp_path / "a.root")


def test_a_branch_of_another_length_is_named(tmp_path):
    true = truth()
    shorter = ak.unflatten(np.ones(24, np.float32), np.full(12, 2))
    write_jetclass(tmp_path / "a.root", true, LABELS, change={"part_charge": shorter})
    with pytest.raises(DataFileError, match="'part_charge' and 'part_px' differ in length"):
        JetClass().read(tmp_path / "a.root")


def test_a_truncated_file_is_named(path):
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataFileError, match=str(path)):
        JetClass().read(path)
