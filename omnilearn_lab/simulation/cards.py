"""Detector cards: the numbers of the fast simulation, nothing else.

The formulas are those of the Delphes 3 cards for CMS and ATLAS (de Favereau et al., arXiv 1307.6346).
``JETCLASS_LIKE`` is the card JetClass was made with, whose towers alone set the energy scale of hadrons.
``FULL_LIKE``, a calibration of this package, stands for a full simulation: same means, another response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from omnilearn_lab.errors import SimulationError, nearest

Row = tuple[float, ...]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def _mirror(*positive: float | np.ndarray) -> Row:
    edges = np.concatenate([np.atleast_1d(np.asarray(p, dtype=float)) for p in positive])
    edges = np.unique(np.round(edges, 6))
    return tuple(np.unique(np.concatenate([-edges, edges])).tolist())


_ECAL_EDGES = _mirror(0.0174 * np.arange(171), 3.125 + 0.175 * np.arange(10), 5.0)
_ECAL_PHI = ((2.958, 360), (5.0, 36))
_CMS_HCAL_EDGES = _mirror(
    0.087 * np.arange(20), 1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95,
    3.125 + 0.175 * np.arange(9), 4.7, 5.0,
)  # fmt: skip
_ATLAS_HCAL_EDGES = _mirror(0.1 * np.arange(26), 2.6, 2.8, 3.0, 3.2 + 0.3 * np.arange(6), 4.9)

CMS_LIKE = DetectorCard(
    name="CMS-like",
    field=3.8,
    radius=1.29,
    half_length=3.00,
    tracker=TrackerCard(),
    ecal=CalorimeterCard(
        _ECAL_EDGES,
        _ECAL_PHI,
        (
            (1.5, 0.11, 0.40, 0.008, "barrel"),
            (2.5, 0.11, 0.40, 0.008, "endcap"),
            (5.0, 2.08, 0.0, 0.107, ""),
        ),
        min_energy=0.5,
        significance=2.0,
    ),
    hcal=CalorimeterCard(
        _CMS_HCAL_EDGES,
        ((1.653, 72), (4.35, 36), (5.0, 18)),
        ((3.0, 1.5, 0.0, 0.05, ""), (5.0, 2.7, 0.0, 0.13, "")),
        min_energy=1.0,
        significance=1.0,
    ),
)
"""CMS as in the Delphes card, with impact parameters as in the CMS tracking paper (arXiv 1405.6569)."""

ATLAS_LIKE = DetectorCard(
    name="ATLAS-like",
    field=2.0,
    radius=1.15,
    half_length=3.51,
    tracker=TrackerCard(
        tev_muon_loss=False,
        impact_edges=(2.5,),
        d0=((0.011, 0.073, 1.0),),
        dz=((0.040, 0.10, 1.0),),
        impact_by_polar_angle=True,
    ),
    ecal=CalorimeterCard(
        _ECAL_EDGES,
        _ECAL_PHI,
        ((3.2, 0.101, 0.0, 0.0017, ""), (5.0, 0.285, 0.0, 0.035, "")),
        min_energy=0.5,
        significance=2.0,
    ),
    hcal=CalorimeterCard(
        _ATLAS_HCAL_EDGES,
        ((2.5, 36), (5.0, 18)),
        ((1.7, 0.5205, 1.59, 0.0302, ""), (3.2, 0.706, 0.0, 0.05, ""), (5.0, 1.0, 0.0, 0.0942, "")),
        min_energy=1.0,
        significance=2.0,
    ),
)
"""ATLAS as in the Delphes card; impact parameters as expected with the insertable layer."""

JETCLASS_LIKE = replace(CMS_LIKE, name="JetClass-like", tracker=replace(CMS_LIKE.tracker, weightless=True))
"""The Delphes card of JetClass and JetClass-II (arXiv 2202.03772; jet-universe/jetclass_generation).

It is the CMS card, with one module between tracks and calorimeters that smears impact parameters. The
module is told a momentum resolution of zero: it puts back the true momenta and leaves the tracks without
weight. A tower without significant excess then scales its tracks to the energy it measured, so that upward
fluctuations, which become neutral hadrons beside an unchanged track in the CMS card (masses of W, Z and top
jets 2 to 4 % high), are balanced by downward ones. Tracks below the threshold of their tower vanish, which
thins out soft constituents. Nothing is tuned: the ten-class means of multiplicity, ln pt and ln E of the
published set come out within 1 % with multiple interactions and all decays on.
"""

FULL_LIKE = replace(
    CMS_LIKE,
    name="full-like",
    tracker=replace(
        CMS_LIKE.tracker,
        eta_edges=(0.9, 1.4, 2.5),
        hadron_a=(0.008, 0.011, 0.020),
        hadron_b=(1.5e-4, 2e-4, 4e-4),
        crowding=0.92,
        nuclear_loss=True,
    ),
    ecal=replace(CMS_LIKE.ecal, min_energy=0.3, significance=1.5),
    hcal=replace(CMS_LIKE.hcal, min_energy=0.8, significance=1.0),
    hadrons_in_ecal=True,
    non_linearity=0.06,
)
"""CMS-like with crowded tracks lost, nuclear interactions, realistic track resolution and shared showers."""

_ALL = (CMS_LIKE, ATLAS_LIKE, JETCLASS_LIKE, FULL_LIKE)
CARDS: Mapping[str, DetectorCard] = MappingProxyType({c.name: c for c in _ALL})
"""The cards by name."""


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
