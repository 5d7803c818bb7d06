"""ATLAS top: MeV, two names for the weights, gzip around whole files, calibrated jets."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.atlas import AtlasTop

from tests.readers.samples import check_particles, gzipped, truth, write_h5

LABELS = np.arange(12) % 2


def write(path, weights=None, **change):
    true = truth(massless=True)
    jet = true.jet()
    names = ("pt", "eta", "phi", "E")
    columns = true.padded([true.pt * 1e3, true.eta, true.phi, true.energy * 1e3], 200)
    stored = {f"fjet_clus_{n}": columns[..., i].astype(np.float32) for i, n in enumerate(names)}
    stored |= {"fjet_pt": 0.9 * jet["pt"] * 1e3, "fjet_eta": jet["eta"], "fjet_phi": jet["phi"]}
    stored |= {"fjet_m": jet["mass"] * 1e3, "fjet_C2": np.ones(12), "labels": LABELS}
    if weights:
        stored[weights] = 0.5 + np.arange(12)
        stored["fjet_clus_taste"] = np.ones((12, 200), dtype=np.int64)
    return write_h5(path, **(stored | change))


@pytest.mark.parametrize("weights", ["weights", "training_weights", None])
@pytest.mark.parametrize("wrap", [lambda path: path, gzipped])
def test_both_releases(tmp_path, weights, wrap):
    path = wrap(write(tmp_path / "train_nominal_000.h5", weights))
    jets = AtlasTop().read(path)
    check_particles(jets, truth(massless=True))
    np.testing.assert_allclose(jets.jet["pt"], 0.9 * truth(massless=True).jet()["pt"], rtol=1e-5)
    assert jets.label.tolist() == LABELS.tolist()
    assert ("weight" in jets.jet) == (weights is not None)
    if weights:
        assert jets.weight.tolist() == (0.5 + np.arange(12)).tolist()
    assert AtlasTop().count(path) == 12


def test_the_temporary_copy_is_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    blocks = list(AtlasTop().iterate(gzipped(write(tmp_path / "a.h5")), chunk=5))
    assert [len(b) for b in blocks] == [5, 5, 2] and not list((tmp_path / "tmp").iterdir())


def test_a_constituent_may_be_harder_than_the_calibrated_jet(tmp_path):
    path = write(tmp_path / "a.h5", fjet_pt=np.full(12, 1.0))
    jets = AtlasTop().read(path)
    assert len(jets) == 12 and (jets.particles["pt"] > jets.jet["pt"].max()).any()


def test_the_first_particles_only(tmp_path):
    assert AtlasTop(first_particles=2).read(write(tmp_path / "a.h5")).counts.max() == 2


def test_bad_files_are_named(tmp_path):
    path = gzipped(write(tmp_path / "a.h5"))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataFileError, match="fetch it again"):
        AtlasTop().read(path)
    with pytest.raises(DataFileError, match="no 'labels'"):
        AtlasTop().read(write_h5(tmp_path / "b.h5", fjet_pt=np.ones(3)))
    with pytest.raises(DataFileError, match="row 4: the label is outside"):
        AtlasTop().read(write(tmp_path / "c.h5", labels=np.where(np.arange(12) == 4, 5, LABELS)))
