"""Soft drop and N-subjettiness on clustering trees; axes that need a minimisation come from FastJet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.observables.clustering import Subjets, Tree
from omnilearn_lab.observables.config import FASTJET_AXES, SoftDrop
from omnilearn_lab.observables.constituents import Constituents, mass_of, wrapped


class Groomed(NamedTuple):
    """What soft drop leaves of N jets. A jet in which no splitting passes ends as a single particle."""

    mass: np.ndarray
    """Invariant mass [GeV], shape (N,); 0 for a single massless particle."""
    pt: np.ndarray
    """Transverse momentum [GeV], shape (N,)."""
    z_g: np.ndarray
    """Momentum sharing of the splitting that passed, shape (N,); 0 when none did."""
    radius: np.ndarray
    """Distance R_g of its two subjets, shape (N,); 0 when none passed."""


def soft_drop(tree: Tree, settings: SoftDrop) -> Groomed:
    """Groom jets by walking down their Cambridge/Aachen tree along the harder branch.

    Parameters
    ----------
    tree : Tree
        From `cluster` with ``power=0``, B jets.
    settings : SoftDrop

    Returns
    -------
    Groomed
        Arrays of shape (B,).

    References
    ----------
    Larkoski et al., arXiv:1402.2657, section 2.

    Examples
    --------
    >>> from omnilearn_lab.observables.clustering import cluster, pt_y_phi
    >>> pair = np.array([[[80.0, 0.0, 0.0, 80.0]], [[19.6, 4.0, 0.0, 20.004]]])
    >>> soft_drop(cluster(pair, pt_y_phi(pair), power=0), SoftDrop()).z_g.round(3)
    array([0.2])
    """
    n_merges, n_jets, _ = tree.children.shape
    node = np.full(n_jets, 2 * n_merges)
    z_g, radius = np.zeros(n_jets), np.zeros(n_jets)
    jets = np.flatnonzero(node > n_merges)
    while len(jets):
        pair = tree.children[node[jets] - n_merges - 1, jets]
        fraction, distance = _splitting(tree, pair, jets)
        passed = fraction > settings.z_cut * (distance / settings.r0) ** settings.beta
        z_g[jets[passed]], radius[jets[passed]] = fraction[passed], distance[passed]
        jets, pair = jets[~passed], pair[~passed]
        pt = tree.coordinates[pair, jets[:, None], 0]
        node[jets] = pair[np.arange(len(jets)), pt.argmax(axis=1)]
        jets = jets[node[jets] > n_merges]
    every = np.arange(n_jets)
    mass = mass_of(tree.momenta[node, every], node <= n_merges)
    return Groomed(mass, tree.coordinates[node, every, 0], z_g, radius)


def _splitting(tree: Tree, pair: np.ndarray, jets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Momentum fraction and distance of the two branches ``pair``, shape (B, 2)."""
    pt, y, phi = np.moveaxis(tree.coordinates[pair, jets[:, None]], -1, 0)
    distance = np.hypot(y[:, 0] - y[:, 1], wrapped(phi[:, 0] - phi[:, 1]))
    return pt.min(axis=1) / pt.sum(axis=1), distance


def subjettiness(tree: Tree, axes: Subjets, *, jet_radius: float, beta: float = 1.0) -> np.ndarray:
    r"""N-subjettiness with the normalised measure.

    .. math:: \tau_N = \frac{\sum_i p_{T,i} \min_k \Delta R_{ik}^\beta}{R^\beta \sum_i p_{T,i}}

    Parameters
    ----------
    tree : Tree
        Holds the P particles of B jets as its first nodes.
    axes : Subjets
        The N axes of each jet.
    jet_radius : float
        R.
    beta : float

    Returns
    -------
    float64 array, shape (B,)
        0 when a jet has no more particles than axes.

    References
    ----------
    Thaler and Van Tilburg, "Identifying Boosted Objects with N-subjettiness", Eq. 2.1, arXiv:1011.2268.

    Examples
    --------
    >>> from omnilearn_lab.observables.clustering import cluster, exclusive_subjets, pt_y_phi
    >>> pair = np.array([[[80.0, 0.0, 0.0, 80.0]], [[20.0, 0.0, 0.0, 20.0]]])
    >>> tree = cluster(pair, pt_y_phi(pair), power=1)
    >>> subjettiness(tree, exclusive_subjets(tree, 1), jet_radius=0.4)
    array([0.])
    """
    n_particles = len(tree.children) + 1
    pt, y, phi = np.moveaxis(tree.coordinates[:n_particles], -1, 0)
    if n_particles <= len(axes.coordinates):
        return np.zeros(pt.shape[1])
    nearest = np.full(pt.shape, np.inf)
    for _, axis_y, axis_phi in np.moveaxis(axes.coordinates, -1, 1):
        np.minimum(nearest, (y - axis_y) ** 2 + wrapped(phi - axis_phi) ** 2, out=nearest)
    return (pt * nearest ** (beta / 2)).sum(axis=0) / (jet_radius**beta * pt.sum(axis=0))


_ANY_RADIUS = 999.0


def fastjet_njettiness(
    particles: Constituents, orders: Sequence[int], *, axes: str, jet_radius: float, beta: float = 1.0
) -> np.ndarray:
    """N-subjettiness from FastJet with the normalised measure.

    Parameters
    ----------
    particles : Constituents
        N jets.
    orders : sequence of int
        The numbers of axes, K of them.
    axes : str
        A key of `FASTJET_AXES`.
    jet_radius, beta : float
        R and the angular exponent.

    Returns
    -------
    float64 array, shape (N, K)

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.
    """
    sequence = _cluster(particles, "kt_algorithm")
    tau = sequence.njettiness("NormalizedMeasure", FASTJET_AXES[axes], list(orders), beta=beta, R0=jet_radius)
    return np.asarray(tau, dtype=np.float64).reshape(len(particles.counts), len(orders))


def _cluster(particles: Constituents, algorithm: str) -> Any:
    """Cluster all jets in one call: a loop over jets would be many times slower."""
    import awkward as ak

    fastjet = _fastjet()
    fields = dict(zip(("px", "py", "pz", "E"), particles.momenta, strict=True))
    jagged = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), particles.counts)
    return fastjet.ClusterSequence(jagged, fastjet.JetDefinition(getattr(fastjet, algorithm), _ANY_RADIUS))


@cache
def _fastjet() -> Any:
    """FastJet, told not to print its banner on standard output at first use."""
    try:
        import fastjet
        import fastjet._swig as swig
    except ImportError as error:
        raise MissingDependencyError(
            f"axes other than 'kt' need FastJet, which does not import ({error}); install 'fastjet>=3.5'"
        ) from error
    swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet
