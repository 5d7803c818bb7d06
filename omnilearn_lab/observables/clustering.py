"""The particles of jets in double precision, and Cambridge/Aachen trees of many jets at once in NumPy.

Jets of equal particle number are clustered together, one merge of every jet per step, so the
cost of Python is shared by the whole batch. The trees are those of FastJet (E scheme, unlimited
radius, rapidity-azimuth distances); a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from omnilearn_lab.jets import Jets

_CHUNK_PARTICLES = 40_000
"""Particles clustered together; the working arrays then stay in the processor's cache."""


class Tree(NamedTuple):
    """Clustering history of B jets with P particles each.

    Node ``n < P`` is particle n; node ``P + t`` is the result of merge t. The last node is the jet.
    """

    momenta: np.ndarray
    """(px, py, pz, E) of every node [GeV], shape (2P - 1, B, 4)."""
    coordinates: np.ndarray
    """(pt [GeV], rapidity, azimuth) of every node, shape (2P - 1, B, 3)."""
    children: np.ndarray
    """The two nodes joined by each merge, shape (P - 1, B, 2)."""


def pt_y_phi(momenta: np.ndarray) -> np.ndarray:
    r"""Return transverse momentum, rapidity and azimuth of four-momenta.

    .. math:: y = \mathrm{sign}(p_z) \ln\frac{E + |p_z|}{\sqrt{p_T^2 + m^2}}

    with m^2 taken as 0 where rounding made it negative.

    Parameters
    ----------
    momenta : float array, shape (..., 4)
        (px, py, pz, E) [GeV], with pt > 0.

    Returns
    -------
    float64 array, shape (..., 3)
        pt [GeV], rapidity, azimuth in (-pi, pi].

    Examples
    --------
    >>> pt_y_phi(np.array([3.0, 0.0, 0.0, 5.0]))
    array([3., 0., 0.])
    """
    px, py, pz, energy = np.moveaxis(np.asarray(momenta, dtype=np.float64), -1, 0)
    pt_squared = px * px + py * py
    return np.stack([np.sqrt(pt_squared), rapidity(pt_squared, pz, energy), np.arctan2(py, px)], axis=-1)


def rapidity(pt_squared: np.ndarray, pz: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return rapidities, stable at large values; see `pt_y_phi`.

    Parameters
    ----------
    pt_squared, pz, energy : float arrays of one shape
        pt^2 [GeV^2], pz and E [GeV].

    Returns
    -------
    float array, same shape

    Examples
    --------
    >>> rapidity(np.array(1.0), np.array(0.0), np.array(1.0))
    0.0
    """
    mt_squared = np.maximum((energy + pz) * (energy - pz), pt_squared)
    return np.copysign(0.5 * np.log((energy + np.abs(pz)) ** 2 / mt_squared), pz)


def equal_sizes(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the row numbers of jets with equal particle number, in chunks of bounded memory.

    Parameters
    ----------
    counts : int array, shape (N,)
        Particles per jet.

    Yields
    ------
    int array, shape (B,)
        Rows of jets which all have the same count; every row comes once.

    Examples
    --------
    >>> [rows.tolist() for rows in equal_sizes(np.array([2, 1, 2]))]
    [[1], [0, 2]]
    """
    order = np.argsort(counts, kind="stable")
    edges = np.flatnonzero(np.diff(counts[order])) + 1
    for rows in np.split(order, edges):
        size = max(1, _CHUNK_PARTICLES // int(counts[rows].max(initial=1)))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def cluster(momenta: np.ndarray, coordinates: np.ndarray) -> Tree:
    r"""Cluster jets of equal particle number completely, nearest particles first (Cambridge/Aachen).

    At every step the pair with the smallest

    .. math:: \Delta R_{ij}^2 = (y_i - y_j)^2 + \Delta\phi_{ij}^2

    is replaced by the sum of its four-momenta (E scheme), until one is left.

    Parameters
    ----------
    momenta : float array, shape (P, B, 4)
        (px, py, pz, E) [GeV] of P particles in each of B jets.
    coordinates : float array, shape (P, B, 3)
        Their `pt_y_phi`.

    Returns
    -------
    Tree

    References
    ----------
    Dokshitzer et al., "Better jet clustering algorithms", arXiv:hep-ph/9707323.

    Examples
    --------
    >>> pair = np.array([[[1.0, 0.0, 0.0, 1.0]], [[0.0, 2.0, 0.0, 2.0]]])
    >>> cluster(pair, pt_y_phi(pair)).momenta[-1, 0]
    array([1., 2., 0., 3.])
    """
    state = _State(momenta, coordinates)
    for step in range(len(momenta) - 1):
        state.merge(step)
    return Tree(state.momenta, state.coordinates, state.children)


class _State:
    """A batch of jets during clustering, in arrays of shape (slot, jet).

    The ``size`` filled slots come first; slot s of a jet holds node ``node[s]``. ``neighbour`` and
    ``nearest`` say which slot is closest to it in rapidity and azimuth, and how close (squared).
    """

    def __init__(self, momenta: np.ndarray, coordinates: np.ndarray) -> None:
        n, n_jets, _ = momenta.shape
        self.n = self.size = n
        self.jets = np.arange(n_jets)
        self.momenta = np.concatenate([momenta, np.empty((n - 1, n_jets, 4))])
        self.coordinates = np.concatenate([coordinates, np.empty((n - 1, n_jets, 3))])
        self.children = np.empty((n - 1, n_jets, 2), dtype=np.int64)
        self.node = np.repeat(np.arange(n)[:, None], n_jets, axis=1)
        self.y, self.phi = (coordinates[..., c].copy() for c in (1, 2))
        self.neighbour = np.zeros((n, n_jets), dtype=np.int64)
        self.nearest = np.zeros((n, n_jets))
        for slot in range(n if n > 1 else 0):
            self._search(np.full(n_jets, slot), self.jets)

    def merge(self, step: int) -> None:
        """Join the closest pair (i, j) of every jet; the sum takes slot i."""
        filled = slice(0, self.size)
        i = self.nearest[filled].argmin(axis=0)
        j = self.neighbour[i, self.jets]
        self._join(step, i, j)
        stale = (self.neighbour[filled] == i) | (self.neighbour[filled] == j)
        i = self._close_gap(i, j, stale)
        if self.size > 1:
            self._update_neighbours(i, stale[: self.size])

    def _join(self, step: int, i: np.ndarray, j: np.ndarray) -> None:
        jets, new = self.jets, self.n + step
        first, second = self.node[i, jets], self.node[j, jets]
        self.children[step, :, 0], self.children[step, :, 1] = first, second
        total = self.momenta[first, jets] + self.momenta[second, jets]
        kinematics = pt_y_phi(total)
        self.momenta[new], self.coordinates[new] = total, kinematics
        self.node[i, jets] = new
        self.y[i, jets], self.phi[i, jets] = kinematics[:, 1], kinematics[:, 2]

    def _close_gap(self, i: np.ndarray, j: np.ndarray, stale: np.ndarray) -> np.ndarray:
        """Move the last slot into the emptied slot j, and return where i is now."""
        jets, last = self.jets, self.size - 1
        for values in (self.node, self.y, self.phi, self.nearest, self.neighbour, stale):
            values[j, jets] = values[last]
        self.size = last
        neighbour = self.neighbour[:last]
        np.copyto(neighbour, j, where=neighbour == last)
        return np.where(i == last, j, i)

    def _update_neighbours(self, i: np.ndarray, stale: np.ndarray) -> None:
        """Make the neighbours right again after slot i changed; stale slots lost theirs."""
        distance = self._distance(i, self.jets)
        closer = distance < self.nearest[: self.size]
        np.copyto(self.nearest[: self.size], distance, where=closer)
        np.copyto(self.neighbour[: self.size], i, where=closer)
        self._keep_nearest(distance, i, self.jets)
        stale[i, self.jets] = False
        self._search(*np.nonzero(stale))

    def _search(self, slots: np.ndarray, jets: np.ndarray) -> None:
        """Find the nearest neighbour of some slots afresh."""
        self._keep_nearest(self._distance(slots, jets), slots, jets)

    def _keep_nearest(self, distance: np.ndarray, slots: np.ndarray, jets: np.ndarray) -> None:
        best = distance.argmin(axis=0)
        self.neighbour[slots, jets] = best
        self.nearest[slots, jets] = distance[best, np.arange(len(best))]

    def _distance(self, slots: np.ndarray, jets: np.ndarray) -> np.ndarray:
        """Squared distances of slot ``slots[k]`` of jet ``jets[k]`` from all filled slots: (size, K)."""
        y, phi = self.y[: self.size], self.phi[: self.size]
        if jets is not self.jets:
            y, phi = y.take(jets, axis=1), phi.take(jets, axis=1)
        dphi = np.abs(phi - self.phi[slots, jets])
        np.minimum(dphi, 2 * np.pi - dphi, out=dphi)
        squared = y - self.y[slots, jets]
        squared *= squared
        dphi *= dphi
        squared += dphi
        squared[slots, np.arange(len(slots))] = np.inf
        return squared


_SLICE_PARTICLES = 1_000_000
"""Particles handled at once, in some 100 MB; fewer would leave too few jets of equal particle number."""

_MASS_RESOLUTION = 1e-6
"""Relative precision of E^2 - p^2 for one particle: `Jets` holds E and eta in single precision."""


def slices(jets: Jets, n_particles: int = _SLICE_PARTICLES) -> Iterator[slice]:
    """Yield consecutive ranges of jets with about ``n_particles`` particles each.

    Parameters
    ----------
    jets : Jets
    n_particles : int

    Yields
    ------
    slice
        ``start`` and ``stop`` given.

    Examples
    --------
    >>> list(slices(Jets.from_four_momenta([[1, 0, 0, 1]] * 3, [0, 1, 3]), n_particles=1))
    [slice(0, 1, None), slice(1, 2, None)]
    """
    stops = np.searchsorted(jets.offsets, np.arange(n_particles, jets.n_particles, n_particles))
    edges = np.unique([0, *stops, len(jets)])
    yield from (slice(int(start), int(stop)) for start, stop in zip(edges[:-1], edges[1:], strict=True))


class Constituents:
    """Particles of some jets, turned about the beam so that the stored jet axis lies at azimuth 0.

    Parameters
    ----------
    jets : Jets
    rows : slice
        The jets to take: ``start`` and ``stop`` given, no step.

    Attributes
    ----------
    offsets : int64 array, shape (N + 1,)
    pt, rapidity, phi : float64 arrays, shape (T,)
        Transverse momentum [GeV], rapidity, azimuth relative to the stored jet axis.
    momenta : tuple of four float64 arrays, shape (T,)
        px, py, pz, E [GeV].
    """

    def __init__(self, jets: Jets, rows: slice) -> None:
        first, last = jets.offsets[[rows.start, rows.stop]]
        names = ("pt", "deta", "dphi", "energy")
        columns = {name: jets.particles[name][first:last].astype(np.float64) for name in names}
        self.offsets = jets.offsets[rows.start : rows.stop + 1] - first
        self.counts = np.diff(self.offsets)
        self.pt, self.phi = columns["pt"], columns["dphi"]
        pz = self.pt * np.sinh(columns["deta"] + self.per_particle(jets.jet["eta"][rows].astype(np.float64)))
        self.momenta = (self.pt * np.cos(self.phi), self.pt * np.sin(self.phi), pz, columns["energy"])

    @cached_property
    def rapidity(self) -> np.ndarray:
        """Rapidity of every particle, shape (T,)."""
        return rapidity(self.pt * self.pt, self.momenta[2], self.momenta[3])

    def per_particle(self, values: np.ndarray) -> np.ndarray:
        """Repeat one value per jet for each of its particles."""
        return np.repeat(values, self.counts)

    def per_jet(self, values: np.ndarray) -> np.ndarray:
        """Sum one value per particle over each jet."""
        return np.add.reduceat(values, self.offsets[:-1])

    @cached_property
    def total(self) -> np.ndarray:
        """Four-momenta of the jets: the vector sums of their particles [GeV], shape (N, 4)."""
        return np.stack([self.per_jet(component) for component in self.momenta], axis=-1)

    @cached_property
    def axis(self) -> np.ndarray:
        """(pt [GeV], rapidity, azimuth) of the vector sums, shape (N, 3)."""
        return pt_y_phi(self.total)

    @cached_property
    def pt_sum(self) -> np.ndarray:
        """Scalar sum of transverse momenta [GeV], shape (N,)."""
        return self.per_jet(self.pt)

    @cached_property
    def delta_r(self) -> np.ndarray:
        """Rapidity-azimuth distance of every particle to its jet axis, shape (T,); 0 for a lone particle."""
        _, y, phi = self.axis.T
        distance = np.hypot(self.rapidity - self.per_particle(y), wrapped(self.phi - self.per_particle(phi)))
        return np.where(self.per_particle(self.counts) == 1, 0.0, distance)

    def trees(self) -> Iterator[tuple[np.ndarray, Tree]]:
        """Yield rows of jets with their trees."""
        for rows in equal_sizes(self.counts):
            index = self.offsets[rows] + np.arange(self.counts[rows[0]])[:, None]
            momenta = np.stack([component[index] for component in self.momenta], axis=-1)
            coordinates = np.stack([c[index] for c in (self.pt, self.rapidity, self.phi)], axis=-1)
            yield rows, cluster(momenta, coordinates)


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Return the size of azimuth differences, in [0, pi].

    Parameters
    ----------
    angle : float array
        Differences of two angles in (-pi, pi].

    Returns
    -------
    float array, same shape

    Examples
    --------
    >>> wrapped(np.array([-6.0])).round(3)
    array([0.283])
    """
    size = np.abs(angle)
    return np.minimum(size, np.abs(2 * np.pi - size))


def mass_of(momenta: np.ndarray, is_particle: np.ndarray) -> np.ndarray:
    """Return invariant masses; 0 where rounding made the square negative.

    A single particle's mass below the precision of its columns is 0, too.

    Parameters
    ----------
    momenta : float array, shape (..., 4)
        (px, py, pz, E) [GeV].
    is_particle : bool array, shape (...)
        Where the momentum is that of one particle.

    Returns
    -------
    float array, shape (...)
        [GeV].

    Examples
    --------
    >>> mass_of(np.array([[3.0, 0.0, 0.0, 5.0], [3.0, 0.0, 0.0, 3.000001]]), np.array([True, True]))
    array([4., 0.])
    """
    px, py, pz, energy = np.moveaxis(momenta, -1, 0)
    squared = (energy + pz) * (energy - pz) - px * px - py * py
    floor = np.where(is_particle, _MASS_RESOLUTION * energy * energy, 0.0)
    return np.sqrt(np.where(squared > floor, squared, 0.0))
