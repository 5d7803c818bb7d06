"""Detector cards: the numbers of the fast simulation, nothing else.

The cards themselves stand in ``cards.yaml``. The formulas are those of the Delphes 3 cards for CMS and ATLAS
(de Favereau et al., arXiv 1307.6346).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.settings import from_mapping, load_yaml, settings

Row = tuple[float, ...]


@settings
class TrackerCard:
    """Tracks: efficiency, momentum resolution, impact-parameter resolution.

    Resolutions are sqrt(a^2 + (b pt)^2) per range of abs(eta); the impact parameters have
    sigma = sqrt(a^2 + (b pt^-c)^2) [mm].
    """

    eta_edges: Row = (0.5, 1.5, 2.5)
    hadron_a: Row = (0.06, 0.10, 0.25)
    hadron_b: Row = (1.3e-3, 1.7e-3, 3.1e-3)
    electron_a: Row = (0.03, 0.05, 0.15)
    electron_b: Row = (1.3e-3, 1.7e-3, 3.1e-3)
    muon_a: Row = (0.01, 0.015, 0.025)
    muon_b: Row = (1.0e-4, 1.5e-4, 3.5e-4)
    tev_muon_loss: bool = True  # efficiency x exp(0.5 - 5e-4 pt) above 1 TeV
    crowding: float = 1.0  # efficiency x crowding^(n - 1), n charged particles in one ECAL cell
    nuclear_loss: bool = False  # hadrons lost to nuclear interactions
    impact_edges: Row = (0.9, 1.4, 2.5)
    d0: tuple[Row, ...] = ((0.0108, 0.0864, 0.775), (0.0098, 0.1035, 0.800), (0.0140, 0.1633, 0.885))
    dz: tuple[Row, ...] = ((0.0307, 0.1160, 0.747), (0.0344, 0.2020, 0.786), (0.0792, 0.6597, 0.868))
    impact_by_polar_angle: bool = False  # use pt sqrt(sin theta) for d0, and dz = sigma / sin theta
    weightless: bool = False  # true momenta that carry no weight against the towers they point to


@settings
class CalorimeterCard:
    """Towers: grid, energy resolution and thresholds.

    Parameters
    ----------
    eta_edges : tuple of float
        Tower edges, ascending, symmetric.
    phi_bins : tuple of (largest abs(eta), number of phi bins)
        Taken at the lower edge of abs(eta) of a tower.
    resolution : tuple of (largest abs(eta), S, N, C, shape)
        sigma^2 = factor(eta)^2 (C^2 E^2 + S^2 E + N^2); factor is 1, or 1 + 0.64 eta^2 ("barrel"),
        or 2.16 + 5.6 (abs(eta) - 2)^2 ("endcap").
    min_energy : float
        [GeV]
    significance : float
        Smallest energy in units of its resolution.
    """

    eta_edges: Row
    phi_bins: tuple[tuple[float, int], ...]
    resolution: tuple[tuple[float, float, float, float, str], ...]
    min_energy: float
    significance: float


@settings
class DetectorCard:
    """A cylinder with a solenoid field, a tracker and two calorimeters."""

    name: str
    field: float  # [T]
    radius: float  # of the field and of the calorimeter face [m]
    half_length: float  # [m]
    tracker: TrackerCard
    ecal: CalorimeterCard
    hcal: CalorimeterCard
    hadrons_in_ecal: bool = False  # hadrons share energy: none with probability 0.35, else Beta(1.1, 1.9)
    non_linearity: float = 0.0  # hadron response 1 + x clip(log10(E / 30 GeV), -1, 1)


def card(name: str) -> DetectorCard:
    """Return a detector card by name.

    Raises
    ------
    SimulationError
        For an unknown name.

    Examples
    --------
    >>> card("CMS-like").field
    3.8
    """
    if name not in CARDS:
        raise SimulationError(f"no detector card '{name}'; {nearest(name, CARDS)}")
    return CARDS[name]


def _card(name: str, fields: Mapping[str, Any]) -> DetectorCard:
    parts = ("ecal", "hcal")
    towers = {part: {**fields[part], "eta_edges": _edges(fields[part]["eta_edges"])} for part in parts}
    return from_mapping(DetectorCard, {"name": name, **fields, **towers})


def _edges(parts: Sequence[float | Mapping[str, float]]) -> list[float]:
    """Edges on both sides of zero, from numbers and ranges on one."""
    ranges = (p if isinstance(p, float) else p["from"] + p["step"] * np.arange(p["n"]) for p in parts)
    edges = np.unique(np.round(np.concatenate([np.atleast_1d(edges) for edges in ranges]), 6))
    return np.unique(np.concatenate([-edges, edges])).tolist()


CARDS: Mapping[str, DetectorCard] = MappingProxyType(
    {name: _card(name, fields) for name, fields in load_yaml(Path(__file__).with_suffix(".yaml")).items()}
)
"""The cards by name."""
