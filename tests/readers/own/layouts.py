"""Small files in every layout that analysts bring: some forty jets, with labels where the layout has any."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np

from tests.readers.own.nested_tree import write_nested
from tests.readers.own.test_layouts import edm4hep, flavour_dump, nested, official, physlite, renamed
from tests.readers.own.test_reader import delphes, nano, write_own_h5, write_root
from tests.readers.samples import truth

EVENTS = [19, 0, 21]
TRIPLES = (2, 1, 3) * 7


def _cms(folder, columns, jets):
    codes = np.array([0, 4, 5, 0] * 10)
    columns |= {f"{jets}_hadronFlavour": ak.unflatten(codes, EVENTS)}
    return write_root(folder / "nano.root", "Events", columns)


def _pfnano_fatjet():
    return renamed(nano(truth(40), EVENTS), JetPFCands="FatJetPFCands", Jet_="FatJet_")


def _nanoaod():
    return renamed(official(truth(40), EVENTS), FatJetPFCand="JetPFCand", FatJet_="Jet_")


def _delphes(folder, jets, radius):
    columns, _ = delphes(truth(42, massless=True), jets, radius, TRIPLES)
    return write_root(folder / "delphes.root", "Delphes", columns)


def _physlite(folder, monkeypatch, name):
    columns, _, _ = physlite(truth(42, massless=True), name, TRIPLES)
    sums = ak.unflatten(ak.unflatten(np.ones(84), [2] * 42), TRIPLES)
    columns |= {f"{name}.SumPtTrkPt500": sums}
    if name == "AnalysisJetsAuxDyn":
        codes = ak.unflatten(np.array([0, 4, 5] * 14), TRIPLES)
        columns |= {f"{name}.HadronConeExclTruthLabelID": codes}
    return write_nested(folder / "DAOD.root", "CollectionTree", columns, monkeypatch)


def _nested(folder, monkeypatch):
    columns = nested(truth(40), EVENTS) | {"jet_isTop": ak.unflatten(np.arange(40) % 2, EVENTS)}
    return write_nested(folder / "nested.root", "analysis", columns, monkeypatch)


def _flat_root(folder):
    true = truth(40)
    columns = {f"const_{n}": true.jagged(getattr(true, n)) for n in ("px", "py", "pz")}
    columns |= {"const_E": true.jagged(true.energy), "isTop": np.arange(40) % 2}
    return write_root(folder / "mine.root", "LargeRJets", columns | {"eventNumber": np.arange(40)})


def _flat_hdf5(folder):
    path = write_own_h5(folder / "mine.h5", truth(40))
    with h5py.File(path, "r+") as file:
        del file["data"]
    return path


LAYOUTS = {  # name of the preset that fits, or of the layout: writes a file in a folder and returns its path
    "pfnano": lambda folder, _: _cms(folder, nano(truth(40), EVENTS), "Jet"),
    "pfnano_fatjet": lambda folder, _: _cms(folder, _pfnano_fatjet(), "FatJet"),
    "nanoaod": lambda folder, _: _cms(folder, _nanoaod(), "Jet"),
    "nanoaod_fatjet": lambda folder, _: _cms(folder, official(truth(40), EVENTS), "FatJet"),
    "delphes": lambda folder, _: _delphes(folder, "Jet", 0.5),
    "delphes_fatjet": lambda folder, _: _delphes(folder, "FatJet", 0.8),
    "physlite": lambda folder, patch: _physlite(folder, patch, "AnalysisJetsAuxDyn"),
    "physlite_fatjet": lambda folder, patch: _physlite(folder, patch, "AnalysisLargeRJetsAuxDyn"),
    "edm4hep": lambda folder, _: write_root(folder / "fcc.root", "events", edm4hep(truth(40), EVENTS)),
    "atlas_flavour_dump": lambda folder, _: flavour_dump(folder / "dump.h5", truth(40), 1.0),
    "nested lists": _nested,
    "flat ROOT": lambda folder, _: _flat_root(folder),
    "flat HDF5": lambda folder, _: _flat_hdf5(folder),
}
