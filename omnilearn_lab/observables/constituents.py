"""The particles of a batch of jets in double precision, and the pieces that observables share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.clustering import Tree, cluster, equal_sizes, pt_y_phi, rapidity

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

    def trees(self, *, power: int) -> Iterator[tuple[np.ndarray, Tree]]:
        """Yield rows of jets with their trees: kT for ``power=1``, Cambridge/Aachen for 0."""
        for rows in equal_sizes(self.counts):
            index = self.offsets[rows] + np.arange(self.counts[rows[0]])[:, None]
            momenta = np.stack([component[index] for component in self.momenta], axis=-1)
            coordinates = np.stack([c[index] for c in (self.pt, self.rapidity, self.phi)], axis=-1)
            yield rows, cluster(momenta, coordinates, power=power)


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
