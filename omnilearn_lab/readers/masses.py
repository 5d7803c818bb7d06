"""Masses of the particles that published files name by PDG code only."""

from __future__ import annotations

import numpy as np

__all__ = ["mass_of", "momenta_from_rapidity"]

_MASSES = {  # Review of Particle Physics, arXiv 2023; [GeV]
    11: 0.000511,
    13: 0.105658,
    22: 0.0,
    111: 0.134977,
    130: 0.497611,
    211: 0.139570,
    310: 0.497611,
    321: 0.493677,
    2112: 0.939565,
    2212: 0.938272,
    3112: 1.197449,
    3122: 1.115683,
    3222: 1.18937,
    3312: 1.32171,
    3322: 1.31486,
    3334: 1.67245,
}
_CODES = np.array(sorted(_MASSES))
_VALUES = np.array([_MASSES[code] for code in _CODES])


def mass_of(pid: np.ndarray) -> np.ndarray:
    """Return masses [GeV] of PDG codes; 0 for codes that are not in the table.

    Examples
    --------
    >>> mass_of(np.array([211, -2212, 22, 0])).round(3).tolist()
    [0.14, 0.938, 0.0, 0.0]
    """
    size = np.abs(np.asarray(pid, dtype=np.int64))
    place = np.minimum(np.searchsorted(_CODES, size), len(_CODES) - 1)
    return np.where(_CODES[place] == size, _VALUES[place], 0.0)


def momenta_from_rapidity(
    pt: np.ndarray, rapidity: np.ndarray, phi: np.ndarray, mass: np.ndarray
) -> dict[str, np.ndarray]:
    """Return ``px, py, pz, energy`` from transverse momentum, rapidity, azimuth and mass [GeV].

    Examples
    --------
    >>> momenta_from_rapidity(np.array([3.0]), np.zeros(1), np.zeros(1), np.array([4.0]))["energy"].tolist()
    [5.0]
    """
    pt, rapidity = np.asarray(pt, dtype=np.float64), np.asarray(rapidity, dtype=np.float64)
    transverse_mass = np.hypot(pt, mass)
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": transverse_mass * np.sinh(rapidity),
        "energy": transverse_mass * np.cosh(rapidity),
    }
