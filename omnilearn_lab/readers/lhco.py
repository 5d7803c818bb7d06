"""LHC Olympics R&D: whole events as one wide data frame, or already clustered into two jets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, jet_axis, open_h5, padded_rows
from omnilearn_lab.readers.clustering import cluster_leading
from omnilearn_lab.readers.frames import open_frame

__all__ = ["Lhco", "LhcoClustered"]

_SLOTS = 700
_CLASSES = ("background", "signal")
_SMALL_BLOCK = 1000  # events clustered at once


@dataclass(frozen=True)
class Lhco(Reader):
    """Zenodo 6466204: rows of 700 x (pt, eta, phi), zero-padded, then the label (black boxes have none).

    Every event is clustered with anti-kT R = 1.0; its two hardest jets become two rows of ``Jets``,
    with columns ``event`` (row of the file), ``rank`` (0 or 1) and ``dijet_mass`` [GeV].
    Particles are massless.

    Attributes
    ----------
    radius
        Jet radius R.
    min_pt
        Smallest particle pt kept [GeV], after clustering.

    References
    ----------
    Kasieczka et al., arXiv 2101.08320.

    Examples
    --------
    >>> Lhco().radius
    1.0
    """

    radius: float = 1.0
    min_pt: float = 0.0

    name: ClassVar[str] = "lhco"
    class_names: ClassVar[tuple[str, ...]] = _CLASSES

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the frame; the file has one, under any key."""
        with open_frame(path) as frame:
            yield Rows(frame.n_rows, lambda start, stop: self._rows(frame, path, start, stop))

    def _rows(self, frame: Any, path: Path, start: int, stop: int) -> RawJets:
        edges = [*range(start, stop, _SMALL_BLOCK), stop]
        parts = [
            self._block(frame.select(first, last).to_numpy(np.float64), path, (first, first - start))
            for first, last in zip(edges[:-1], edges[1:], strict=True)
        ]
        return _joined(parts or [self._block(np.zeros((0, 3 * _SLOTS + 1)), path, (start, 0))])

    def _block(self, table: np.ndarray, path: Path, first: tuple[int, int]) -> RawJets:
        if table.shape[1] - 3 * _SLOTS not in (0, 1):
            raise DataFileError(
                f"'{path}' has {table.shape[1]} columns; {3 * _SLOTS} or {3 * _SLOTS + 1} are expected "
                "(is it the file of features?)"
            )
        particles = table[:, : 3 * _SLOTS].reshape(-1, _SLOTS, 3)
        mask = np.any(particles != 0, axis=-1)
        flat, counts = padded_rows({n: particles[..., i] for i, n in enumerate(("pt", "eta", "phi"))}, mask)
        momenta = _massless(flat["pt"], flat["eta"], flat["phi"])
        found = cluster_leading(momenta, counts, radius=self.radius)
        label = table[:, -1] if table.shape[1] > 3 * _SLOTS else None
        members = {name: values[found.particle] for name, values in momenta.items()}
        jet = jet_axis(members, found.counts) | _dijets(members, found.counts, found.event, len(table))
        jet |= {"event": first[0] + found.event}
        if label is not None:
            jet["label"] = label[found.event]
        return _harder(RawJets(members, found.counts, jet, first[1] + found.event), self.min_pt)


def _massless(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "energy": pt * np.cosh(eta),
    }


def _dijets(
    members: dict[str, np.ndarray], counts: np.ndarray, event: np.ndarray, n_events: int
) -> dict[str, np.ndarray]:
    """Return the mass of the two jets together, and the rank of each."""
    of_particle = np.repeat(event, counts)
    px, py, pz, energy = (
        np.bincount(of_particle, weights=members[name], minlength=n_events)
        for name in ("px", "py", "pz", "energy")
    )
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
    first = np.concatenate([[True], event[1:] != event[:-1]]) if len(event) else np.zeros(0, dtype=bool)
    return {"dijet_mass": mass[event], "rank": (~first).astype(np.int64)}


def _harder(raw: RawJets, min_pt: float) -> RawJets:
    """Drop particles below ``min_pt``; ``jet`` stays that of all particles."""
    keep = np.hypot(raw.particles["px"], raw.particles["py"]) >= min_pt
    index = np.repeat(np.arange(len(raw.counts)), raw.counts)[keep]
    particles = {name: values[keep] for name, values in raw.particles.items()}
    return RawJets(particles, np.bincount(index, minlength=len(raw.counts)), raw.jet, raw.rows)


def _joined(parts: list[RawJets]) -> RawJets:
    return RawJets(
        {name: np.concatenate([p.particles[name] for p in parts]) for name in parts[0].particles},
        np.concatenate([p.counts for p in parts]),
        {name: np.concatenate([p.jet[name] for p in parts]) for name in parts[0].jet},
        np.concatenate([p.rows for p in parts]),
    )


@dataclass(frozen=True)
class LhcoClustered(Reader):
    """Converted LHC Olympics files with two jets per event, in either of two layouts.

    The layout of the FastJet-LHCO notebook has ``jet_data`` (N, 2, 4), ``constituents``
    (N, 2, 279, 3) and ``mask``; in files named ``*_rel`` constituents are relative to the jet. The
    layout that OmniLearn's training reads has ``data`` (N, 2, 279, 7) and ``jet`` (N, 2, 5). A row
    of the file is an event, and gives two rows of ``Jets`` with ``event``, ``rank`` and
    ``dijet_mass``. The label follows from "background" or "signal" in the file name.

    Attributes
    ----------
    label
        0 or 1, for files with another name.
    min_pt
        Smallest particle pt kept [GeV]; OmniLearn's loader uses 1.

    Examples
    --------
    >>> LhcoClustered(label=1).class_names
    ('background', 'signal')
    """

    label: int | None = None
    min_pt: float = 0.0

    name: ClassVar[str] = "lhco_clustered"
    class_names: ClassVar[tuple[str, ...]] = _CLASSES

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        label = self._label(path)
        with open_h5(path) as file:
            is_v1 = "data" in file
            n_rows = len(file["data"] if is_v1 else column(file, "constituents", path))
            read = _from_v1 if is_v1 else _from_notebook
            yield Rows(n_rows, lambda start, stop: self._rows(read, file, path, (start, stop, label)))

    def _label(self, path: Path) -> int:
        found = [i for i, name in enumerate(_CLASSES) if name in path.name]
        if self.label is None and len(found) != 1:
            raise DataFileError(
                f"'{path}': neither 'background' nor 'signal' is in the file name; rename it, "
                "or give label=0 or label=1"
            )
        return found[0] if self.label is None else self.label

    def _rows(self, read: Any, file: Any, path: Path, what: tuple[int, int, int]) -> RawJets:
        start, stop, label = what
        columns, mask, axis = read(file, path, slice(start, stop))
        particles, counts = padded_rows(columns, mask & (columns["pt"] >= self.min_pt))
        event = np.repeat(np.arange(start, start + len(mask) // 2), 2)
        jet = axis | {"event": event, "rank": np.arange(len(event)) % 2, "label": np.full(len(event), label)}
        jet["dijet_mass"] = _invariant_mass(axis)
        return RawJets(particles, counts, jet, event - start)


def _from_v1(file: Any, path: Path, rows: slice) -> tuple[dict, np.ndarray, dict]:
    data = file["data"][rows].reshape(-1, *file["data"].shape[2:])
    jet = column(file, "jet", path)[rows].reshape(-1, 5)
    columns = {"deta": data[..., 0], "dphi": data[..., 1], "pt": np.exp(data[..., 3])}
    columns["energy"] = np.exp(data[..., 5])
    axis = {name: jet[:, i] for i, name in enumerate(("pt", "eta", "phi", "mass", "multiplicity"))}
    return columns, np.any(data != 0, axis=-1), axis


def _from_notebook(file: Any, path: Path, rows: slice) -> tuple[dict, np.ndarray, dict]:
    stored = file["constituents"][rows].reshape(-1, *file["constituents"].shape[2:])
    mask = column(file, "mask", path)[rows].reshape(stored.shape[:2]) > 0
    jet = column(file, "jet_data", path)[rows].reshape(-1, 4)
    pt, eta, phi, mass = (jet[:, i] for i in range(4))
    if "_rel" in path.name:  # there the jet's second column is a rapidity
        eta = np.arcsinh(np.hypot(pt, mass) * np.sinh(eta) / np.where(pt > 0, pt, 1))
        momentum, deta, dphi = stored[..., 0] * pt[:, None], stored[..., 1], stored[..., 2]
    else:
        momentum, deta, dphi = stored[..., 0], stored[..., 1] - eta[:, None], stored[..., 2] - phi[:, None]
    columns = {"deta": deta, "dphi": dphi, "pt": momentum, "energy": momentum * np.cosh(deta + eta[:, None])}
    return columns, mask, {"pt": pt, "eta": eta, "phi": phi, "mass": mass}


def _invariant_mass(axis: dict[str, np.ndarray]) -> np.ndarray:
    """Mass of each pair of jets, repeated for both."""
    names = ("pt", "eta", "phi", "mass")
    pt, eta, phi, mass = (axis[name].astype(np.float64).reshape(-1, 2) for name in names)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    squared = sum(s * c.sum(axis=1) ** 2 for s, c in ((1, energy), (-1, px), (-1, py), (-1, pz)))
    return np.repeat(np.sqrt(np.maximum(squared, 0)), 2)
