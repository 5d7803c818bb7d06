"""Jets of many events at once, with FastJet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnilearn_lab.errors import MissingDependencyError, SimulationError, nearest
from omnilearn_lab.simulation.events import Particles, quiet_stdout

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
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        take = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts)
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
    jets_per_event, sizes, local = _find(particles, radius, _ALGORITHMS[algorithm], min_pt)
    event = np.repeat(np.arange(particles.n_events), jets_per_event)
    constituents = local + np.repeat(particles.offsets[:-1][event], sizes)
    return _ordered(particles, event, np.concatenate([[0], np.cumsum(sizes)]), constituents)


def _find(
    particles: Particles, radius: float, algorithm: str, min_pt: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return jets per event, particles per jet, and positions of the particles inside their event."""
    import awkward as ak

    fastjet = _import_fastjet()
    record = ak.zip(
        {"px": particles["px"], "py": particles["py"], "pz": particles["pz"], "E": particles["energy"]},
        with_name="Momentum4D",
    )
    events = ak.unflatten(record, np.diff(particles.offsets))
    with quiet_stdout():
        sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(getattr(fastjet, algorithm), radius))
        index = sequence.constituent_index(min_pt=min_pt)
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2)))
    return ak.to_numpy(ak.num(index, axis=1)), sizes, ak.to_numpy(ak.flatten(index, axis=None))


def _ordered(
    particles: Particles, event: np.ndarray, offsets: np.ndarray, constituents: np.ndarray
) -> Clusters:
    momenta = np.stack([particles[name][constituents] for name in ("px", "py", "pz", "energy")])
    total = np.add.reduceat(momenta, offsets[:-1], axis=1) if len(event) else np.zeros((4, 0))
    px, py, pz, energy = total
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    order = np.lexsort((-pt, event))
    first = np.searchsorted(event, event)  # events are in order, so this is the first jet of the event
    rank = np.arange(len(event)) - first
    unsorted = Clusters(
        event,
        rank,
        pt,
        np.arcsinh(pz / pt),
        np.arctanh(pz / energy),
        np.arctan2(py, px),
        mass,
        offsets,
        constituents,
    )
    members, new_offsets = unsorted.members(order)
    columns = {name: getattr(unsorted, name)[order] for name in ("pt", "eta", "rapidity", "phi", "mass")}
    return Clusters(event=event, rank=rank, offsets=new_offsets, constituents=members, **columns)


def _import_fastjet() -> Any:
    try:
        with quiet_stdout():
            import fastjet
    except ImportError as error:
        raise MissingDependencyError("clustering needs FastJet: pip install fastjet") from error
    return fastjet
