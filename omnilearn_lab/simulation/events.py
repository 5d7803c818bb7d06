"""Events from Pythia 8.3 as flat arrays, the jets that FastJet finds in them, and what belongs to a jet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab.errors import MissingDependencyError, SimulationError, nearest, translated
from omnilearn_lab.jets.columns import cluster_sequence, jet_kinematics, take_rows


@dataclass(frozen=True)
class Particles:
    """T particles of E events, as named flat arrays.

    Parameters
    ----------
    columns : mapping of name to array, shape (T,)
        Always ``event`` (int, not falling), ``px``, ``py``, ``pz``, ``energy`` [GeV]. Usually ``pid``
        and ``charge`` [e]; generated particles add ``x``, ``y``, ``z`` [mm] and ``index`` (position
        in the event record), reconstructed ones ``d0``, ``d0_err``, ``dz``, ``dz_err`` [mm] and
        ``index`` (of the generated particle, -1 for calorimeter objects).
    n_events : int
        E, events without particles included.

    Examples
    --------
    >>> particles = Particles({"event": np.array([0, 0, 2]), "px": np.array([3.0, 1.0, 2.0]),
    ...                        "py": np.array([4.0, 0.0, 0.0])}, 3)
    >>> particles.offsets.tolist(), particles.pt.tolist()
    ([0, 2, 2, 3], [5.0, 1.0, 2.0])
    """

    columns: Mapping[str, np.ndarray]
    n_events: int

    def __len__(self) -> int:
        return len(self.columns["event"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def pt(self) -> np.ndarray:
        """Transverse momentum [GeV], shape (T,)."""
        return np.hypot(self["px"], self["py"])

    @property
    def eta(self) -> np.ndarray:
        """Pseudorapidity, shape (T,); +-infinity along the beam."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.arcsinh(self["pz"] / self.pt)

    @property
    def offsets(self) -> np.ndarray:
        """First particle of every event, and T at the end; shape (E + 1,)."""
        return np.searchsorted(self["event"], np.arange(self.n_events + 1))

    def select(self, keep: np.ndarray) -> Particles:
        """Return the particles where ``keep`` (bool or indices) says so; the number of events stays."""
        return Particles({name: values[keep] for name, values in self.columns.items()}, self.n_events)


_LOCK = threading.RLock()  # file descriptors belong to the whole process


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send everything written to file descriptor 1 to nowhere, also what C++ writes.

    Python's own text written before stays in order. Threads take turns.

    Examples
    --------
    >>> with quiet_stdout():
    ...     _ = os.write(1, b"not shown")
    """
    with _LOCK:
        _flush()
        try:
            saved = os.dup(1)
        except OSError:  # no standard output at all: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 1)
            os.close(saved)
            os.close(nowhere)


def _flush() -> None:
    """Empty Python's buffer and that of the C library, so that text lands where it was meant to."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


NEUTRINOS = (12, 14, 16)
_QUIET = ("Print:quiet=on", "Next:numberCount=0", "Random:setSeed=on")
_INTEGERS = ("id", "status", "mother1", "daughter1", "daughter2")
_POSITIONS = {"px": "x", "py": "y", "pz": "z"}


@dataclass(frozen=True)
class EventBatch:
    """The full records of E events with T entries in all.

    Parameters
    ----------
    offsets : int array, shape (E + 1,)
        First entry of every event. Entry 0 of an event stands for the whole event.
    entries : dict of name to array, shape (T,)
        ``id``, ``status``, ``mother1``, ``daughter1``, ``daughter2`` (positions inside the event),
        ``charge`` [e], ``px``, ``py``, ``pz``, ``energy`` [GeV], ``x``, ``y``, ``z`` [mm].
    weight : float array, shape (E,)
        1 unless phase space was biased.
    """

    offsets: np.ndarray
    entries: dict[str, np.ndarray]
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, name: str) -> np.ndarray:
        return self.entries[name]

    @property
    def event(self) -> np.ndarray:
        """Event number of every entry, shape (T,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def mother(self) -> np.ndarray:
        """Position of the first mother in the flat arrays, shape (T,); entry 0 is its own."""
        return self["mother1"] + np.repeat(self.offsets[:-1], np.diff(self.offsets))


class EventSource:
    """A Pythia generator with a seed.

    Parameters
    ----------
    settings : sequence of str
        Pythia strings, read in order.
    seed : int
        1 to 900,000,000. The same seed gives the same events whatever the sizes of the batches.

    Raises
    ------
    SimulationError
        When Pythia refuses a string or does not start.
    MissingDependencyError
        When pythia8mc is not installed.
    """

    def __init__(self, settings: Sequence[str], seed: int) -> None:
        with translated(MissingDependencyError, "simulation needs Pythia", "pip install pythia8mc"):
            import pythia8mc
        with quiet_stdout():
            self._pythia = pythia8mc.Pythia("", False)
            for text in (*_QUIET, f"Random:seed={seed}", *settings):
                if not self._pythia.readString(text):
                    raise SimulationError(f"Pythia does not accept '{text}'; check the recipe's settings")
            started = self._pythia.init()
        if not started:
            raise SimulationError(f"Pythia did not start with {list(settings)}; check the recipe's settings")

    def batch(self, n_events: int) -> EventBatch:
        """Return the next events; the few that Pythia gives up on are left out.

        Raises
        ------
        SimulationError
            When every event of the batch failed.
        """
        with quiet_stdout():
            events = self._pythia.nextBatch(n_events)
        if not len(events):
            raise SimulationError(
                f"Pythia failed for {n_events} events in a row; check the recipe's settings"
            )
        layout = events.prt.layout
        offsets = np.asarray(layout.offsets).astype(np.int64)
        first, last = offsets[0], offsets[-1]
        entries = {k: v[first:last] for k, v in _entries(layout.content).items()}
        entries["charge"] = self._charge(entries["id"])
        weights = events["info", "weights"]
        return EventBatch(offsets - first, entries, np.asarray(weights[:, 0], dtype=np.float64))

    def _charge(self, codes: np.ndarray) -> np.ndarray:
        known, inverse = np.unique(codes, return_inverse=True)
        charge = self._pythia.particleData.charge
        return np.array([float(charge(code)) for code in known.tolist()])[inverse]


def final_particles(batch: EventBatch, exclude: Sequence[int] = ()) -> Particles:
    """Return the visible final particles of every event.

    Parameters
    ----------
    batch : EventBatch
    exclude : sequence of int
        Absolute PDG codes left out beside the neutrinos (a Z boson kept stable, say).

    Returns
    -------
    Particles
        With ``pid``, ``charge``, ``x``, ``y``, ``z`` and ``index`` (position in the flat record).
    """
    hidden = np.isin(np.abs(batch["id"]), (*NEUTRINOS, *exclude))
    index = np.flatnonzero((batch["status"] > 0) & ~hidden & (batch["energy"] > 0))
    names = ("px", "py", "pz", "energy", "charge", "x", "y", "z")
    columns = {name: batch[name][index] for name in names}
    columns |= {"pid": batch["id"][index], "event": batch.event[index], "index": index}
    return Particles(columns, len(batch))


def _entries(record: Any) -> dict[str, np.ndarray]:
    """Read the columns of Pythia's array without copying more than needed."""
    entries = {name: np.asarray(record[name].data) for name in _INTEGERS}
    momentum, vertex = record["p"], record["vProd"]
    entries |= {name: np.asarray(momentum[name].data) for name in ("px", "py", "pz")}
    entries["energy"] = np.asarray(momentum["e"].data)
    index = np.asarray(vertex.index.data)  # -1: produced at the origin
    at = np.maximum(index, 0)
    for name, axis in _POSITIONS.items():
        values = np.asarray(vertex.content[name].data)
        entries[axis] = np.where(index >= 0, values[at], 0.0) if len(values) else np.zeros(len(index))
    return entries


_ALGORITHMS = {"antikt": "antikt_algorithm", "kt": "kt_algorithm", "cambridge": "cambridge_algorithm"}


@dataclass(frozen=True)
class Clusters:
    """N jets found in many events, ordered by event, then by falling pt.

    Parameters
    ----------
    event : int array, shape (N,)
    rank : int array, shape (N,)
        0 for the hardest jet of its event.
    pt, eta, rapidity, phi, mass : float array, shape (N,)
        Of the sum of the constituents [GeV].
    offsets : int array, shape (N + 1,)
    constituents : int array, shape (offsets[-1],)
        Rows of the clustered particles.
    """

    event: np.ndarray
    rank: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    rapidity: np.ndarray
    phi: np.ndarray
    mass: np.ndarray
    offsets: np.ndarray
    constituents: np.ndarray

    def __len__(self) -> int:
        return len(self.event)

    def members(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (particle rows, offsets) of chosen jets, in the order asked for."""
        take, offsets = take_rows(self.offsets, rows)
        return self.constituents[take], offsets


def cluster(
    particles: Particles, radius: float, *, algorithm: str = "antikt", min_pt: float = 0.0
) -> Clusters:
    """Find jets in every event, with the E scheme.

    Parameters
    ----------
    particles : Particles
    radius : float
    algorithm : "antikt", "kt" or "cambridge"
    min_pt : float
        Smallest jet pt [GeV].

    Returns
    -------
    Clusters

    Raises
    ------
    SimulationError
        For an unknown algorithm.

    References
    ----------
    M. Cacciari, G. Salam, G. Soyez, FastJet user manual, arXiv 1111.6097.
    """
    if algorithm not in _ALGORITHMS:
        raise SimulationError(f"no jet algorithm '{algorithm}'; {nearest(algorithm, _ALGORITHMS)}")
    import awkward as ak

    momenta = [particles[name] for name in ("px", "py", "pz", "energy")]
    sequence = cluster_sequence(momenta, np.diff(particles.offsets), _ALGORITHMS[algorithm], radius)
    index = sequence.constituent_index(min_pt=min_pt)  # of particles inside their event
    event = np.repeat(np.arange(particles.n_events), ak.to_numpy(ak.num(index, axis=1)))
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2)))
    first = np.repeat(particles.offsets[:-1][event], sizes)
    constituents = first + ak.to_numpy(ak.flatten(index, axis=None))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    total = np.stack([momentum[constituents] for momentum in momenta])
    total = np.add.reduceat(total, offsets[:-1], axis=1) if len(event) else np.zeros((4, 0))
    shapes = jet_kinematics(total.T) | {"rapidity": np.arctanh(total[2] / total[3])}
    order = np.lexsort((-shapes["pt"], event))
    rank = np.arange(len(event)) - np.searchsorted(event, event)  # from the first jet of the event
    take, offsets = take_rows(offsets, order)
    columns = {name: values[order] for name, values in shapes.items()}
    return Clusters(event, rank, **columns, offsets=offsets, constituents=constituents[take])


_VISIBLE = (1, 2, 3, 4, 5, 21, 11, 13, 15)
HARD = 23  # status of the outgoing particles of a hard process or of a resonance decay
_GENERATIONS = 60


class Decays(NamedTuple):
    """Visible decay products of resonances, ordered by event and root; arrays of shape (P,).

    ``root`` is the position, in the flat record, of the resonance the product stems from.
    """

    event: np.ndarray
    root: np.ndarray
    eta: np.ndarray
    phi: np.ndarray


def find_decays(batch: EventBatch, resonances: Sequence[int]) -> Decays:
    """Find quarks, gluons and charged leptons from resonance decays, before they radiate.

    Products are the entries of status 23 whose mother is a resonance; climbing the first mothers
    while they are resonances leads to the root, so a b quark and the quarks of the W belong to one top.
    The root's own direction lies between those of its products, so a jet that holds them holds it.

    Parameters
    ----------
    batch : EventBatch
    resonances : sequence of int
        Absolute PDG codes. A heavy Z' that makes both tops must not be among them.

    Returns
    -------
    Decays
    """
    code, mother = np.abs(batch["id"]), batch.mother
    is_resonance = np.isin(code, resonances)
    product = np.flatnonzero(
        (np.abs(batch["status"]) == HARD) & np.isin(code, _VISIBLE) & is_resonance[mother]
    )
    root = mother[product]
    for _ in range(_GENERATIONS):
        above = mother[root]
        climbs = is_resonance[above] & (above != root)
        if not climbs.any():
            break
        root = np.where(climbs, above, root)
    order = np.argsort(root, kind="stable")  # roots rise with the event
    product, root = product[order], root[order]
    return Decays(batch.event[product], root, *direction(batch, product))


def direction(batch: EventBatch, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (eta, phi) of entries of the record."""
    px, py, pz = (batch[name][rows] for name in ("px", "py", "pz"))
    return np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12)), np.arctan2(py, px)


def hard_outgoing(batch: EventBatch, codes: Sequence[int]) -> np.ndarray:
    """Return the entries of the hard process (or of resonance decays) with these absolute PDG codes."""
    return np.flatnonzero((np.abs(batch["status"]) == HARD) & np.isin(np.abs(batch["id"]), codes))


def delta_r(eta1: np.ndarray, phi1: np.ndarray, eta2: np.ndarray, phi2: np.ndarray) -> np.ndarray:
    """Return sqrt(delta eta^2 + delta phi^2), with delta phi in [-pi, pi].

    Examples
    --------
    >>> round(float(delta_r(0.0, 3.1, 0.0, -3.1)), 3)
    0.083
    """
    dphi = np.mod(np.subtract(phi1, phi2) + np.pi, 2 * np.pi) - np.pi
    return np.hypot(np.subtract(eta1, eta2), dphi)


def pairs_in_event(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all index pairs of equal event number; ``second`` must not fall.

    Examples
    --------
    >>> [a.tolist() for a in pairs_in_event(np.array([0, 2]), np.array([0, 0, 1, 2]))]
    [[0, 0, 1], [0, 1, 3]]
    """
    start, stop = np.searchsorted(second, first), np.searchsorted(second, first, side="right")
    counts = stop - start
    left = np.repeat(np.arange(len(first)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, np.repeat(start, counts) + within


def contained(clusters: Clusters, decays: Decays, radius: float) -> np.ndarray:
    """Say which jets hold all visible products of some resonance within ``radius`` of their axis.

    Returns
    -------
    bool array, shape (jets,)
    """
    jet, product = pairs_in_event(clusters.event, decays.event)
    distance = delta_r(clusters.eta[jet], clusters.phi[jet], decays.eta[product], decays.phi[product])
    found = np.zeros(len(clusters), dtype=bool)
    if not len(jet):
        return found
    root = decays.root[product]
    first = np.flatnonzero(np.r_[True, (np.diff(jet) != 0) | (np.diff(root) != 0)])
    farthest = np.maximum.reduceat(distance, first)
    found[jet[first[farthest < radius]]] = True
    return found
