"""Shapes, masses and axes that several formats share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets.columns import jet_kinematics

Convention = Literal["physical", "omnilearn"]
"""Physics as it is, or exactly what the OmniLearn conversion wrote."""


def padded_rows(
    columns: Mapping[str, np.ndarray], mask: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Flatten rectangular columns, each shape (N, P), to the slots where ``mask`` is true.

    Returns
    -------
    columns
        Each shape (T,).
    counts : int array, shape (N,)

    Examples
    --------
    >>> padded_rows({"pt": np.array([[3.0, 0.0], [2.0, 1.0]])}, np.array([[True, False], [True, True]]))
    ({'pt': array([3., 2., 1.])}, array([1, 2]))
    """
    return {name: values[mask] for name, values in columns.items()}, mask.sum(axis=1)


def whole_codes(values: np.ndarray, path: Path) -> np.ndarray:
    """Return codes of particles, stored as real numbers, as integers; not-a-number is none.

    Raises
    ------
    DataFileError
        When a code is not finite.

    Examples
    --------
    >>> whole_codes(np.array([210.99999, 22.0]), Path("a.h5")).tolist()
    [211, 22]
    """
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise DataFileError(
            f"'{path}': the code of a particle is {values[wrong][0]} ({int(wrong.sum())} of them here); a "
            "whole number is needed: repair the file, or fetch it again"
        )
    return np.rint(values).astype(np.int64)


def jet_axis(particles: Mapping[str, np.ndarray], counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi, mass of the sum of ``px, py, pz, energy``; zeros for empty jets.

    Examples
    --------
    >>> columns = {"px": np.array([3.0, 1.0]), "py": np.zeros(2), "pz": np.zeros(2), "energy": np.ones(2)}
    >>> jet_axis(columns, np.array([2, 0]))["pt"].tolist()
    [4.0, 0.0]
    """
    index = np.repeat(np.arange(len(counts)), counts)
    names = ("px", "py", "pz", "energy")
    return axis_of(*(np.bincount(index, weights=particles[n], minlength=len(counts)) for n in names))


def axis_of(px: np.ndarray, py: np.ndarray, pz: np.ndarray, energy: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``pt, eta, phi, mass`` of summed momenta [GeV]; eta is 0 where there is no pt.

    Examples
    --------
    >>> axis_of(*np.array([[0.0], [0.0], [0.0], [2.0]]))["eta"].tolist()
    [0.0]
    """
    axis = jet_kinematics(np.stack([px, py, pz, energy], axis=1))
    return axis | {"eta": np.where(axis["pt"] > 0, axis["eta"], 0.0)}


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


def eta_from_rapidity(pt: np.ndarray, rapidity: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return the pseudorapidity of a massive jet; 0 where pt is 0.

    Examples
    --------
    >>> eta_from_rapidity(np.array([3.0, 0.0]), np.array([1.0, 1.0]), np.zeros(2)).tolist()
    [1.0, 0.0]
    """
    pz = np.hypot(pt, mass) * np.sinh(rapidity)
    return np.arcsinh(np.divide(pz, pt, out=np.zeros_like(np.asarray(pz)), where=np.asarray(pt) > 0))


def published_charge(pid: np.ndarray) -> np.ndarray:
    """Return the "charge" of the OmniLearn conversion: the sign of the PDG code, except for 22 and 130.

    Neutrons get +-1 and electrons and muons the opposite of their charge.

    Examples
    --------
    >>> published_charge(np.array([211, 2112, 11, 22, 130])).tolist()
    [1, 1, 1, 0, 0]
    """
    return np.sign(pid) * ~np.isin(pid, (22, 130))


def pid_from_cms(pid: np.ndarray) -> np.ndarray:
    """Return PDG codes of CMS candidates, whose 1 and 2 are deposits in the forward calorimeter.

    Examples
    --------
    >>> pid_from_cms(np.array([1, 2, 211])).tolist()
    [130, 22, 211]
    """
    return np.where(pid == 1, 130, np.where(pid == 2, 22, pid))


def pid_from_flags(flags: Mapping[str, np.ndarray], charge: np.ndarray) -> np.ndarray:
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
