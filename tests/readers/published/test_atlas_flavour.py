"""ATLAS flavour tagging: compound dtypes in MeV, the valid flag, truth labels 0, 4, 5, 15."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers import GN2_TRACK_INPUTS
from omnilearn_lab.readers.published.atlas import AtlasFlavour

from tests.readers.samples import truth

TRUTH = np.array([0, 4, 5, 15] * 3)
GN2 = ("GN2v01_pu", "GN2v01_pc", "GN2v01_pb", "GN2v01_ptau")
FIELDS = [*GN2_TRACK_INPUTS, "pt", "d0Uncertainty", "z0SinThetaUncertainty"]


def write(path, labels=TRUTH, drop=()):
    n_jets = len(labels)
    true = truth(n_jets)
    jet = true.jet()
    owner = np.repeat(np.arange(n_jets), true.counts)
    mask = np.arange(40) < true.counts[:, None]
    kinds = [(n, "f4") for n in FIELDS if n not in drop] + [
        ("valid", "?"),
        ("ftagTruthOriginLabel", "i4"),
        ("ftagTruthVertexIndex", "i4"),
    ]
    tracks = np.zeros((n_jets, 40), dtype=kinds)
    for i, name in enumerate(FIELDS):
        if name not in drop:
            tracks[name] = -7.0  # padding is not zero here: only "valid" tells
            tracks[name][mask] = i
    tracks["pt"][mask] = true.pt * 1e3
    tracks["deta"][mask] = true.eta - jet["eta"][owner]
    tracks["dphi"][mask] = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    tracks["qOverP"][mask] = np.where(np.arange(len(owner)) % 2, 1e-5, -1e-5)
    tracks["valid"] = mask
    tracks["ftagTruthOriginLabel"] = -1
    tracks["ftagTruthOriginLabel"][mask] = np.arange(len(owner)) % 8
    kinds = [(n, "f4") for n in ("pt", "eta", "phi", "mass", "pt_btagJes", "eta_btagJes", *GN2)]
    jets = np.zeros(n_jets, dtype=[*kinds, ("eventNumber", "i8"), ("HadronConeExclTruthLabelID", "i4")])
    jets["pt"], jets["pt_btagJes"] = 0.9 * jet["pt"] * 1e3, jet["pt"] * 1e3
    jets["eta"], jets["eta_btagJes"], jets["phi"] = jet["eta"], jet["eta"], jet["phi"]
    jets["mass"], jets["eventNumber"] = jet["mass"] * 1e3, 2**40 + np.arange(n_jets)
    jets["HadronConeExclTruthLabelID"] = labels
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks
        file["eventwise"] = np.zeros(4, dtype=[("nJets", "i4")])
    return path


def test_tracks_in_gev_by_the_valid_flag(tmp_path):
    true = truth()
    jets = AtlasFlavour().read(write(tmp_path / "mc-flavtag-ttbar-small.h5"))
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    assert np.array_equal(jets.counts, true.counts)
    np.testing.assert_allclose(jets.particles["pt"], true.pt[order], rtol=1e-5)
    massless = (true.pt * np.cosh(true.eta))[order]
    np.testing.assert_allclose(jets.particles["energy"], massless, rtol=1e-4)
    np.testing.assert_allclose(jets.jet["pt"], true.jet()["pt"], rtol=1e-5)
    assert jets.label.tolist() == [0, 1, 2, 3] * 3
    assert jets.jet["event"].tolist() == (2**40 + np.arange(12)).tolist()


def test_inputs_truth_and_charge(tmp_path):
    true = truth()
    jets = AtlasFlavour().read(write(tmp_path / "a.h5"))
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    assert jets.particles["origin"].tolist() == (np.arange(len(order)) % 8)[order].tolist()
    assert jets.particles["charge"].tolist() == np.where(np.arange(len(order)) % 2, 1, -1)[order].tolist()
    for ours, theirs in {"d0": "d0", "dz": "z0SinTheta", "dz_err": "z0SinThetaUncertainty"}.items():
        assert set(jets.particles[ours]) == {FIELDS.index(theirs)}
    for name in GN2_TRACK_INPUTS[10:]:
        assert set(jets.particles[name]) == {FIELDS.index(name)}


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match="row 1: the label is outside 0 to 3"):
        AtlasFlavour().read(write(tmp_path / "a.h5", np.where(np.arange(12) == 1, 7, TRUTH)))
    with pytest.raises(DataFileError, match="no field 'phiUncertainty'.*did you mean"):
        AtlasFlavour().read(write(tmp_path / "b.h5", drop=["phiUncertainty"]))


def test_blocks_are_the_whole(tmp_path):
    blocks = list(AtlasFlavour().iterate(write(tmp_path / "a.h5"), chunk=5))
    assert np.concatenate([b.label for b in blocks]).tolist() == [0, 1, 2, 3] * 3
