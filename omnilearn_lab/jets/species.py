"""Particle species as a detector sees them: a fixed table, never derived from the data at hand."""

from __future__ import annotations

import numpy as np

SPECIES: tuple[int, ...] = (0, -211, -13, -11, 11, 13, 22, 130, 211)
"""PDG codes by species index; index 0 is "unknown or padding".

Charged hadrons are merged into +-211 and neutral hadrons into 130, as OmniLearned's recipe does.
That recipe takes positions in the sorted list of codes present, which lets negative hadrons share
index 0 with padding; here index 0 is kept free, so nine embedding rows serve eight species.
"""

_CODES = np.array(SPECIES)
_ORDER = np.argsort(_CODES)


def reduce_pid(pid: np.ndarray, charge: np.ndarray | None = None) -> np.ndarray:
    """Map any PDG code onto `SPECIES`.

    Parameters
    ----------
    pid : int array, any shape
        PDG codes; 0 stays 0.
    charge : array, same shape, optional
        Electric charges in units of e. Without it, hadrons are charged unless they are
        K0L, K0S, K0, n, Lambda, Sigma0 or Xi0, with the sign of their code.

    Returns
    -------
    int32 array, same shape
        Codes in `SPECIES`.

    Examples
    --------
    >>> reduce_pid(np.array([2212, -321, 2112, 22, 11, 0]))
    array([ 211, -211,  130,   22,   11,    0], dtype=int32)
    """
    pid = np.asarray(pid)
    size = np.abs(pid)
    if charge is None:
        neutral = np.isin(size, (130, 310, 311, 111, 2112, 3122, 3212, 3322))
        charge = np.where(neutral, 0, np.sign(pid))
    hadron = np.where(np.asarray(charge) > 0, 211, np.where(np.asarray(charge) < 0, -211, 130))
    kept = np.isin(size, (11, 13, 22)) | (pid == 0)
    return np.where(kept, pid, hadron).astype(np.int32)


def index_from_pid(pid: np.ndarray) -> np.ndarray:
    """Return the position of each code in `SPECIES`; codes outside it are reduced first.

    Examples
    --------
    >>> index_from_pid(np.array([211, 22, 0, -211]))
    array([8, 6, 0, 1])
    """
    reduced = reduce_pid(pid)
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
