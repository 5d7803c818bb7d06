"""H1 minitrees: relative particle branches of all jets together, event selection, leading jet."""

from __future__ import annotations

import logging

import awkward as ak
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.h1 import H1

from tests.readers.samples import truth


def write(path, generator="Rapgap", change=None, drop=()):
    """Twelve events; each has the true jet as the leading one and a second jet of one particle."""
    true = truth()
    jet = true.jet()
    owner = np.repeat(np.arange(12), true.counts)
    dphi = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    parts = {"pt": true.pt / jet["pt"][owner], "eta": true.eta - jet["eta"][owner], "phi": dphi}
    parts |= {"e": true.energy / jet["e"][owner], "charge": true.charge, "idx": 0 * owner}
    second = {"pt": 1.0, "eta": 0.0, "phi": 0.0, "e": 1.0, "charge": -1, "idx": 1}
    columns = {
        f"jet_part_{n}": ak.concatenate([ak.unflatten(np.full(12, second[n]), 1), true.jagged(v)], axis=1)
        for n, v in parts.items()
    }
    names = {"pt": "pt", "eta": "eta", "phi": "phi", "e": "e", "mass": "mass"}
    for name, source in names.items():
        columns[f"jet_{name}"] = ak.unflatten(
            np.stack([jet[source], 0.5 * jet[source]], axis=1).ravel(), np.full(12, 2)
        )
    columns |= {
        "Q2": np.full(12, 300.0),
        "y": np.full(12, 0.4),
        "ptmiss": np.full(12, 2.0),
        "Empz": np.full(12, 55.0),
    }
    columns |= change or {}
    with uproot.recreate(path) as file:
        kept = {n: v for n, v in columns.items() if n not in drop}
        types = {n: ak.type(v).content if isinstance(v, ak.Array) else v.dtype for n, v in kept.items()}
        file.mktree(f"{generator}/minitree", {n: str(t) for n, t in types.items()}).extend(kept)
    return path


INSIDE = (truth().jet()["eta"] > -1.5) & (truth().jet()["eta"] < 2.75) & (truth().jet()["pt"] > 10)


@pytest.mark.parametrize(("generator", "label"), [("Django", 0), ("Rapgap", 1)])
def test_the_leading_jet_and_the_label_of_the_tree(tmp_path, generator, label):
    true = truth()
    jets = H1().read(write(tmp_path / "a.root", generator))
    kept = np.repeat(INSIDE, true.counts)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    np.testing.assert_allclose(jets.particles["pt"], true.pt[order][kept[order]], rtol=1e-5)
    np.testing.assert_allclose(jets.particles["energy"], true.energy[order][kept[order]], rtol=1e-5)
    assert np.array_equal(jets.particles["charge"], true.charge[order][kept[order]])
    np.testing.assert_allclose(jets.jet["pt"], true.jet()["pt"][INSIDE], rtol=1e-6)
    assert set(jets.label) == {label} and jets.class_names[label] in ("Djangoh", "Rapgap")


@pytest.mark.parametrize(
    ("name", "value"), [("Q2", 149.0), ("y", 0.05), ("y", 0.71), ("ptmiss", 11.0), ("Empz", 66.0)]
)
def test_events_outside_the_selection_are_left_out_and_counted(tmp_path, caplog, name, value):
    usual = {"Q2": 300.0, "y": 0.4, "ptmiss": 2.0, "Empz": 55.0}[name]
    first = np.where(np.arange(12) == np.argmax(INSIDE), value, usual)
    with caplog.at_level(logging.INFO):
        assert len(H1().read(write(tmp_path / "a.root", change={name: first}))) == INSIDE.sum() - 1
    assert f"left out {13 - INSIDE.sum()} of 12 rows: outside the selection" in caplog.text


def test_not_a_number_is_no_matter_of_selection(tmp_path):
    q2 = np.where(np.arange(12) == np.argmax(INSIDE), np.nan, 300.0)
    with pytest.raises(DataFileError, match="jet 'Q2' is not finite"):
        H1().read(write(tmp_path / "a.root", change={"Q2": q2}))


def test_events_without_jets_are_left_out(tmp_path):
    none = {f"jet_{n}": ak.Array([[]] * 12) for n in ("pt", "eta", "phi", "e", "mass")}
    none = {n: ak.values_astype(v, np.float64) for n, v in none.items()}
    assert len(H1().read(write(tmp_path / "a.root", change=none))) == 0


def test_the_published_conversion_cuts_the_relative_eta(tmp_path):
    wide = truth().jagged(np.full(truth().counts.sum(), -1.6))
    wide = ak.concatenate([ak.unflatten(np.zeros(12), 1), wide], axis=1)
    path = write(tmp_path / "a.root", change={"jet_part_eta": wide})
    assert len(H1(convention="omnilearn").read(path)) == 0
    assert len(H1().read(path)) == INSIDE.sum()


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match="none of the trees"):
        H1().read(write(tmp_path / "a.root", "Pythia"))
    with pytest.raises(DataFileError, match="no 'Empz'"):
        H1().read(write(tmp_path / "b.root", drop=["Empz"]))
