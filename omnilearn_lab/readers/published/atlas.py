"""Open data of ATLAS: flavour tagging, top tagging, and the OmniFold table of Z + jets."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import StrPath, reading
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import padded_rows
from omnilearn_lab.readers.storage import Frame, open_frame
from omnilearn_lab.settings import settings

_FLAVOURS = (0, 4, 5, 15)  # position = label
_DISPLACEMENT = {"d0": "d0", "d0_err": "d0Uncertainty", "dz": "z0SinTheta", "dz_err": "z0SinThetaUncertainty"}
_GEOMETRY = {"pt": "pt", "deta": "deta", "dphi": "dphi"}
_TAGGERS = ("GN2v01_pb", "GN2v01_pc", "GN2v01_pu", "GN2v01_ptau")
_TRUTH = {"origin": "ftagTruthOriginLabel", "vertex": "ftagTruthVertexIndex"}

GN2_TRACK_INPUTS: tuple[str, ...] = (
    "d0",
    "z0SinTheta",
    "dphi",
    "deta",
    "qOverP",
    "lifetimeSignedD0Significance",
    "lifetimeSignedZ0SinThetaSignificance",
    "phiUncertainty",
    "thetaUncertainty",
    "qOverPUncertainty",
    "numberOfPixelHits",
    "numberOfSCTHits",
    "numberOfInnermostPixelLayerHits",
    "numberOfNextToInnermostPixelLayerHits",
    "numberOfInnermostPixelLayerSharedHits",
    "numberOfInnermostPixelLayerSplitHits",
    "numberOfPixelSharedHits",
    "numberOfPixelSplitHits",
    "numberOfSCTSharedHits",
)
"""The 19 track inputs of the open GN2 configuration, in its order."""


@settings
class AtlasFlavour(Reader):
    """CERN Open Data 93940: ``jets`` (N,) and ``tracks`` (N, 40), both compound, in MeV.

    A track is real when its field ``valid`` says so. Labels 0 light, 1 c, 2 b, 3 tau come from
    ``HadronConeExclTruthLabelID`` (0, 4, 5, 15). The GN2 inputs keep their names as particle columns;
    ``d0``, ``dz`` (z0 sin theta) and their errors [mm], the charge, the truth ``origin`` and ``vertex`` have
    ours. Tracks are taken as massless: E = pt cosh(eta).

    References
    ----------
    ATLAS Collaboration, arXiv 2505.19689.

    Examples
    --------
    >>> AtlasFlavour().class_names, len(GN2_TRACK_INPUTS)
    (('light', 'c', 'b', 'tau'), 19)
    """

    name: ClassVar[str] = "atlas_flavour"
    class_names: ClassVar[tuple[str, ...]] = ("light", "c", "b", "tau")
    counted: ClassVar[str] = "jets"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets and their tracks."""
        jet, kept = _jet(source, rows), source["tracks"].dtype.names or ()
        wanted = {**_GEOMETRY, **_DISPLACEMENT, "qOverP": "qOverP"}
        wanted |= {name: name for name in GN2_TRACK_INPUTS if name not in (*wanted, *wanted.values())}
        wanted |= {ours: name for ours, name in _TRUTH.items() if name in kept}
        stored = {ours: source.field("tracks", name, rows) for ours, name in wanted.items()}
        columns, counts = padded_rows(stored, source.field("tracks", "valid", rows).astype(bool))
        columns["pt"] = columns["pt"] * _GEV
        columns["charge"] = np.sign(columns["qOverP"])
        columns["energy"] = columns["pt"] * np.cosh(columns["deta"] + np.repeat(jet["eta"], counts))
        return RawJets(columns, counts, jet)


def _jet(source: Source, rows: slice) -> dict[str, np.ndarray]:
    names = source["jets"].dtype.names or ()
    calibrated = "_btagJes" if "pt_btagJes" in names else ""
    jet = {name: source.field("jets", f"{name}{calibrated}", rows) for name in ("pt", "eta")}
    for name in ("phi", "mass"):
        jet[name] = source.field("jets", name, rows) if name in names else np.zeros(len(jet["pt"]))
    jet |= {name: jet[name] * _GEV for name in ("pt", "mass")}
    truth = source.field("jets", "HadronConeExclTruthLabelID", rows)
    is_flavour = truth[:, None] == np.array(_FLAVOURS)
    jet["label"] = np.where(is_flavour.any(axis=1), is_flavour.argmax(axis=1), -1)
    kept = {"event": "eventNumber"} | {name: name for name in _TAGGERS}
    return jet | {ours: source.field("jets", name, rows) for ours, name in kept.items() if name in names}


_GEV = 1e-3
_WEIGHTS = ("training_weights", "weights")


@contextmanager
def open_unzipped(path: Path) -> Iterator[Any]:
    """Open an HDF5 file, plain or in a ``.gz`` wrapping, whose temporary copy is deleted afterwards.

    Raises
    ------
    OSError
        When the wrapping is damaged, or the folder for temporary files is full.
    """
    if path.suffix != ".gz":
        with h5py.File(path) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="omnilearn_lab") as folder:
        plain = Path(folder) / path.stem
        with gzip.open(path) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
        with h5py.File(plain) as file:
            yield file


@settings
class AtlasTop(Reader):
    """CERN Open Data 15013 (``weights``) and 80030 (``training_weights``, ``*.h5.gz``).

    Jets are the calibrated ones, so that the sum of constituents differs from the jet, and one
    constituent may be harder than it. Weights are there in training sets only; the record demands
    them in every loss.

    Attributes
    ----------
    first_particles
        Keep the first particles only; the OmniLearn conversion keeps 120.

    References
    ----------
    ATLAS Collaboration, arXiv 2407.20127.

    Examples
    --------
    >>> AtlasTop().class_names
    ('QCD', 'top')
    """

    first_particles: int | None = None

    name: ClassVar[str] = "atlas_top"
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".h5.gz")
    class_names: ClassVar[tuple[str, ...]] = ("QCD", "top")
    storage: ClassVar = open_unzipped
    counted: ClassVar[str] = "labels"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        slots = (slice(self.first_particles),)
        stored = {name: source.rows(f"fjet_clus_{name}", rows, slots) for name in ("pt", "eta", "phi", "E")}
        jet = {name: source.rows(f"fjet_{name}", rows) for name in ("pt", "eta", "phi", "m")}
        columns = {
            "pt": stored["pt"] * _GEV,
            "deta": stored["eta"] - jet["eta"][:, None],
            "dphi": stored["phi"] - jet["phi"][:, None],
            "energy": stored["E"] * _GEV,
        }
        if "fjet_clus_taste" in source:
            columns["taste"] = source.rows("fjet_clus_taste", rows, slots)
        particles, counts = padded_rows(columns, stored["pt"] != 0)
        table = {"pt": jet["pt"] * _GEV, "eta": jet["eta"], "phi": jet["phi"], "mass": jet["m"] * _GEV}
        table["label"] = source.rows("labels", rows).reshape(-1)
        weights = next((name for name in _WEIGHTS if name in source), None)
        if weights:
            table["weight"] = source.rows(weights, rows).reshape(-1)
        return RawJets(particles, counts, table)


_TRACK_JET = ("pT", "y", "phi", "m", "tau1", "tau2", "tau3", "Ntracks")
ATLAS_OBSERVABLES: tuple[str, ...] = (
    "pT_ll",
    "y_ll",
    "pT_l1",
    "pT_l2",
    "eta_l1",
    "eta_l2",
    "phi_l1",
    "phi_l2",
    *(f"{name}_trackj1" for name in _TRACK_JET),
    *(f"{name}_trackj2" for name in _TRACK_JET),
)
"""The unfolded observables: dilepton system and leptons, then the two leading track jets."""


@dataclass(frozen=True)
class EventTable:
    """Events as columns.

    Attributes
    ----------
    observables
        Columns of `ATLAS_OBSERVABLES`, each shape (N,); momenta in GeV.
    weights
        Weight columns by name, each shape (N,); ``weights_nominal`` sums to the cross-section [fb].
    """

    observables: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.observables.values())))


def read_atlas_omnifold(path: StrPath, *, start: int = 0, stop: int | None = None) -> EventTable:
    """Read rows ``start:stop`` of ``multifold*.h5`` (Zenodo 11507450, store key ``df``).

    Parameters
    ----------
    path
    start, stop

    Raises
    ------
    DataFileError
        When the file is missing or damaged, or lacks an observable.

    References
    ----------
    ATLAS Collaboration, arXiv 2405.20041.
    """
    path = Path(path)
    with reading(path, "atlas_omnifold"), open_frame(path, "df") as frame:
        stop = frame.n_rows if stop is None else min(stop, frame.n_rows)
        if start >= stop:
            raise DataFileError(f"'{path}' has no rows from {start} on")
        return _table(frame, (start, stop), path)


def _table(frame: Frame, rows: tuple[int, int], path: Path) -> EventTable:
    weights = [name for name in map(str, frame.columns) if name.startswith(("weight", "target"))]
    block = frame.rows(*rows)
    columns = {name: block[name] for name in (*ATLAS_OBSERVABLES, *weights)}
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise DataFileError(
                f"'{path}', row {rows[0] + int(np.argmin(np.isfinite(values)))}: '{name}' is not finite; "
                "repair the file, or fetch it again"
            )
    return EventTable(
        {name: columns[name] for name in ATLAS_OBSERVABLES}, {name: columns[name] for name in weights}
    )
