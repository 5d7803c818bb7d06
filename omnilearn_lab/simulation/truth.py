"""Which generated quarks, gluons and leptons belong to a jet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from omnilearn_lab.simulation.clustering import Clusters
from omnilearn_lab.simulation.events import EventBatch

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
