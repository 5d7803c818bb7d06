"""ATLAS OmniFold Z + jets: a table of 24 observables and many weights per event, without particles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn_lab.errors import DataFileError, nearest
from omnilearn_lab.machine import reading
from omnilearn_lab.readers.frames import Frame, open_frame

_TRACK_JET = ("pT", "y", "phi", "m", "tau1", "tau2", "tau3", "Ntracks")
ATLAS_OBSERVABLES: tuple[str, ...] = (
    "pT_ll",
    "y_ll",
    "pT_l1",
    "pT_l2",
    "eta_l1",
    "eta_l2",
    "phi_l1",
    "phi_l2",
    *(f"{name}_trackj1" for name in _TRACK_JET),
    *(f"{name}_trackj2" for name in _TRACK_JET),
)
"""The unfolded observables: dilepton system and leptons, then the two leading track jets."""

_WEIGHT = "weights_nominal"


@dataclass(frozen=True)
class EventTable:
    """Events as columns.

    Attributes
    ----------
    observables
        Columns of `ATLAS_OBSERVABLES`, each shape (N,); momenta in GeV.
    weights
        Weight columns by name, each shape (N,); ``weights_nominal`` sums to the cross-section [fb].
    """

    observables: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.observables.values())))

    def cross_section(self, weight: str = _WEIGHT) -> float:
        """Return the sum of one weight column [fb]."""
        if weight not in self.weights:
            raise DataFileError(f"there is no weight '{weight}'; {nearest(weight, self.weights)}")
        return float(self.weights[weight].sum())


def read_atlas_omnifold(
    path: str | os.PathLike[str], *, start: int = 0, stop: int | None = None
) -> EventTable:
    """Read rows ``start:stop`` of ``multifold*.h5`` (Zenodo 11507450, store key ``df``).

    Parameters
    ----------
    path
    start, stop

    Raises
    ------
    DataFileError
        When the file is missing or damaged, or lacks an observable.

    References
    ----------
    ATLAS Collaboration, arXiv 2405.20041.
    """
    tables = list(iterate_atlas_omnifold(path, chunk=1 << 62, start=start, stop=stop))
    if not tables:
        raise DataFileError(f"'{path}' has no rows from {start} on")
    return tables[0]


def iterate_atlas_omnifold(
    path: str | os.PathLike[str], *, chunk: int = 100_000, start: int = 0, stop: int | None = None
) -> Iterator[EventTable]:
    """Yield tables of ``chunk`` events at a time."""
    path = Path(path)
    with reading(path, "atlas_omnifold"), open_frame(path, "df") as frame:
        end = frame.n_rows if stop is None else min(stop, frame.n_rows)
        for first in range(start, end, chunk):
            yield _table(frame, (first, min(first + chunk, end)), path)


def _table(frame: Frame, rows: tuple[int, int], path: Path) -> EventTable:
    weights = [name for name in map(str, frame.columns) if name.startswith(("weight", "target"))]
    block = frame.rows(*rows)
    columns = {name: block[name] for name in (*ATLAS_OBSERVABLES, *weights)}
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise DataFileError(
                f"'{path}', row {rows[0] + int(np.argmin(np.isfinite(values)))}: '{name}' is not finite; "
                "repair the file, or fetch it again"
            )
    return EventTable(
        {name: columns[name] for name in ATLAS_OBSERVABLES}, {name: columns[name] for name in weights}
    )
