"""Particle species as a detector sees them: a fixed table, never derived from the data at hand."""

from __future__ import annotations

from functools import cache

import numpy as np

from omnilearn_lab.errors import JetsError

SPECIES: tuple[int, ...] = (0, -211, -13, -11, 11, 13, 22, 130, 211)
"""PDG codes by species index; index 0 is "unknown or padding".

Charged hadrons are merged into +-211 and neutral hadrons into 130, as OmniLearned's recipe does.
That recipe takes positions in the sorted list of codes present, which lets negative hadrons share
index 0 with padding; here index 0 is kept free, so nine embedding rows serve eight species.
"""

_CODES = np.array(SPECIES)
_ORDER = np.argsort(_CODES)
_KEPT = (11, 13, 22)


def reduce_pid(pid: np.ndarray, charge: np.ndarray | None = None) -> np.ndarray:
    """Map any PDG code onto `SPECIES`.

    Parameters
    ----------
    pid : int array, any shape
        PDG codes; 0 stays 0. Neutrinos and all other neutral particles but photons become 130.
    charge : array, same shape, optional
        Electric charges in units of e. Without it they come from the PDG's numbering scheme.

    Returns
    -------
    int32 array, same shape
        Codes in `SPECIES`.

    Raises
    ------
    JetsError
        Without ``charge``, for codes that no particle has, and for quarks and diquarks, whose charge
        is a fraction.

    Examples
    --------
    >>> reduce_pid(np.array([2212, -321, 2112, 22, 11, 0, 3112, -3112, 12]))
    array([ 211, -211,  130,   22,   11,    0, -211,  211,  130], dtype=int32)
    """
    pid = np.asarray(pid)
    sign = np.sign(pdg_charge(pid) if charge is None else np.asarray(charge))
    hadron = np.where(sign > 0, 211, np.where(sign < 0, -211, 130))
    return np.where(np.isin(np.abs(pid), _KEPT) | (pid == 0), pid, hadron).astype(np.int32)


def pdg_charge(pid: np.ndarray) -> np.ndarray:
    """Return the electric charge of PDG codes, in units of e; 0 for the code 0.

    Raises
    ------
    JetsError
        For codes that no particle has, and for quarks and diquarks.

    Examples
    --------
    >>> pdg_charge(np.array([3112, -3312, 14, 15, 421])).tolist()
    [-1, 1, 0, -1, 0]
    """
    pid = np.asarray(pid)
    if pid.dtype.kind not in "iu":
        raise JetsError(f"particle codes are {pid.dtype}; whole PDG codes are needed")
    codes, charges = _table()
    place = np.minimum(np.searchsorted(codes, pid), len(codes) - 1)
    charge = charges[place]
    is_odd = (codes[place] != pid) | (charge % 3 != 0)
    if is_odd.any():
        raise JetsError(
            f"particle code {pid[is_odd][0]} is no hadron, lepton or photon of the PDG's table; give the "
            "charges, or say which convention the codes follow (quarks are no constituents of jets)"
        )
    return charge // 3


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """All codes of the PDG's table, in rising order, and three times their charges."""
    from particle import Particle

    charges = {int(entry.pdgid): entry.three_charge for entry in Particle.all()} | {0: 0}
    codes = sorted(code for code, charge in charges.items() if charge is not None)
    return np.array(codes), np.array([charges[code] for code in codes])


def index_from_pid(pid: np.ndarray) -> np.ndarray:
    """Return the position of each code in `SPECIES`; codes outside it are reduced first.

    Examples
    --------
    >>> index_from_pid(np.array([211, 22, 0, -211]))
    array([8, 6, 0, 1])
    """
    pid = np.asarray(pid)
    reduced = pid if np.isin(pid, _CODES).all() else reduce_pid(pid)
    return _ORDER[np.searchsorted(_CODES[_ORDER], reduced)]


def pid_from_index(index: np.ndarray) -> np.ndarray:
    """Return the PDG code of each species index: the inverse of `index_from_pid`.

    Examples
    --------
    >>> pid_from_index(np.array([8, 6, 0, 1]))
    array([ 211,   22,    0, -211], dtype=int32)
    """
    return _CODES[np.asarray(index)].astype(np.int32)


def charge_of(pid: np.ndarray) -> np.ndarray:
    """Return the electric charge of reduced codes, in units of e (-1, 0 or +1).

    Examples
    --------
    >>> charge_of(np.array([211, 11, -13, 22, 130, 0]))
    array([ 1., -1.,  1.,  0.,  0.,  0.], dtype=float32)
    """
    pid = np.asarray(pid)
    charge = np.where(np.abs(pid) == 211, np.sign(pid), 0)
    lepton = np.isin(np.abs(pid), (11, 13))
    return np.where(lepton, -np.sign(pid), charge).astype(np.float32)
