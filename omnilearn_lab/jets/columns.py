"""Columns of jets and particles: number types, order, validity; particle species as a detector sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from omnilearn_lab.errors import JetsError, MissingDependencyError, translated

PARTICLE_FIELDS = ("deta", "dphi", "pt", "energy")
JET_FIELDS = ("pt", "eta", "phi", "mass", "multiplicity")
_INTEGER_FIELDS = frozenset({"pid", "label", "origin", "event"})
_REAL_FIELDS = frozenset({*PARTICLE_FIELDS, *JET_FIELDS, "charge", "weight", "d0", "d0_err", "dz", "dz_err"})
_LARGEST = np.iinfo(np.int64).max


def cast(name: str, values: Any) -> np.ndarray:
    """Bring a column to float32, int32 or int64; no digit of an integer is lost."""
    values = np.asarray(values)
    if name in _INTEGER_FIELDS:
        return np.ascontiguousarray(_whole(name, values), dtype=np.int64)
    if name in _REAL_FIELDS or values.dtype.kind not in "iub":
        return np.ascontiguousarray(values, dtype=np.float32)
    if values.dtype == np.uint64 and values.size and values.max() > _LARGEST:
        raise JetsError(f"'{name}' holds {values.max()}; integers up to {_LARGEST} can be kept")
    is_short = values.dtype.itemsize < 4 or values.dtype == np.int32
    return np.ascontiguousarray(values, dtype=np.int32 if is_short else np.int64)


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    """Refuse fractions where whole numbers are meant: 0.9999 is not class 0."""
    if values.dtype.kind not in "f":
        return values
    if values.size and not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise JetsError(f"'{name}' is not finite at row {row}; remove or repair that row")
    is_part = values != np.rint(values)
    if is_part.any():
        raise JetsError(
            f"'{name}' is {values[is_part][0]:g} at row {int(np.argmax(is_part))}; whole numbers are needed "
            "(a target of a regression, or a probability, goes into a column of another name)"
        )
    return values


def wrap(phi: np.ndarray) -> np.ndarray:
    """Bring angles into (-pi, pi]."""
    if not phi.size or (phi.min() > -np.pi and phi.max() <= np.float32(np.pi)):
        return phi.astype(np.float32, copy=False)
    turns = np.ceil((phi.astype(np.float64) - np.float32(np.pi)) / (2 * np.pi))
    return np.where(turns != 0, phi - turns * 2 * np.pi, phi).astype(np.float32)


def sorted_by_pt(columns: dict[str, np.ndarray], offsets: np.ndarray) -> dict[str, np.ndarray]:
    """Return particle columns with every jet's particles by falling pt."""
    rises = np.diff(columns["pt"]) > 0
    rises[offsets[1:-1] - 1] = False  # from one jet to the next
    if not rises.any():  # as in files of ours; looking is far cheaper than sorting
        return columns
    index = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((-columns["pt"], index))
    return {name: values[order] for name, values in columns.items()}


def take_rows(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which entries the given rows of a jagged array hold, and the offsets of these rows.

    Examples
    --------
    >>> take_rows(np.array([0, 2, 3]), np.array([1, 0]))
    (array([2, 0, 1]), array([0, 1, 3]))
    """
    counts = np.diff(offsets)[rows]
    made = np.concatenate([[0], np.cumsum(counts)])
    return np.arange(made[-1]) + np.repeat(offsets[:-1][rows] - made[:-1], counts), made


def jet_kinematics(total: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi and mass of four-momenta, shape (N, 4)."""
    px, py, pz, energy = total.T
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(pz / pt)
    return {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": mass}


def momenta_from_eta(
    pt: np.ndarray, eta: np.ndarray, phi: np.ndarray, mass: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """Return ``px, py, pz, energy`` from transverse momentum, pseudorapidity, azimuth and mass [GeV].

    Examples
    --------
    >>> momenta_from_eta(np.array([3.0]), np.zeros(1), np.zeros(1), 4.0)["energy"].tolist()
    [5.0]
    """
    pt, eta, phi = (np.asarray(values, dtype=np.float64) for values in (pt, eta, phi))
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "energy": np.hypot(pt * np.cosh(eta), mass),
    }


def cluster_sequence(momenta: Sequence[np.ndarray], counts: np.ndarray, algorithm: str, radius: float) -> Any:
    """Cluster the particles of many events with FastJet (E scheme), without its banner.

    Parameters
    ----------
    momenta : four float arrays, shape (T,)
        px, py, pz, E of all particles, event after event [GeV].
    counts : int array, shape (N,)
        Particles of each event.
    algorithm : str
        As FastJet calls it: ``"antikt_algorithm"``, say.
    radius : float
        R.

    Returns
    -------
    fastjet.ClusterSequence
        Of N events.

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.

    References
    ----------
    M. Cacciari, G. Salam, G. Soyez, FastJet user manual, arXiv 1111.6097.
    """
    import awkward as ak

    with translated(MissingDependencyError, "clustering needs FastJet", "pip install 'fastjet>=3.5'"):
        import fastjet
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    record = ak.zip(dict(zip(("px", "py", "pz", "E"), momenta, strict=True)), with_name="Momentum4D")
    definition = fastjet.JetDefinition(getattr(fastjet, algorithm), radius)
    return fastjet.ClusterSequence(ak.unflatten(record, counts), definition)


def check_names(kind: str, columns: Mapping[str, Any], needed: tuple[str, ...]) -> None:
    """Refuse columns among which a needed one is missing."""
    missing = [name for name in needed if name not in columns]
    if missing:
        raise JetsError(
            f"{kind} fields {missing} are missing; found {sorted(columns)}; add them by these names"
        )


def check_offsets(offsets: np.ndarray) -> None:
    """Refuse offsets that do not start at 0 or hold an empty jet."""
    if offsets.ndim != 1 or len(offsets) < 1 or offsets[0] != 0:
        raise JetsError("offsets must be one-dimensional and start at 0 (one more entry than jets)")
    counts = np.diff(offsets)
    if np.any(counts < 1):
        row = int(np.argmax(counts < 1))
        raise JetsError(f"jet {row} has {counts[row]} particles; drop empty jets before building Jets")


def check_arrays(kind: str, columns: Mapping[str, np.ndarray], size: int) -> None:
    """Refuse columns of another length, or with numbers that are not finite."""
    for name, values in columns.items():
        if np.shape(values) != (size,):
            raise JetsError(f"{kind} field '{name}' has shape {np.shape(values)}; ({size},) is needed")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise JetsError(f"{kind} field '{name}' is not finite at row {row}; remove or repair that row")


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
    codes, charges, _ = _table()
    place = np.minimum(np.searchsorted(codes, pid), len(codes) - 1)
    charge = charges[place]
    is_odd = (codes[place] != pid) | (charge % 3 != 0)
    if is_odd.any():
        raise JetsError(
            f"particle code {pid[is_odd][0]} is no hadron, lepton or photon of the PDG's table; give the "
            "charges, or say which convention the codes follow (quarks are no constituents of jets)"
        )
    return charge // 3


def mass_of(pid: np.ndarray) -> np.ndarray:
    """Return masses [GeV] of PDG codes; 0 for codes that are not in the PDG's table.

    Examples
    --------
    >>> mass_of(np.array([211, -2212, 22, 0])).round(3).tolist()
    [0.14, 0.938, 0.0, 0.0]
    """
    pid = np.asarray(pid, dtype=np.int64)
    codes, _, masses = _table()
    place = np.minimum(np.searchsorted(codes, pid), len(codes) - 1)
    return np.where(codes[place] == pid, masses[place], 0.0)


@cache
def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All codes of the PDG's table, in rising order, three times their charges, and their masses [GeV]."""
    from particle import Particle

    entries = {int(entry.pdgid): entry for entry in Particle.all() if entry.three_charge is not None}
    codes = sorted({*entries, 0})
    rows = [(entries[c].three_charge, (entries[c].mass or 0.0) / 1000) if c else (0, 0.0) for c in codes]
    charges, masses = zip(*rows, strict=True)
    return np.array(codes), np.array(charges), np.array(masses)


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
