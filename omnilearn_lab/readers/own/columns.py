"""How columns of a file of the user's own map to particles and jets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.settings import from_mapping, settings

Unit = Literal["auto", "GeV", "MeV"]
_MOMENTUM_SETS = ({"pt", "eta", "phi"}, {"px", "py", "pz", "energy"}, {"pt", "deta", "dphi"})


@settings
class ColumnMap:
    """Which column of a file holds what.

    A row of the file is a jet (particle columns are jagged, or rectangular with zeros), or an
    event (jet columns are jagged, too); in events, particles belong to jets by index columns, or to the
    nearest jet within ``radius``.

    Attributes
    ----------
    particles
        Our name to the file's. Needed: ``pt, eta, phi``, or ``px, py, pz, energy``, or
        ``pt, deta, dphi``; optional: ``energy`` or ``mass`` (else massless), ``pid``, ``charge``, ``d0``,
        ``d0_err``, ``dz``, ``dz_err``, ``mask`` (which slots are real), and any other. A value such as
        ``"=22"`` is a constant.
    jet
        Likewise ``pt, eta, phi, mass, label, weight`` and others; without ``pt`` the jet is the sum
        of its particles.
    more
        Further collections of particles, with the columns of ``particles`` (missing ones are 0).
    jet_index
        Column with the number of the jet, for each candidate of ``candidate_index``.
    candidate_index
        Column with the row of the candidate in ``particles``; none if ``jet_index`` runs along them.
    radius
        Cone for particles without index columns.
    tree
        ROOT tree; the only one when empty.
    unit
        ``auto`` guesses MeV when the median jet pt is above 7000.
    label
        Label of all jets, for files with one class.
    class_names
        Names of the classes.

    Examples
    --------
    >>> ColumnMap(particles={"pt": "trk_pt", "eta": "trk_eta", "phi": "trk_phi"}, unit="MeV").unit
    'MeV'
    """

    particles: Mapping[str, str]
    jet: Mapping[str, str] = field(default_factory=dict)
    more: tuple[Mapping[str, str], ...] = ()
    jet_index: str = ""
    candidate_index: str = ""
    radius: float = 0.0
    tree: str = ""
    unit: Unit = "auto"
    label: int | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(needed <= set(self.particles) for needed in _MOMENTUM_SETS):
            raise ConfigError(
                f"particles has {sorted(self.particles)}; pt, eta, phi, or px, py, pz, energy, "
                "or pt, deta, dphi are needed"
            )
        if "pt" in self.jet and not {"eta", "phi"} <= set(self.jet) and "deta" not in self.particles:
            raise ConfigError("jet has 'pt' without 'eta' and 'phi'; give all three, or none of them")


def _pf_nano(jets: str, links: str, mass: str) -> ColumnMap:
    candidate = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "pid": "pdgId", "charge": "charge"}
    candidate |= {"d0": "d0", "d0_err": "d0Err", "dz": "dz", "dz_err": "dzErr"}
    return ColumnMap(
        particles={ours: f"PFCands_{name}" for ours, name in candidate.items()},
        jet={"pt": f"{jets}_pt", "eta": f"{jets}_eta", "phi": f"{jets}_phi", "mass": f"{jets}_{mass}"},
        jet_index=f"{links}_jetIdx",
        candidate_index=f"{links}_pFCandsIdx",
        tree="Events",
        unit="GeV",
    )


def _delphes(jets: str, radius: float) -> ColumnMap:
    jet = {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass"}
    tower = {"pt": "ET", "eta": "Eta", "phi": "Phi", "energy": "E"}
    return ColumnMap(
        particles={
            **{ours: f"EFlowTrack.{name}" for ours, name in {"pt": "PT", "eta": "Eta", "phi": "Phi"}.items()},
            "pid": "EFlowTrack.PID",
            "charge": "EFlowTrack.Charge",
        },
        more=(
            {ours: f"EFlowPhoton.{name}" for ours, name in tower.items()} | {"pid": "=22"},
            {ours: f"EFlowNeutralHadron.{name}" for ours, name in tower.items()} | {"pid": "=130"},
        ),
        jet={ours: f"{jets}.{name}" for ours, name in jet.items()},
        radius=radius,
        tree="Delphes",
        unit="GeV",
    )


PRESETS: Mapping[str, ColumnMap] = {
    "nanoaod": _pf_nano("Jet", "JetPFCands", "mass"),
    "nanoaod_fatjet": _pf_nano("FatJet", "FatJetPFCands", "mass"),
    "delphes": _delphes("Jet", 0.5),
    "delphes_fatjet": _delphes("FatJet", 0.8),
}
"""Column maps by name: NanoAOD with particle-flow candidates, and Delphes trees."""


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
