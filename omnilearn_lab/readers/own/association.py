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
    (N,); ``rows`` : row of each jet, counted from the first one read; ``rank`` : place of each jet in its
    event, none where a row is a jet; ``layout`` : in words.
    """

    particles: dict[str, np.ndarray]
    counts: np.ndarray
    jet: dict[str, np.ndarray]
    rows: np.ndarray
    rank: np.ndarray | None
    layout: str


class _Cloud(NamedTuple):
    """Particles of a table: columns, counts per row (or per jet, when nested), and jets per row."""

    particles: dict[str, np.ndarray]
    counts: np.ndarray
    jets_per_row: np.ndarray | None


def gather(table: Table, columns: ColumnMap, rows: tuple[int, int]) -> Flat:
    """Read rows of a table and sort particles into jets.

    Raises
    ------
    DataFileError
        When columns have lengths that do not fit, or events carry no way to find a jet's particles.
    """
    jet = {ours: table.column(name, *rows) for ours, name in columns.jet.items()}
    per_event = {name: column.counts for name, column in jet.items() if column.counts is not None}
    is_one_hot = set(per_event) == {"label"} and not columns.jet_index and not columns.radius
    cloud = _particles(table, columns, rows)
    if cloud.jets_per_row is not None:
        per_event["the particles"] = cloud.jets_per_row
    if not per_event or (is_one_hot and cloud.jets_per_row is None):
        _check_rows(table, jet, len(cloud.counts))
        values = {
            n: c.values if c.counts is None else c.values.reshape(len(c.counts), -1) for n, c in jet.items()
        }
        where = np.arange(len(cloud.counts))
        return Flat(cloud.particles, cloud.counts, values, where, None, "a row is a jet")
    jets_per_event = _common(table, per_event, "jet columns")
    values = {
        n: c.values if c.counts is not None else np.repeat(c.values, jets_per_event) for n, c in jet.items()
    }
    rows_of_jets = np.repeat(np.arange(len(jets_per_event)), jets_per_event)
    rank = np.arange(len(rows_of_jets)) - np.repeat(
        np.cumsum(jets_per_event) - jets_per_event, jets_per_event
    )
    particles, counts, how = _assign(table, columns, rows, (cloud, values, jets_per_event))
    return Flat(particles, counts, values, rows_of_jets, rank, f"a row is an event; {how}")


def _assign(
    table: Table,
    columns: ColumnMap,
    rows: tuple[int, int],
    about: tuple[_Cloud, dict[str, np.ndarray], np.ndarray],
) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
    """Return particles jet after jet, their numbers, and how they were found."""
    cloud, jet, jets_per_event = about
    if cloud.jets_per_row is not None:
        return cloud.particles, cloud.counts, "particles are nested in jets"
    counts = (cloud.counts, jets_per_event)
    if columns.begin:
        take, owner = _by_range(table, columns, rows, counts)
        how = "particles belong to jets by ranges"
    elif columns.jet_index:
        take, owner = _by_index(table, columns, rows, counts)
        how = "particles belong to jets by index"
    elif columns.radius > 0:
        take, owner = _by_cone(cloud.particles, jet, counts, columns.radius)
        how = f"particles belong to the nearest jet within {columns.radius:g}"
    else:
        raise DataFileError(
            f"'{table.path}': rows are events with several jets; say which particles belong to a jet, "
            "with jet_index=..., begin=... and end=..., or radius=..."
        )
    order = np.argsort(owner, kind="stable")
    chosen = {name: column[take[order]] for name, column in cloud.particles.items()}
    real = _real(chosen)  # indices count entries without momentum, too
    chosen = {name: column[real] for name, column in chosen.items()}
    return chosen, np.bincount(owner[order][real], minlength=int(jets_per_event.sum())), how


def _check_rows(table: Table, jet: Mapping[str, Column], n_rows: int) -> None:
    for name, column in jet.items():
        length = len(column.values) if column.counts is None else len(column.counts)
        if length != n_rows:
            raise DataFileError(
                f"'{table.path}': jet column '{name}' has {length} rows and the particles have {n_rows}"
            )


def _common(table: Table, counts: Mapping[str, np.ndarray], what: str) -> np.ndarray:
    first, reference = next(iter(counts.items()))
    for name, other in counts.items():
        if not np.array_equal(other, reference):
            row = int(np.argmax(other != reference)) if len(other) == len(reference) else 0
            raise DataFileError(
                f"'{table.path}': {what} '{first}' and '{name}' differ in length (row {row} of this block); "
                "do they belong to the same collection?"
            )
    return reference


def _particles(table: Table, columns: ColumnMap, rows: tuple[int, int]) -> _Cloud:
    """Read all collections of particles, joined row by row, without padding."""
    padding = not (columns.jet_index or columns.begin)  # indices count all entries, empty ones too
    parts = [_collection(table, names, rows, padding) for names in (columns.particles, *columns.more)]
    if len(parts) == 1:
        return parts[0]
    if any(part.jets_per_row is not None for part in parts):
        raise DataFileError(f"'{table.path}': nested collections cannot be joined; map one of them")
    row = np.concatenate([np.repeat(np.arange(len(part.counts)), part.counts) for part in parts])
    order = np.argsort(row, kind="stable")
    joined = {}
    for name in dict.fromkeys(name for part in parts for name in part.particles):
        pieces = [part.particles.get(name, _default(name, part.particles)) for part in parts]
        joined[name] = np.concatenate(pieces)[order]
    return _Cloud(joined, np.sum([part.counts for part in parts], axis=0), None)


def _default(name: str, part: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a collection without a column has there: massless energy, no track, and else 0."""
    if name == "energy" and {"pt", "eta"} <= set(part):
        return np.hypot(part["pt"] * np.cosh(part["eta"]), part.get("mass", 0.0))
    size = len(next(iter(part.values())))
    return np.full(size, -1.0) if name in ("d0_err", "dz_err") else np.zeros(size)


def _collection(table: Table, names: Mapping[str, str], rows: tuple[int, int], padding: bool) -> _Cloud:
    read = {n: table.column(name, *rows) for n, name in names.items() if not name.startswith("=")}
    flat = [name for name, column in read.items() if column.counts is None]
    if flat:
        raise DataFileError(
            f"'{table.path}': particle column '{names[flat[0]]}' has one value per row, not a list"
        )
    counts = _common(table, {names[n]: column.counts for n, column in read.items()}, "particle columns")
    depths = {column.inner is None for column in read.values()}
    if len(depths) > 1:
        flat, nested = (
            next(n for n, c in read.items() if (c.inner is None) is is_flat) for is_flat in (True, False)
        )
        raise DataFileError(
            f"'{table.path}': particle column '{names[flat]}' is a list, and '{names[nested]}' a list of "
            "lists; map columns of one depth (or take one column of a larger one with 'name[3]')"
        )
    jets_per_row = None
    if False in depths:
        inner = {names[n]: column.inner for n, column in read.items()}
        jets_per_row, counts = counts, _common(table, inner, "particle columns")
    values = {name: column.values for name, column in read.items()}
    size = len(next(iter(values.values())))
    values |= {n: np.full(size, float(v[1:])) for n, v in names.items() if v.startswith("=")}
    real = _real(values) if padding or "mask" in values else np.ones(size, dtype=bool)
    kept = {name: column[real] for name, column in values.items() if name != "mask"}
    index = np.repeat(np.arange(len(counts)), counts)
    return _Cloud(kept, np.bincount(index[real], minlength=len(counts)), jets_per_row)


def _real(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which entries are particles: by mask, else by a momentum that is not zero."""
    if "mask" in values:
        return values["mask"].astype(bool)
    if "q_over_p" in values:
        return values["q_over_p"] != 0
    momentum = values["pt"] if "pt" in values else values["px"] ** 2 + values["py"] ** 2
    return momentum != 0


def _by_index(
    table: Table, columns: ColumnMap, rows: tuple[int, int], counts: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each linked particle, and the jet it belongs to."""
    per_event, jets_per_event = counts
    links = table.column(columns.jet_index, *rows)
    event = np.repeat(np.arange(len(per_event)), links.counts)
    first_particle, first_jet = (np.cumsum(c) - c for c in (per_event, jets_per_event))
    if columns.candidate_index:
        stored = table.column(columns.candidate_index, *rows)
        names = {columns.jet_index: links.counts, columns.candidate_index: stored.counts}
        _common(table, names, "index columns")
        candidate = stored.values.astype(np.int64)
    else:
        candidate = np.arange(len(event)) - np.repeat(np.cumsum(links.counts) - links.counts, links.counts)
    jet = links.values.astype(np.int64)
    good = (jet >= 0) & (jet < jets_per_event[event]) & (candidate >= 0) & (candidate < per_event[event])
    return (first_particle[event] + candidate)[good], (first_jet[event] + jet)[good]


def _by_range(
    table: Table, columns: ColumnMap, rows: tuple[int, int], counts: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Likewise, where jets say which entries of an index column are theirs."""
    per_event, jets_per_event = counts
    begin, end = (table.column(name, *rows) for name in (columns.begin, columns.end))
    names = {columns.begin: begin.counts, columns.end: end.counts, "the jets": jets_per_event}
    _common(table, names, "jet columns")
    event_of_jet = np.repeat(np.arange(len(per_event)), jets_per_event)
    entries_per_event, entries = per_event, None
    if columns.candidate_index:
        column = table.column(columns.candidate_index, *rows)
        entries_per_event, entries = column.counts, column.values.astype(np.int64)
    first, last = begin.values.astype(np.int64), end.values.astype(np.int64)
    good = (first >= 0) & (last <= entries_per_event[event_of_jet])
    length = np.where(good, np.maximum(last - first, 0), 0)
    owner = np.repeat(np.arange(len(length)), length)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
    event = event_of_jet[owner]
    entry = first[owner] + within
    if entries is not None:
        entry = entries[(np.cumsum(entries_per_event) - entries_per_event)[event] + entry]
    inside = (entry >= 0) & (entry < per_event[event])
    return ((np.cumsum(per_event) - per_event)[event] + entry)[inside], owner[inside]


def _by_cone(
    particles: Mapping[str, np.ndarray],
    jet: Mapping[str, np.ndarray],
    counts: tuple[np.ndarray, np.ndarray],
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return particles within ``radius`` of a jet, and the nearest jet of their event."""
    per_event, jets_per_event = counts
    (eta, phi), (jet_eta, jet_phi) = _direction(particles), _direction(jet)
    event = np.repeat(np.arange(len(per_event)), per_event)
    first_jet = np.cumsum(jets_per_event) - jets_per_event
    best = np.full(len(event), np.inf)
    owner = np.zeros(len(event), dtype=np.int64)
    for number in range(int(jets_per_event.max(initial=0))):
        here = np.flatnonzero(jets_per_event[event] > number)
        candidate = first_jet[event[here]] + number
        dphi = np.angle(np.exp(1j * (phi[here] - jet_phi[candidate])))
        distance = np.hypot(eta[here] - jet_eta[candidate], dphi)
        nearer = distance < best[here]
        best[here[nearer]], owner[here[nearer]] = distance[nearer], candidate[nearer]
    inside = np.flatnonzero(best < radius)
    return inside, owner[inside]


def _direction(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return pseudorapidity and azimuth, whichever way a momentum is given."""
    if "px" in columns:
        pt = np.hypot(columns["px"], columns["py"])
        safe = np.where(pt > 0, pt, 1)
        return np.arcsinh(columns["pz"] / safe), np.arctan2(columns["py"], columns["px"])
    if "theta" in columns:
        return -np.log(np.tan(columns["theta"] / 2)), columns["phi"]
    return columns["eta"], columns["phi"]
