"""Coverage and minimum matching distance, FPND, and the floor that statistics set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, MissingDependencyError
from omnilearn_lab.metrics._checks import as_weights
from omnilearn_lab.metrics.emd import emd_matrix, particle_jets
from omnilearn_lab.metrics.scores import Sampling, Weights

__all__ = [
    "CoverageMmd",
    "coverage_mmd",
    "coverage_mmd_from_distances",
    "fpnd",
    "truth_floor",
]

T = TypeVar("T")
COVERAGE_SAMPLING = Sampling(n_jets=100, n_batches=10)


@dataclass(frozen=True)
class CoverageMmd:
    """Diversity and fidelity of generated jets.

    Parameters
    ----------
    coverage
        Share of reference jets that are the nearest one to some generated jet, in (0, 1]. Depends on the
        number of jets; even a perfect generator reaches only about 0.55 to 0.65.
    mmd
        Mean distance of a reference jet to the nearest generated jet.
    coverage_uncertainty, mmd_uncertainty
        Standard deviation over batches; NaN for a single distance matrix.
    n_jets
        Jets per side and batch; compare only values with the same number.
    """

    coverage: float
    mmd: float
    coverage_uncertainty: float
    mmd_uncertainty: float
    n_jets: int


def coverage_mmd_from_distances(distances: ArrayLike, *, weights: ArrayLike | None = None) -> CoverageMmd:
    """Coverage and minimum matching distance from a matrix of distances.

    Parameters
    ----------
    distances : array, shape (generated, reference)
        Distance of each generated jet to each reference jet, >= 0.
    weights : array, shape (reference,), optional
        Weights of the reference jets.

    Returns
    -------
    CoverageMmd

    Raises
    ------
    MetricError
        For an empty matrix, negative distances, not-a-number, or bad weights.

    References
    ----------
    Achlioptas et al., arXiv:1707.02392, section 2; Kansal et al., arXiv:2106.11535, section 4.

    Examples
    --------
    >>> result = coverage_mmd_from_distances([[0.1, 0.5], [0.2, 0.6]])
    >>> result.coverage, result.mmd
    (0.5, 0.3)
    """
    table = np.asarray(distances, dtype=float)
    if table.ndim != 2 or not table.size:
        raise MetricError(f"distances must have shape (generated, reference), found {table.shape}")
    if not np.isfinite(table).all() or table.min() < 0:
        raise MetricError("distances must be finite and >= 0")
    share = as_weights(weights, table.shape[1])
    share = share / share.sum()
    matched = np.unique(table.argmin(axis=1))
    return CoverageMmd(
        float(share[matched].sum()), float(share @ table.min(axis=0)), np.nan, np.nan, table.shape[1]
    )


def coverage_mmd(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    sampling: Sampling = COVERAGE_SAMPLING,
    weights: Weights = (None, None),
) -> CoverageMmd:
    """Coverage and minimum matching distance, averaged over random batches of jets.

    Parameters
    ----------
    reference, generated : array, shape (N, P, 3) and (M, Q, 3)
        Padded particles: eta, phi, pt (relative to the jet), pt = 0 for padding.
    distance
        Called with (generated, reference) batches, returns their distance matrix; the energy mover's
        distance (`emd_matrix`) when left out.
    sampling
        Jets per batch and batches, drawn with replacement. JetNet's defaults are 100 and 10; the
        OmniLearn tables use 1000 jets (a million distances per batch).
    weights : pair of arrays, optional
        Event weights: jets are drawn with probability proportional to them.

    Returns
    -------
    CoverageMmd

    Raises
    ------
    MetricError
        For wrong shapes, negative pt, not-a-number, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4.

    Examples
    --------
    >>> jets = np.random.default_rng(0).random((20, 4, 3))
    >>> result = coverage_mmd(jets, jets, sampling=Sampling(n_jets=5, n_batches=2))
    >>> 0 < result.coverage <= 1
    True
    """
    jets = particle_jets("reference", reference), particle_jets("generated", generated)
    rng = np.random.default_rng(sampling.seed)
    size = min(sampling.n_jets, *map(len, jets))
    chances = [None if w is None else as_weights(w, len(x)) for w, x in zip(weights, jets, strict=True)]
    results = []
    for _ in range(sampling.n_batches):
        real, made = (
            x[rng.choice(len(x), size=size, p=None if p is None else p / p.sum())]
            for x, p in zip(jets, chances, strict=True)
        )
        results.append(coverage_mmd_from_distances((distance or emd_matrix)(made, real)))
    coverage, mmd = np.array([r.coverage for r in results]), np.array([r.mmd for r in results])
    return CoverageMmd(*(float(x) for x in (coverage.mean(), mmd.mean(), coverage.std(), mmd.std())), size)


def fpnd(jets: ArrayLike, jet_type: Literal["g", "q", "t"]) -> float:
    """Frechet ParticleNet distance to JetNet's 30-particle jets, computed by the ``jetnet`` library.

    Parameters
    ----------
    jets : array, shape (N, 30, 3)
        eta_rel, phi_rel, pt_rel, zero-padded; 50,000 jets for a comparable number.
    jet_type
        Gluon, light quark or top; JetNet ships no reference for W and Z.

    Returns
    -------
    float

    Raises
    ------
    MetricError
        For another shape or jet type.
    MissingDependencyError
        Without ``jetnet`` and ``torch_geometric``; the message says how to install them.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4.

    Examples
    --------
    >>> fpnd([[[0.0, 0.0, 0.1]]], "g")
    Traceback (most recent call last):
    omnilearn_lab.errors.MetricError: FPND is defined for jets of shape (N, 30, 3), found (1, 1, 3)
    """
    array = np.asarray(jets, dtype=np.float32)
    if array.ndim != 3 or array.shape[1:] != (30, 3):
        raise MetricError(f"FPND is defined for jets of shape (N, 30, 3), found {array.shape}")
    if jet_type not in ("g", "q", "t"):
        raise MetricError(f"FPND has no reference for jet type '{jet_type}'; known: g, q, t")
    try:
        import torch_geometric  # noqa: F401
        from jetnet.evaluation import fpnd as compute
    except ImportError as error:
        raise MissingDependencyError(
            "FPND needs the reference network shipped with the 'jetnet' package, and 'torch_geometric'. "
            "In an environment of Python < 3.13: pip install jetnet torch_geometric 'numpy<2' "
            f"wasserstein==1.1.0 (import failed with: {error})"
        ) from error
    return float(compute(array, jet_type, use_tqdm=False))


def truth_floor(metric: Callable[[np.ndarray, np.ndarray], T], reference: ArrayLike, *, seed: int = 0) -> T:
    """Value of a metric between two disjoint halves of the reference: the floor that statistics set.

    Each half has N/2 jets, and W1 falls like 1/sqrt(N): compare with a score of N/2 against N/2 jets.

    Parameters
    ----------
    metric
        Called with two arrays of jets, e.g. `w1_mass`.
    reference : array, shape (N, ...)
        True jets (or their masses, polynomials, ...); shuffled before they are split.
    seed
        Seed of the shuffle.

    Returns
    -------
    whatever ``metric`` returns

    Raises
    ------
    MetricError
        For fewer than two jets.

    Examples
    --------
    >>> from omnilearn_lab.metrics import wasserstein
    >>> masses = np.random.default_rng(0).normal(size=20_000)
    >>> truth_floor(wasserstein, masses) < 0.03
    True
    """
    jets = np.asarray(reference)
    if jets.ndim == 0 or len(jets) < 2:
        raise MetricError("a truth floor needs at least two reference jets to split")
    order = np.random.default_rng(seed).permutation(len(jets))
    half = len(jets) // 2
    return metric(jets[order[:half]], jets[order[half : 2 * half]])
