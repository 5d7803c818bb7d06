"""Friends of friends: groups of particles that are linked by short distances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from omnilearn_lab.simulation.haloes.gravity import Particles

_TO_VELOCITY = 100.0  # km/s per unit of momentum, today


class Haloes(NamedTuple):
    """Groups, the largest first: centres [Mpc/h], peculiar velocities [km/s], numbers of particles."""

    position: np.ndarray
    velocity: np.ndarray
    size: np.ndarray


def friends_of_friends(particles: Particles, box: float, length: float, *, min_size: int = 5) -> Haloes:
    """Join all particles closer than ``length`` in a periodic box, and keep groups of at least a size.

    Parameters
    ----------
    particles
        Today.
    box, length
        [Mpc/h]
    min_size
        Particles of the smallest group.

    References
    ----------
    Davis et al., Astrophysical Journal 292 (1985) 371.

    Examples
    --------
    >>> row = np.array([[0.1, 5, 5], [9.9, 5, 5], [0.3, 5, 5], [7.0, 5, 5]])
    >>> found = friends_of_friends(Particles(row, row * 0), box=10.0, length=0.3, min_size=2)
    >>> found.position.round(2).tolist(), found.size.tolist()
    ([[0.1, 5.0, 5.0]], [3])
    """
    position = np.mod(np.asarray(particles.position, dtype=np.float64), box)
    position[position >= box] = 0  # rounding
    pairs = cKDTree(position, boxsize=box, leafsize=24).query_pairs(length, output_type="ndarray")
    n = len(position)
    links = coo_matrix((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), (n, n))
    _, group = connected_components(links, directed=False)
    sizes = np.bincount(group)
    kept = np.flatnonzero(sizes >= min_size)
    kept = kept[np.argsort(-sizes[kept], kind="stable")]
    rank = np.full(len(sizes), -1)
    rank[kept] = np.arange(len(kept))
    members = np.flatnonzero(rank[group] >= 0)
    members = members[np.argsort(rank[group[members]], kind="stable")]
    starts = np.cumsum(sizes[kept]) - sizes[kept]
    if not len(kept):
        return Haloes(np.empty((0, 3)), np.empty((0, 3)), sizes[kept])
    sizes = sizes[kept]
    first = position[members[starts]]  # a group across the edge is measured from its first member
    offset = position[members] - np.repeat(first, sizes, axis=0)
    offset -= box * np.round(offset / box)
    centre = (first + np.add.reduceat(offset, starts) / sizes[:, None]) % box
    momentum = particles.momentum[members].astype(np.float64)
    return Haloes(centre, _TO_VELOCITY * np.add.reduceat(momentum, starts) / sizes[:, None], sizes)
