"""Energy mover's distance between jets."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.config import known_radius
from omnilearn_lab.observables.constituents import Constituents, wrapped

__all__ = ["jet_distances"]


def jet_distances(
    first: Jets, second: Jets | None = None, *, jet_radius: float | None = None, normalise: bool = False
) -> np.ndarray:
    r"""Compute the energy mover's distance of every jet of one batch to every jet of another.

    .. math:: \min_{f} \sum_{ij} f_{ij} \frac{\Delta R_{ij}}{R}
              + \Big|\sum_i p_{T,i} - \sum_j p_{T,j}\Big|

    with rapidities and azimuths relative to each jet's own axis (the vector sum), so that only the
    substructure is compared.

    Parameters
    ----------
    first, second : Jets
        N and M jets; without ``second``, distances within ``first``.
    jet_radius : float, optional
        R; None takes ``first.provenance["jet_radius"]``.
    normalise : bool
        Divide each jet's pt by their scalar sum first: the second term vanishes.

    Returns
    -------
    float64 array, shape (N, M)
        [GeV], or a pure number when normalised. About 0.1 ms per pair of 30-particle jets.

    Raises
    ------
    ConfigError
        When R is not known.
    MissingDependencyError
        Without the POT package.

    References
    ----------
    Komiske, Metodiev and Thaler, "Metric Space of Collider Events", Eq. 1, arXiv:1902.02346.

    Examples
    --------
    >>> jets = Jets.from_four_momenta([[3, 0, 0, 3], [0, 5, 0, 5]], [0, 1, 2])
    >>> jet_distances(jets, jet_radius=0.4).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    from omnilearn_lab.metrics.distances import (
        emd_matrix,  # here: it takes along scipy, which the rest does without
    )

    radius = known_radius(first, jet_radius, "the energy mover's distance")
    rows = _padded(first, normalise)
    columns = rows if second is None else _padded(second, normalise)
    if not (len(rows) and len(columns)):
        return np.empty((len(rows), len(columns)))
    return emd_matrix(rows, columns, radius=radius)


def _padded(jets: Jets, normalise: bool) -> np.ndarray:
    """Rapidity, azimuth and pt relative to the axis, shape (N, P, 3); pt = 0 where there is no particle."""
    particles = Constituents(jets, slice(0, len(jets)))
    _, y, phi = (particles.per_particle(c) for c in particles.axis.T)
    dphi = particles.phi - phi
    dphi = np.copysign(wrapped(dphi), np.sin(dphi))
    pt = particles.pt / (particles.per_particle(particles.pt_sum) if normalise else 1.0)
    mask = np.arange(particles.counts.max(initial=1)) < particles.counts[:, None]
    padded = np.zeros((*mask.shape, 3))
    padded[mask] = np.stack([particles.rapidity - y, dphi, pt], axis=-1)
    return padded
