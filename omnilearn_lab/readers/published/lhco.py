"""LHC Olympics R&D: whole events as one wide data frame, or already clustered into two jets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets.columns import cluster_sequence, momenta_from_eta
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import axis_of, eta_from_rapidity, jet_axis, padded_rows
from omnilearn_lab.readers.storage import open_frame
from omnilearn_lab.settings import settings


class Clustered(NamedTuple):
    """Jets of a block of events.

    ``event`` : int array, shape (N,); ``counts`` : particles per jet, shape (N,);
    ``particle`` : rows of the input particles, jet after jet, shape (T,).
    """

    event: np.ndarray
    counts: np.ndarray
    particle: np.ndarray


def cluster_leading(
    momenta: Mapping[str, np.ndarray], counts: np.ndarray, *, radius: float = 1.0, n_jets: int = 2
) -> Clustered:
    """Find the hardest anti-kT jets of every event, by falling pt.

    Parameters
    ----------
    momenta
        ``px``, ``py``, ``pz``, ``energy`` of all particles, event after event, each shape (T,) [GeV].
    counts : int array, shape (events,)
    radius
        Jet radius R.
    n_jets
        Jets per event; events may have fewer.

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.

    References
    ----------
    Cacciari, Salam and Soyez, arXiv 0802.1189 and 1111.6097.

    Examples
    --------
    >>> px = np.array([9.0, -5.0, 1.0])
    >>> event = {"px": px, "py": 0 * px, "pz": 0 * px, "energy": np.abs(px)}
    >>> cluster_leading(event, np.array([3])).counts.tolist()
    [2, 1]
    """
    import awkward as ak

    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    flat = [np.asarray(momenta[name], dtype=np.float64) for name in ("px", "py", "pz", "energy")]
    sequence = cluster_sequence(flat, counts[filled], "antikt_algorithm", radius)
    jets, members = sequence.inclusive_jets(), sequence.constituent_index()
    order = ak.argsort(jets.px**2 + jets.py**2, axis=1, ascending=False)[:, :n_jets]
    chosen = members[order] + starts
    per_event = np.asarray(ak.num(chosen))
    sizes = np.asarray(ak.flatten(ak.num(chosen, axis=2)))
    return Clustered(np.repeat(filled, per_event), sizes, np.asarray(ak.flatten(chosen, axis=None)))


_SLOTS = 700
_CLASSES = ("background", "signal")
_SMALL_BLOCK = 1000  # events clustered at once


@settings
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
    storage: ClassVar = open_frame

    def count_rows(self, source: Source) -> int:
        """Return the number of events of the file's only frame, whatever its key."""
        width = len(source.file.columns)
        if width - 3 * _SLOTS not in (0, 1):
            raise DataFileError(
                f"'{source.path}' has {width} columns; {3 * _SLOTS} or {3 * _SLOTS + 1} are expected "
                "(is it the file of features?)"
            )
        return source.file.n_rows

    def block(self, source: Source, rows: slice) -> RawJets:
        """Cluster some events."""
        edges = [*range(rows.start, rows.stop, _SMALL_BLOCK), rows.stop] if rows.stop > rows.start else []
        parts = [
            self._events(source.file, (first, last), rows.start)
            for first, last in zip(edges[:-1], edges[1:], strict=True)
        ]
        raw = _joined(parts or [self._events(source.file, (rows.start, rows.start), rows.start)])
        n_events = max(rows.stop - rows.start, 0)
        tell_left_out(source.path, n_events - len(np.unique(raw.row)), n_events, "events without particles")
        return raw

    def _events(self, frame: Any, rows: tuple[int, int], start: int) -> RawJets:
        table = frame.rows(*rows).matrix(frame.columns)
        particles = table[:, : 3 * _SLOTS].reshape(-1, _SLOTS, 3)
        mask = np.any(particles != 0, axis=-1)
        flat, counts = padded_rows({n: particles[..., i] for i, n in enumerate(("pt", "eta", "phi"))}, mask)
        momenta = momenta_from_eta(**flat)
        clusters = cluster_leading(momenta, counts, radius=self.radius)
        members = {name: values[clusters.particle] for name, values in momenta.items()}
        jet = jet_axis(members, clusters.counts)
        event = clusters.event
        both = np.bincount(event, weights=clusters.counts, minlength=len(table)).astype(np.int64)
        jet |= {"event": rows[0] + event, "rank": (np.diff(event, prepend=-1) == 0).astype(np.int64)}
        jet["dijet_mass"] = jet_axis(members, both)["mass"][event]
        if table.shape[1] > 3 * _SLOTS:
            jet["label"] = table[event, -1]
        raw = RawJets(members, clusters.counts, jet, rows[0] - start + event)
        return _harder(raw, self.min_pt)


def _harder(raw: RawJets, min_pt: float) -> RawJets:
    """Drop particles below ``min_pt``; ``jet`` stays that of all particles."""
    keep = ~(np.hypot(raw.particles["px"], raw.particles["py"]) < min_pt)  # not-a-number is seen
    index = np.repeat(np.arange(len(raw.counts)), raw.counts)[keep]
    particles = {name: values[keep] for name, values in raw.particles.items()}
    return replace(raw, particles=particles, counts=np.bincount(index, minlength=len(raw.counts)))


def _joined(parts: list[RawJets]) -> RawJets:
    return RawJets(
        {name: np.concatenate([p.particles[name] for p in parts]) for name in parts[0].particles},
        np.concatenate([p.counts for p in parts]),
        {name: np.concatenate([p.jet[name] for p in parts]) for name in parts[0].jet},
        np.concatenate([p.rows for p in parts]),
    )


@settings
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

    def count_rows(self, source: Source) -> int:
        """Return the number of events, once the class of the file is known."""
        self._label(source.path)
        return len(source["data" if "data" in source else "constituents"])

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read the two jets of some events."""
        columns, mask, axis = (_from_v1 if "data" in source else _from_notebook)(source, rows)
        particles, counts = padded_rows(columns, mask & ~(columns["pt"] < self.min_pt))
        event = np.repeat(np.arange(rows.start, rows.start + len(mask) // 2), 2)
        jet = axis | {"event": event, "rank": np.arange(len(event)) % 2}
        jet |= {"label": np.full(len(event), self._label(source.path)), "dijet_mass": _invariant_mass(axis)}
        return RawJets(particles, counts, jet, event - rows.start)

    def _label(self, path: Path) -> int:
        found = [i for i, name in enumerate(_CLASSES) if name in path.name]
        if self.label is None and len(found) != 1:
            raise DataFileError(
                f"'{path}': neither 'background' nor 'signal' is in the file name; rename it, "
                "or give label=0 or label=1"
            )
        return found[0] if self.label is None else self.label


def _from_v1(source: Source, rows: slice) -> tuple[dict, np.ndarray, dict]:
    data = _single_jets(source.rows("data", rows))
    jet = _single_jets(source.rows("jet", rows))
    columns = {"deta": data[..., 0], "dphi": data[..., 1], "pt": np.exp(data[..., 3])}
    columns["energy"] = np.exp(data[..., 5])
    axis = {name: jet[:, i] for i, name in enumerate(("pt", "eta", "phi", "mass", "multiplicity"))}
    return columns, np.any(data != 0, axis=-1), axis


def _from_notebook(source: Source, rows: slice) -> tuple[dict, np.ndarray, dict]:
    stored, jet = (_single_jets(source.rows(name, rows)) for name in ("constituents", "jet_data"))
    mask = source.rows("mask", rows).reshape(stored.shape[:2]) != 0
    pt, eta, phi, mass = (jet[:, i] for i in range(4))
    if "_rel" in source.path.name:  # there the jet's second column is a rapidity
        eta = eta_from_rapidity(pt, eta, mass)
        momentum, deta, dphi = stored[..., 0] * pt[:, None], stored[..., 1], stored[..., 2]
    else:
        momentum, deta, dphi = stored[..., 0], stored[..., 1] - eta[:, None], stored[..., 2] - phi[:, None]
    columns = {"deta": deta, "dphi": dphi, "pt": momentum, "energy": momentum * np.cosh(deta + eta[:, None])}
    return columns, mask, {"pt": pt, "eta": eta, "phi": phi, "mass": mass}


def _single_jets(values: np.ndarray) -> np.ndarray:
    """Events of two jets, shape (N, 2, ...), as jets, shape (2 N, ...)."""
    return values.reshape(-1, *values.shape[2:])


def _invariant_mass(axis: dict[str, np.ndarray]) -> np.ndarray:
    """Mass of each pair of jets, repeated for both."""
    pairs = (axis[name].astype(np.float64).reshape(-1, 2) for name in ("pt", "eta", "phi", "mass"))
    total = [values.sum(axis=1) for values in momenta_from_eta(*pairs).values()]
    return np.repeat(axis_of(*total)["mass"], 2)
