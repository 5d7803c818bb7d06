"""Which particles belong to which jet, in files of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.own.columns import ColumnMap
from omnilearn_lab.readers.own.tables import Column, Table


class Flat(NamedTuple):
    """Particles jet after jet, as the file names their units.

    ``particles`` : columns, each shape (T,); ``counts`` : shape (N,); ``jet`` : columns, each shape
    (N,); ``rows`` : row of each jet, counted from the first one read; ``layout`` : in words.
    """

    particles: dict[str, np.ndarray]
    counts: np.ndarray
    jet: dict[str, np.ndarray]
    rows: np.ndarray
    layout: str


def gather(table: Table, columns: ColumnMap, rows: tuple[int, int]) -> Flat:
    """Read rows of a table and sort particles into jets.

    Raises
    ------
    DataFileError
        When columns have lengths that do not fit, or events carry no way to find a jet's particles.
    """
    jet = {ours: table.column(name, *rows) for ours, name in columns.jet.items()}
    per_event = [name for name, column in jet.items() if column.counts is not None]
    particles, counts = _particles(table, columns, rows)
    if not per_event:
        values = {name: column.values for name, column in jet.items()}
        return Flat(particles, counts, values, np.arange(len(counts)), "a row is a jet")
    jets_per_event = jet[per_event[0]].counts
    for name in per_event:
        if not np.array_equal(jet[name].counts, jets_per_event):
            raise DataFileError(f"'{table.name}': jet columns '{per_event[0]}' and '{name}' differ in length")
    values = {
        n: c.values if c.counts is not None else np.repeat(c.values, jets_per_event) for n, c in jet.items()
    }
    row = np.repeat(np.arange(len(jets_per_event)), jets_per_event)
    if columns.jet_index:
        take, owner = _by_index(table, columns, rows, (counts, jets_per_event))
        how = "particles belong to jets by index"
    elif columns.radius > 0:
        take, owner = _by_cone(particles, values, (counts, jets_per_event), columns.radius)
        how = f"particles belong to the nearest jet within {columns.radius:g}"
    else:
        raise DataFileError(
            f"'{table.name}': rows are events with several jets; say which particles belong to a jet, "
            "with jet_index=... or radius=..."
        )
    order = np.argsort(owner, kind="stable")
    chosen = {name: column[take[order]] for name, column in particles.items()}
    return Flat(chosen, np.bincount(owner, minlength=len(row)), values, row, f"a row is an event; {how}")


def _particles(
    table: Table, columns: ColumnMap, rows: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read all collections of particles, joined row by row, without padding."""
    parts = [_collection(table, columns.particles, rows)]
    parts += [_collection(table, further, rows) for further in columns.more]
    if len(parts) == 1:
        return parts[0]
    row = np.concatenate([np.repeat(np.arange(len(counts)), counts) for _, counts in parts])
    order = np.argsort(row, kind="stable")
    names = dict.fromkeys(name for part, _ in parts for name in part)
    joined = {}
    for name in names:
        pieces = [part[name] if name in part else _default(name, part) for part, _ in parts]
        joined[name] = np.concatenate(pieces)[order]
    return joined, np.sum([counts for _, counts in parts], axis=0)


def _default(name: str, part: Mapping[str, np.ndarray]) -> np.ndarray:
    if name == "energy" and {"pt", "eta"} <= set(part):
        return np.hypot(part["pt"] * np.cosh(part["eta"]), part.get("mass", 0.0))
    return np.zeros(len(next(iter(part.values()))))


def _collection(
    table: Table, names: Mapping[str, str], rows: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    found = {n: table.column(name, *rows) for n, name in names.items() if not name.startswith("=")}
    counts = _common_counts(table, found)
    values = {name: column.values for name, column in found.items()}
    values |= {
        n: np.full(len(next(iter(values.values()))), float(name[1:]))
        for n, name in names.items()
        if name.startswith("=")
    }
    real = _real(values)
    if real.all():
        values.pop("mask", None)
        return values, counts
    index = np.repeat(np.arange(len(counts)), counts)
    kept = {name: column[real] for name, column in values.items() if name != "mask"}
    return kept, np.bincount(index[real], minlength=len(counts))


def _real(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which entries are particles: by mask, else by a momentum that is not zero."""
    if "mask" in values:
        return values["mask"].astype(bool)
    momentum = values["pt"] if "pt" in values else values["px"] ** 2 + values["py"] ** 2
    return momentum != 0


def _common_counts(table: Table, found: Mapping[str, Column]) -> np.ndarray:
    first, reference = next(iter(found.items()))
    for name, column in found.items():
        if column.counts is None or reference.counts is None:
            raise DataFileError(f"'{table.name}': particle column '{name}' has one value per row, not a list")
        if not np.array_equal(column.counts, reference.counts):
            raise DataFileError(f"'{table.name}': particle columns '{first}' and '{name}' differ in length")
    return reference.counts


def _by_index(
    table: Table, columns: ColumnMap, rows: tuple[int, int], counts: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each linked particle, and the jet it belongs to."""
    per_event, jets_per_event = counts
    links = table.column(columns.jet_index, *rows)
    event = np.repeat(np.arange(len(per_event)), links.counts)
    first_particle, first_jet = (np.cumsum(c) - c for c in (per_event, jets_per_event))
    if columns.candidate_index:
        candidate = table.column(columns.candidate_index, *rows).values.astype(np.int64)
    else:
        candidate = np.arange(len(event)) - np.repeat(np.cumsum(links.counts) - links.counts, links.counts)
    jet = links.values.astype(np.int64)
    good = (jet >= 0) & (jet < jets_per_event[event]) & (candidate >= 0) & (candidate < per_event[event])
    return (first_particle[event] + candidate)[good], (first_jet[event] + jet)[good]


def _by_cone(
    particles: Mapping[str, np.ndarray],
    jet: Mapping[str, np.ndarray],
    counts: tuple[np.ndarray, np.ndarray],
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return particles within ``radius`` of a jet, and the nearest jet of their event."""
    per_event, jets_per_event = counts
    event = np.repeat(np.arange(len(per_event)), per_event)
    first_jet = np.cumsum(jets_per_event) - jets_per_event
    best = np.full(len(event), np.inf)
    owner = np.zeros(len(event), dtype=np.int64)
    for number in range(int(jets_per_event.max(initial=0))):
        here = np.flatnonzero(jets_per_event[event] > number)
        candidate = first_jet[event[here]] + number
        deta = particles["eta"][here] - jet["eta"][candidate]
        dphi = np.angle(np.exp(1j * (particles["phi"][here] - jet["phi"][candidate])))
        distance = np.hypot(deta, dphi)
        nearer = distance < best[here]
        best[here[nearer]], owner[here[nearer]] = distance[nearer], candidate[nearer]
    inside = np.flatnonzero(best < radius)
    return inside, owner[inside]
