"""Energy mover's distance between jets, by exact optimal transport."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, MissingDependencyError

__all__ = ["emd_matrix", "energy_movers_distance", "particle_jets"]


def energy_movers_distance(first: ArrayLike, second: ArrayLike, *, radius: float = 1.0) -> float:
    r"""Energy mover's distance between two jets.

    :math:`\min_f \sum_{ij} f_{ij}\,\Delta R_{ij}/R + |\sum_i p_{T,i} - \sum_j p_{T,j}|`: transport of
    transverse momentum plus the cost of making what one jet has more than the other.

    Parameters
    ----------
    first, second : array, shape (P, 3) and (Q, 3)
        eta, phi, pt of each particle; rows with pt = 0 are ignored. phi is not wrapped: give it
        relative to the jet axis.
    radius
        R, in the unit of eta and phi.

    Returns
    -------
    float
        In the unit of pt.

    Raises
    ------
    MetricError
        For wrong shapes, negative pt, not-a-number, or a radius that is not positive.
    MissingDependencyError
        Without the POT package.

    References
    ----------
    Komiske, Metodiev and Thaler, arXiv:1902.02346, eq. 1.

    Examples
    --------
    >>> energy_movers_distance([[0.0, 0.0, 1.0]], [[0.3, 0.4, 1.0]])
    0.5
    >>> energy_movers_distance([[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.75]])
    0.25
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return float(emd_matrix(first[None], second[None], radius=radius)[0, 0])


def emd_matrix(generated: ArrayLike, reference: ArrayLike, *, radius: float = 1.0) -> np.ndarray:
    """Energy mover's distance of every generated to every reference jet.

    Parameters
    ----------
    generated, reference : array, shape (N, P, 3) and (M, Q, 3)
        As for `energy_movers_distance`, padded.
    radius
        R, in the unit of eta and phi.

    Returns
    -------
    array, shape (N, M)
        In the unit of pt; about 0.1 ms per pair of 30-particle jets on one core.

    Raises
    ------
    MetricError
        For wrong shapes, negative pt, not-a-number, or a radius that is not positive.
    MissingDependencyError
        Without the POT package.

    Examples
    --------
    >>> emd_matrix([[[0.0, 0.0, 1.0]]], [[[0.0, 0.0, 1.0]], [[1.0, 0.0, 1.0]]]).tolist()
    [[0.0, 1.0]]
    """
    solve = _optimal_transport()
    if not radius > 0:
        raise MetricError(f"radius must be positive, found {radius}")
    rows, columns = (
        [jet[jet[:, 2] > 0] for jet in particle_jets(name, jets)]
        for name, jets in (("generated", generated), ("reference", reference))
    )
    return np.array([[_emd(a, b, radius, solve) for b in columns] for a in rows])


def particle_jets(name: str, jets: ArrayLike) -> np.ndarray:
    """Check padded jets of (eta, phi, pt), shape (N, P, 3), and return them as float64.

    Raises
    ------
    MetricError
        For another shape, not-a-number or negative pt.

    Examples
    --------
    >>> particle_jets("generated", [[[0.0, 0.0, 1.0]]]).shape
    (1, 1, 3)
    """
    array = np.asarray(jets, dtype=float)
    if array.ndim != 3 or array.shape[2] != 3 or not len(array):
        raise MetricError(
            f"{name} must have shape (jets, particles, 3) with eta, phi, pt; found {array.shape}"
        )
    if not np.isfinite(array).all() or array[..., 2].min(initial=0.0) < 0:
        raise MetricError(f"{name}: particles must be finite with pt >= 0")
    return array


def _emd(a: np.ndarray, b: np.ndarray, radius: float, solve: Callable[..., float]) -> float:
    """Exact transport; an extra particle at unit cost on the lighter side carries the difference."""
    total_a, total_b = a[:, 2].sum(), b[:, 2].sum()
    if not (len(a) and len(b)):
        return float(abs(total_a - total_b))
    cost = np.ones((len(a) + 1, len(b) + 1))
    cost[:-1, :-1] = np.hypot(*(a[:, None, :2] - b[None, :, :2]).transpose(2, 0, 1)) / radius
    cost[-1, -1] = 0
    scale = max(total_a, total_b)
    left = np.append(a[:, 2], max(total_b - total_a, 0.0)) / scale
    right = np.append(b[:, 2], max(total_a - total_b, 0.0)) / scale
    return float(solve(left, right * (left.sum() / right.sum()), cost)) * scale


def _optimal_transport() -> Callable[..., float]:
    try:
        from ot.lp import emd2
    except ImportError as error:
        raise MissingDependencyError(
            f"the energy mover's distance needs POT: pip install POT (import failed with: {error})"
        ) from error
    # the marginals are built here, and nobody reads the dual: skipping both halves the time per pair
    return partial(emd2, check_marginals=False, center_dual=False)
