"""Column maps of formats that many analyses share; every one states its units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.readers.own.columns import ColumnMap
from omnilearn_lab.settings import from_mapping

_CMS = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "pid": "pdgId"}
_FLAVOURS = {0: "light", 4: "c", 5: "b"}
_CMS_TRACK = {"charge": "charge", "d0": "d0", "d0_err": "d0Err", "dz": "dz", "dz_err": "dzErr"}


def _cms(jets: str, candidates: str, links: str, candidate: str) -> ColumnMap:
    """NanoAOD: impact parameters in cm, forward-calorimeter codes, PUPPI weights where they are stored."""
    optional = {**_CMS_TRACK, "puppi_weight": "puppiWeight"}
    jet = {name: f"{jets}_{name}" for name in ("pt", "eta", "phi", "mass")}
    return ColumnMap(
        particles={ours: f"{candidates}_{name}" for ours, name in _CMS.items()}
        | {ours: f"{candidates}_{name}?" for ours, name in optional.items()},
        jet=jet
        | {"raw_factor": f"{jets}_rawFactor?", "event": "event?", "run": "run?"}
        | {"label": f"{jets}_hadronFlavour?"},
        labels=_FLAVOURS,
        jet_index=f"{links}_jetIdx",
        candidate_index=f"{links}_{candidate}",
        tree="Events",
        unit="GeV",
        length_unit="cm",
        codes="cms",
    )


def _delphes(jets: str, radius: float) -> ColumnMap:
    """Delphes: energy-flow objects within R of the axis, since lists of references cannot be read in bulk."""
    track = {"pt": "PT", "eta": "Eta", "phi": "Phi", "pid": "PID", "charge": "Charge"}
    displaced = {"d0": "D0", "d0_err": "ErrorD0", "dz": "DZ", "dz_err": "ErrorDZ"}
    tower = {"pt": "ET", "eta": "Eta", "phi": "Phi", "energy": "E"}
    return ColumnMap(
        particles={ours: f"EFlowTrack.{name}" for ours, name in track.items()}
        | {ours: f"EFlowTrack.{name}?" for ours, name in displaced.items()},
        more=(
            {ours: f"EFlowPhoton.{name}" for ours, name in tower.items()} | {"pid": "=22"},
            {ours: f"EFlowNeutralHadron.{name}" for ours, name in tower.items()} | {"pid": "=130"},
        ),
        jet={ours: f"{jets}.{name}" for ours, name in (("pt", "PT"), ("eta", "Eta"), ("phi", "Phi"))}
        | {"mass": f"{jets}.Mass"},
        radius=radius,
        tree="Delphes",
        unit="GeV",
        length_unit="mm",
    )


def _physlite(jets: str, radius: float) -> ColumnMap:
    """ATLAS light analysis files: inner-detector tracks within R of the axis, in MeV and mm."""
    tracks = "InDetTrackParticlesAuxDyn"
    track = {"q_over_p": "qOverP", "theta": "theta", "phi": "phi", "d0": "d0", "dz": "z0"}
    return ColumnMap(
        particles={ours: f"{tracks}.{name}" for ours, name in track.items()},
        jet={ours: f"{jets}.{name}" for ours, name in (("pt", "pt"), ("eta", "eta"), ("phi", "phi"))}
        | {"mass": f"{jets}.m", "label": f"{jets}.HadronConeExclTruthLabelID?"},
        labels=_FLAVOURS | {15: "tau"},
        radius=radius,
        tree="CollectionTree",
        unit="MeV",
        length_unit="mm",
    )


def _edm4hep() -> ColumnMap:
    """FCC and other key4hep files: jets point at ranges of an index column."""
    names = ("x", "y", "z")
    particles = {f"p{name}": f"ReconstructedParticles.momentum.{name}" for name in names}
    jet = {f"p{name}": f"Jet.momentum.{name}" for name in names}
    return ColumnMap(
        particles=particles
        | {"energy": "ReconstructedParticles.energy", "charge": "ReconstructedParticles.charge"}
        | {"pid": "ReconstructedParticles.PDG?"},
        jet=jet | {"energy": "Jet.energy"},
        begin="Jet.particles_begin",
        end="Jet.particles_end",
        candidate_index="_Jet_particles.index",
        tree="events",
        unit="GeV",
    )


def _flavour_dump() -> ColumnMap:
    """ATLAS flavour-tagging dumps: compound datasets, in MeV when old and GeV when new."""
    track = {"pt": "pt", "deta": "deta", "dphi": "dphi", "mask": "valid"}
    displaced = {"d0": "d0", "d0_err": "d0Uncertainty", "dz": "z0SinTheta"}
    displaced |= {"dz_err": "z0SinThetaUncertainty"}
    return ColumnMap(
        particles={ours: f"tracks.{name}" for ours, name in track.items()}
        | {ours: f"tracks.{name}?" for ours, name in displaced.items()},
        jet={"pt": "jets.pt", "eta": "jets.eta", "label": "jets.HadronConeExclTruthLabelID"}
        | {"mass": "jets.mass?", "event": "jets.eventNumber?"},
        labels=_FLAVOURS | {15: "tau"},
        length_unit="mm",
    )


PRESETS: Mapping[str, ColumnMap] = {
    "nanoaod": _cms("Jet", "PFCand", "JetPFCand", "pfCandIdx"),
    "nanoaod_fatjet": _cms("FatJet", "PFCand", "FatJetPFCand", "pfCandIdx"),
    "pfnano": _cms("Jet", "PFCands", "JetPFCands", "pFCandsIdx"),
    "pfnano_fatjet": _cms("FatJet", "PFCands", "FatJetPFCands", "pFCandsIdx"),
    "delphes": _delphes("Jet", 0.5),
    "delphes_fatjet": _delphes("FatJet", 0.8),
    "physlite": _physlite("AnalysisJetsAuxDyn", 0.4),
    "physlite_fatjet": _physlite("AnalysisLargeRJetsAuxDyn", 1.0),
    "edm4hep": _edm4hep(),
    "atlas_flavour_dump": _flavour_dump(),
}
"""Column maps by name: official and private NanoAOD, Delphes, PHYSLITE, EDM4hep, flavour-tagging dumps."""


def column_map(mapping: ColumnMap | Mapping[str, Any] | str) -> ColumnMap:
    """Return a `ColumnMap` from one, from a mapping of its fields, or from a preset's name.

    Raises
    ------
    ConfigError
        For an unknown preset or field; the message names the nearest.

    Examples
    --------
    >>> column_map("delphes").tree
    'Delphes'
    """
    if isinstance(mapping, ColumnMap):
        return mapping
    if isinstance(mapping, str):
        if mapping not in PRESETS:
            raise ConfigError(f"there is no preset '{mapping}'; {nearest(mapping, PRESETS)}")
        return PRESETS[mapping]
    return from_mapping(ColumnMap, mapping)
