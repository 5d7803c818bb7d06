"""EnergyFlow npz files: masses from codes, unsorted particles, and the published conversion's quirks."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.readers.published.references import EnergyFlow
from omnilearn_lab.readers.storage import open_npz

from tests.readers.samples import check_jet, check_particles, truth, write_energyflow

LABELS = np.arange(12) % 2


@pytest.fixture
def path(tmp_path):
    write_energyflow(tmp_path / "QG_jets_withbc_3.npz", truth(), LABELS)
    return tmp_path / "QG_jets_withbc_3.npz"


def test_jets_have_the_masses_of_their_codes(path):
    jets = EnergyFlow().read(path)
    order = check_particles(jets, truth(), 1e-5)
    check_jet(jets, truth())
    assert np.array_equal(jets.particles["pid"], truth().pid[order])
    assert np.array_equal(jets.particles["charge"], truth().charge[order])
    assert jets.label.tolist() == LABELS.tolist()


def test_the_published_conversion_has_its_quirks(path):
    true = truth()
    jets = EnergyFlow(convention="omnilearn").read(path)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    eta = np.repeat(true.jet()["eta"], true.counts)
    np.testing.assert_allclose(jets.particles["deta"], (true.y - eta)[order], atol=1e-5)
    np.testing.assert_allclose(jets.particles["energy"], (true.pt * np.cosh(true.y))[order], rtol=1e-5)
    charge = np.sign(true.pid) * ~np.isin(true.pid, (22, 130))
    assert np.array_equal(jets.particles["charge"], charge[order])
    electrons = np.abs(true.pid[order]) == 11
    assert np.array_equal(jets.particles["charge"][electrons], -true.charge[order][electrons])


def test_the_published_conversion_keeps_the_first_100_not_the_hardest(tmp_path):
    pt = np.arange(1.0, 131.0)
    values = np.stack([pt, 0 * pt, 0 * pt, 22 + 0 * pt], axis=1)[None]
    np.savez(tmp_path / "QG_jets.npz", X=values, y=np.zeros(1))
    jets = EnergyFlow(convention="omnilearn").read(tmp_path / "QG_jets.npz")
    assert jets.particles["pt"].max() == 100 and jets.jet["multiplicity"].tolist() == [130]
    assert jets.jet["pt"][0] == pytest.approx(pt.sum())
    assert EnergyFlow().read(tmp_path / "QG_jets.npz", max_particles=100).particles["pt"].min() == 31


def test_a_particle_of_exactly_1_gev_is_kept(path):
    assert np.isclose(EnergyFlow().read(path)[0].particles["pt"], 1.0).any()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_blocks_are_the_whole_and_nothing_is_read_twice(tmp_path, save):
    values = np.zeros((50, 7, 4))
    values[:, 0] = np.stack([1.0 + np.arange(50), np.zeros(50), np.zeros(50), np.full(50, 22)], axis=1)
    save(tmp_path / "a.npz", X=values, y=np.arange(50) % 2)
    blocks = list(EnergyFlow().iterate(tmp_path / "a.npz", chunk=8, start=5))
    assert np.concatenate([b.jet["pt"] for b in blocks]).tolist() == (6.0 + np.arange(45)).tolist()
    with open_npz(tmp_path / "a.npz") as file:
        assert file["X"][40:42][:, 0, 0].tolist() == [41, 42]
        assert file["X"][3:4][:, 0, 0].tolist() == [4]


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataFileError, match="never loaded"):
        EnergyFlow().read(tmp_path / "a.npz")


def test_bad_files_are_named(tmp_path, path, caplog):
    np.savez(tmp_path / "a.npz", Y=np.zeros((1, 2, 4)), y=np.zeros(1))
    with pytest.raises(DataFileError, match="no 'X'"):
        EnergyFlow().read(tmp_path / "a.npz")
    values = np.zeros((3, 2, 4))
    values[0, 0], values[1, 0, 0] = (5, np.nan, 0, 22), 3
    np.savez(tmp_path / "b.npz", X=values, y=np.zeros(3))
    with pytest.raises(DataFileError, match="row 0.*not finite"):
        EnergyFlow().read(tmp_path / "b.npz")
    with caplog.at_level(logging.WARNING):
        assert len(EnergyFlow(bad_jets="drop").read(tmp_path / "b.npz")) == 1
    assert "1 without particles, 1 bad" in caplog.text
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataFileError, match="fetch it again"):
        EnergyFlow().read(path)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ConfigError, match="known: omnilearn, physical"):
        EnergyFlow(convention="v1")
