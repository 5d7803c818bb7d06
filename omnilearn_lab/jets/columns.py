"""Columns of jets and particles: their number types, their order, and what makes them valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnilearn_lab.errors import JetsError

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


def jet_kinematics(total: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi and mass of four-momenta, shape (N, 4)."""
    px, py, pz, energy = total.T
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(pz / pt)
    return {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": mass}


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
