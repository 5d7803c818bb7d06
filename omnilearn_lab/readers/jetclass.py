"""JetClass: ROOT files with one tree, one process per file, jagged ``part_*`` branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column

__all__ = ["JetClass", "jetclass_rows", "pid_from_flags"]

_CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
_LABELS = tuple(f"label_{name}" for name in _CLASSES)
_DISPLACEMENT = {"d0": "part_d0val", "d0_err": "part_d0err", "dz": "part_dzval", "dz_err": "part_dzerr"}
_MOMENTUM = {"px": "part_px", "py": "part_py", "pz": "part_pz", "energy": "part_energy"}
_GEOMETRY = {"deta": "part_deta", "dphi": "part_dphi"}
_FLAGS = {
    "charged_hadron": "part_isChargedHadron",
    "neutral_hadron": "part_isNeutralHadron",
    "photon": "part_isPhoton",
    "electron": "part_isElectron",
    "muon": "part_isMuon",
}
PARTICLE_BRANCHES = {**_MOMENTUM, **_GEOMETRY, **_DISPLACEMENT, **_FLAGS, "charge": "part_charge"}
JET_BRANCHES = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles", "jet_sdmass")


def pid_from_flags(flags: dict[str, np.ndarray], charge: np.ndarray) -> np.ndarray:
    """Return reduced PDG codes from the five particle flags and the charge.

    Parameters
    ----------
    flags
        ``charged_hadron``, ``neutral_hadron``, ``photon``, ``electron``, ``muon``: 0 or 1, shape (T,).
    charge : array, shape (T,)

    Examples
    --------
    >>> names = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
    >>> one_each = dict(zip(names, np.eye(5, dtype=int)))
    >>> pid_from_flags(one_each, np.array([-1, 0, 0, -1, 1])).tolist()
    [-211, 130, 22, 11, -13]
    """
    sign = np.sign(charge).astype(np.int64)
    code = 211 * sign * (flags["charged_hadron"] != 0)
    code = code + 130 * (flags["neutral_hadron"] != 0) + 22 * (flags["photon"] != 0)
    return code - 11 * sign * (flags["electron"] != 0) - 13 * sign * (flags["muon"] != 0)


def jetclass_rows(
    particles: dict[str, np.ndarray], counts: np.ndarray, jet: dict[str, np.ndarray]
) -> RawJets:
    """Translate the columns that JetClass and JetClass-II share.

    ``part_deta`` is published times the sign of ``jet_eta``; it is multiplied by that sign again
    to give the plain difference. There is no jet mass branch: it follows from the four-momentum.
    """
    columns = {name: particles[branch] for name, branch in PARTICLE_BRANCHES.items()}
    flags = {name: columns.pop(name) for name in _FLAGS}
    columns["pid"] = pid_from_flags(flags, columns["charge"])
    columns["pt"] = np.hypot(columns.pop("px"), columns.pop("py"))
    del columns["pz"]
    side = np.where(jet["jet_eta"] < 0, -1, 1)
    columns["deta"] = columns["deta"] * np.repeat(side, counts)
    momentum = jet["jet_pt"].astype(np.float64) * np.cosh(jet["jet_eta"].astype(np.float64))
    mass = np.sqrt(np.maximum(jet["jet_energy"].astype(np.float64) ** 2 - momentum**2, 0))
    kept = {"pt": jet["jet_pt"], "eta": jet["jet_eta"], "phi": jet["jet_phi"], "mass": mass}
    kept |= {"multiplicity": jet["jet_nparticles"], "soft_drop_mass": jet["jet_sdmass"]}
    return RawJets(columns, counts, kept)


@dataclass(frozen=True)
class JetClass(Reader):
    """Zenodo 6619768: tree ``tree``, ten one-hot ``label_*`` branches.

    All constituents are kept. Neutral particles have impact parameters and errors of 0.

    References
    ----------
    Qu, Li and Qian, arXiv 2202.03772.

    Examples
    --------
    >>> len(JetClass().class_names)
    10
    """

    name: ClassVar[str] = "jetclass"
    suffixes: ClassVar[tuple[str, ...]] = (".root",)
    class_names: ClassVar[tuple[str, ...]] = _CLASSES

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the tree."""
        import uproot

        with uproot.open(path) as file:
            tree = column(file, "tree", path)
            yield Rows(int(tree.num_entries), lambda start, stop: _read(tree, path, start, stop))


def _read(tree: Any, path: Path, start: int, stop: int) -> RawJets:
    wanted = [*PARTICLE_BRANCHES.values(), *JET_BRANCHES, *_LABELS]
    for name in wanted:
        column(tree, name, path)
    arrays = tree.arrays(wanted, entry_start=start, entry_stop=stop)
    raw = jetclass_rows(*_flattened(arrays, path))
    one_hot = np.stack([np.asarray(arrays[name]) for name in _LABELS], axis=1)
    label = np.where(one_hot.sum(axis=1) == 1, one_hot.argmax(axis=1), -1)
    return RawJets(raw.particles, raw.counts, {**raw.jet, "label": label})


def _flattened(arrays: Any, path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Split a record array of jagged ``part_*`` and flat ``jet_*`` columns into plain arrays."""
    import awkward as ak

    counts = np.asarray(ak.num(arrays["part_px"]))
    particles = {}
    for name in PARTICLE_BRANCHES.values():
        if not np.array_equal(np.asarray(ak.num(arrays[name])), counts):
            raise DataFileError(f"'{path}': '{name}' and 'part_px' differ in length; fetch the file again")
        particles[name] = np.asarray(ak.flatten(arrays[name]))
    return particles, counts, {name: np.asarray(arrays[name]) for name in JET_BRANCHES}
