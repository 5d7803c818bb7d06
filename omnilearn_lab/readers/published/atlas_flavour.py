"""ATLAS flavour-tagging open data: compound HDF5 datasets of jets and tracks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import padded_rows
from omnilearn_lab.settings import settings

_GEV = 1e-3
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
