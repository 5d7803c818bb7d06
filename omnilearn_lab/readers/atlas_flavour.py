"""ATLAS flavour-tagging open data: compound HDF5 datasets of jets and tracks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError, nearest
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, open_h5, padded_rows

__all__ = ["GN2_TRACK_INPUTS", "AtlasFlavour"]

_GEV = 1e-3
_FLAVOURS = (0, 4, 5, 15)  # position = label
_DISPLACEMENT = {"d0": "d0", "d0_err": "d0Uncertainty", "dz": "z0SinTheta", "dz_err": "z0SinThetaUncertainty"}
_GEOMETRY = {"pt": "pt", "deta": "deta", "dphi": "dphi"}
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


@dataclass(frozen=True)
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

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        with open_h5(path) as file:
            jets, tracks = (column(file, name, path) for name in ("jets", "tracks"))
            yield Rows(len(jets), lambda start, stop: _rows(jets, tracks, path, slice(start, stop)))


def _rows(jets: Any, tracks: Any, path: Path, rows: slice) -> RawJets:
    jet = _jet(jets, path, rows)
    valid = _field(tracks, "valid", path, rows).astype(bool)
    wanted = {**_GEOMETRY, **_DISPLACEMENT, "qOverP": "qOverP"}
    wanted |= {name: name for name in GN2_TRACK_INPUTS if name not in (*wanted, *wanted.values())}
    stored = {ours: _field(tracks, name, path, rows) for ours, name in wanted.items()}
    for ours, name in _TRUTH.items():
        if name in tracks.dtype.names:
            stored[ours] = _field(tracks, name, path, rows)
    columns, counts = padded_rows(stored, valid)
    columns["pt"] = columns["pt"] * _GEV
    columns["charge"] = np.sign(columns["qOverP"])
    columns["energy"] = columns["pt"] * np.cosh(columns["deta"] + np.repeat(jet["eta"], counts))
    return RawJets(columns, counts, jet)


def _jet(jets: Any, path: Path, rows: slice) -> dict[str, np.ndarray]:
    names = jets.dtype.names
    calibrated = "_btagJes" if "pt_btagJes" in names else ""
    truth = _field(jets, "HadronConeExclTruthLabelID", path, rows)
    label = np.full(len(truth), -1)
    for position, code in enumerate(_FLAVOURS):
        label[truth == code] = position
    jet = {
        "pt": _field(jets, f"pt{calibrated}", path, rows) * _GEV,
        "eta": _field(jets, f"eta{calibrated}", path, rows),
        "phi": _field(jets, "phi", path, rows) if "phi" in names else np.zeros(len(truth)),
        "mass": _field(jets, "mass", path, rows) * _GEV if "mass" in names else np.zeros(len(truth)),
        "label": label,
    }
    if "eventNumber" in names:
        jet["event"] = _field(jets, "eventNumber", path, rows)
    for tagger in ("GN2v01_pb", "GN2v01_pc", "GN2v01_pu", "GN2v01_ptau"):
        if tagger in names:
            jet[tagger] = _field(jets, tagger, path, rows)
    return jet


def _field(dataset: Any, name: str, path: Path, rows: slice) -> np.ndarray:
    """Read one field of a compound dataset; whole rows would be ten times wider."""
    if name not in dataset.dtype.names:
        raise DataFileError(
            f"'{path}': '{dataset.name}' has no field '{name}'; {nearest(name, dataset.dtype.names)}"
        )
    return dataset.fields(name)[rows]
