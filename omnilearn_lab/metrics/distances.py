"""Distances between samples: Wasserstein and JetNet's W1s, FPD and KPD, energy mover's distance, coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from omnilearn_lab.display import number
from omnilearn_lab.errors import ConfigError, MetricError, MissingDependencyError, translated
from omnilearn_lab.metrics._checks import as_features, as_values, as_weights
from omnilearn_lab.settings import settings

N_COMPARABLE = 50_000  # jets per sample in JetNet's and the papers' numbers

Weights = tuple[ArrayLike | None, ArrayLike | None]


@settings
class Sampling:
    """How many jets are drawn (with replacement), how often, and the seed.

    Parameters
    ----------
    n_jets
        Jets drawn from each sample; never more than the smaller sample holds.
    n_batches
        Repetitions; the mean is the value and their standard deviation the uncertainty.
    seed
        Seed of the draws.
    """

    n_jets: Annotated[int, Field(ge=1)] = N_COMPARABLE
    n_batches: Annotated[int, Field(ge=1)] = 5
    seed: int = 42


@dataclass(frozen=True)
class GenerationScore:
    """A distance between generated and reference jets.

    Parameters
    ----------
    value, uncertainty
        Mean over the features of ``values`` and of ``uncertainties``, as the papers quote it.
    values, uncertainties : tuple of float
        One per feature (particle feature, polynomial); a single one for masses, FPD and KPD.
    n_reference, n_generated
        Jets in the two samples.
    is_comparable
        True only with JetNet's own sample and batch sizes: then the number may stand beside
        published ones. Smaller samples have a larger statistical floor.
    """

    value: float
    uncertainty: float
    values: tuple[float, ...]
    uncertainties: tuple[float, ...]
    n_reference: int
    n_generated: int
    is_comparable: bool

    def __str__(self) -> str:
        mark = (
            "" if self.is_comparable else f" (not comparable: {min(self.n_reference, self.n_generated)} jets)"
        )
        return f"{number(self.value, self.uncertainty)}{mark}"


def wasserstein(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    reference_weights: ArrayLike | None = None,
    generated_weights: ArrayLike | None = None,
) -> float:
    r"""1-Wasserstein (earth mover's) distance of two weighted one-dimensional samples.

    :math:`W_1 = \int |F(x) - G(x)|\,dx` with the two cumulative distributions F and G, in the unit of x.

    Parameters
    ----------
    reference, generated : array, shape (N,) and (M,)
    reference_weights, generated_weights : array, optional
        Event weights >= 0; only their ratios matter.

    Returns
    -------
    float
        Zero only for equal distributions.

    Raises
    ------
    MetricError
        For an empty sample, not-a-number, negative weights or weights that sum to zero.

    Examples
    --------
    >>> wasserstein([0.0, 1.0], [0.5, 1.5])
    0.5
    >>> wasserstein([0.0, 1.0], [0.0], reference_weights=[1.0, 3.0])
    0.75
    """
    a, b = as_values("reference", reference), as_values("generated", generated)
    wa = as_weights(reference_weights, len(a), what="reference_weights")
    wb = as_weights(generated_weights, len(b), what="generated_weights")
    return _Axis(a, b).distance(wa, wb)


def w1_mass(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    sampling: Sampling = Sampling(),
    weights: Weights = (None, None),
) -> GenerationScore:
    """W1-M: distance of the jet-mass distributions.

    Parameters
    ----------
    reference, generated : array, shape (N,) and (M,)
        Jet masses; relative to the jet pt (dimensionless) for numbers as in the papers, which quote
        1000 times the value.
    sampling
        Draws; the default is JetNet's.
    weights : pair of arrays, optional
        Event weights of the two samples: jets are drawn with probability proportional to them.

    Returns
    -------
    GenerationScore

    Raises
    ------
    MetricError
        For an empty sample, not-a-number, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4; OmniLearn, arXiv:2404.16091, Tables V and VI.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> score = w1_mass(rng.normal(0.10, 0.01, 2000), rng.normal(0.11, 0.01, 2000))
    >>> f"{score.value:.3f} {score.is_comparable}"
    '0.010 False'
    """
    return w1_efp(reference, generated, sampling=sampling, weights=weights)


def w1_efp(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    sampling: Sampling = Sampling(),
    weights: Weights = (None, None),
) -> GenerationScore:
    """W1-EFP: distance of the distributions of energy-flow polynomials, mean over polynomials.

    Works for any observables per jet. JetNet's choice is the five prime polynomials with four
    vertices and four edges (``n==4, d==4, p==1``), measure "hadr", beta = 1, not normalised, on relative
    (pt, eta, phi); the papers quote 1e5 times the value.

    Parameters
    ----------
    reference, generated : array, shape (N, K) and (M, K), or (N,) and (M,)
        Polynomials (observables) of each jet.
    sampling, weights
        As for `w1_mass`.

    Returns
    -------
    GenerationScore
        With one entry of ``values`` per polynomial.

    Raises
    ------
    MetricError
        For an empty sample, different K, not-a-number, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4; Komiske et al., arXiv:1712.07124.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> len(w1_efp(rng.random((500, 5)), rng.random((500, 5))).values)
    5
    """
    a, b = as_features("reference", reference), as_features("generated", generated)
    _same_width(a, b)
    axes = [_Axis(x, y) for x, y in zip(a.T, b.T, strict=True)]
    draws = _draw_counts(len(a), len(b), sampling, weights)
    distances = [[axis.distance(ca, cb) for axis in axes] for ca, cb in draws]
    return _score(distances, len(a), len(b), sampling)


def w1_particles(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    masks: tuple[ArrayLike, ArrayLike] | None = None,
    sampling: Sampling = Sampling(),
    weights: Weights = (None, None),
) -> GenerationScore:
    """W1-P: distance of the pooled particle features, mean over features.

    Parameters
    ----------
    reference, generated : array, shape (N, P, F) and (M, Q, F)
        Padded particles; JetNet uses (eta, phi, pt) relative to the jet. The papers quote 1000 times
        the mean over the three.
    masks : pair of bool arrays, shape (N, P) and (M, Q), optional
        True for real particles. Without them JetNet's rule holds: a particle whose features are all
        exactly zero is padding.
    sampling, weights
        As for `w1_mass`; whole jets are drawn.

    Returns
    -------
    GenerationScore
        With one entry of ``values`` per feature.

    Raises
    ------
    MetricError
        For wrong shapes, not-a-number, no real particle, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> jets = np.random.default_rng(0).normal(size=(200, 30, 3))
    >>> w1_particles(jets, jets + [0.0, 0.0, 0.5]).values[2] > 0.3
    True
    """
    (a, jet_a), (b, jet_b) = (
        _particles(name, jets, None if masks is None else masks[side])
        for side, (name, jets) in enumerate([("reference", reference), ("generated", generated)])
    )
    _same_width(a, b)
    axes = [_Axis(x, y) for x, y in zip(a.T, b.T, strict=True)]
    n, m = len(np.asarray(reference)), len(np.asarray(generated))
    distances = []
    for counts_a, counts_b in _draw_counts(n, m, sampling, weights):
        wa, wb = counts_a[jet_a], counts_b[jet_b]
        if not (wa.any() and wb.any()):
            raise MetricError("a drawn batch holds no real particle; are the jets empty?")
        distances.append([axis.distance(wa, wb) for axis in axes])
    return _score(distances, n, m, sampling)


class _Axis:
    """Two samples on one axis, sorted once, to be compared under many weightings."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        values = np.concatenate([a, b])
        self.order = np.argsort(values, kind="stable")
        self.gaps = np.diff(values[self.order])

    def distance(self, weights_a: np.ndarray, weights_b: np.ndarray) -> float:
        density = np.concatenate([weights_a / weights_a.sum(), -weights_b / weights_b.sum()])
        return float(np.abs(np.cumsum(density[self.order])[:-1]) @ self.gaps)


def _draw_counts(
    n: int, m: int, sampling: Sampling, weights: Weights
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each jet of the two samples is drawn, batch by batch."""
    rng = np.random.default_rng(sampling.seed)
    size, chances = min(sampling.n_jets, n, m), _chances(weights, n, m)
    for _ in range(sampling.n_batches):
        draws = [rng.choice(count, size=size, p=p) for count, p in zip((n, m), chances, strict=True)]
        yield tuple(  # type: ignore[misc]
            np.bincount(drawn, minlength=count).astype(float)
            for drawn, count in zip(draws, (n, m), strict=True)
        )


def _score(distances: list[list[float]], n: int, m: int, sampling: Sampling) -> GenerationScore:
    table = np.asarray(distances)
    means, stds = table.mean(axis=0), table.std(axis=0)
    return GenerationScore(
        value=float(means.mean()),
        uncertainty=float(stds.mean()),
        values=tuple(means.tolist()),
        uncertainties=tuple(stds.tolist()),
        n_reference=n,
        n_generated=m,
        is_comparable=min(n, m, sampling.n_jets) >= N_COMPARABLE
        and sampling.n_batches == Sampling().n_batches,
    )


def _same_width(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise MetricError(f"reference has {a.shape[1]} features and generated {b.shape[1]}; they must match")


def _particles(name: str, jets: ArrayLike, mask: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Real particles, shape (T, F), and the jet each belongs to, shape (T,)."""
    array = np.asarray(jets, dtype=float)
    if array.ndim != 3 or not array.size:
        raise MetricError(f"{name} must have shape (jets, particles, features), found {array.shape}")
    real = np.any(array != 0, axis=2) if mask is None else np.asarray(mask, dtype=bool)
    if real.shape != array.shape[:2]:
        raise MetricError(f"mask of {name} must have shape {array.shape[:2]}, found {real.shape}")
    if not real.any():
        raise MetricError(f"{name} holds no real particle")
    return as_features(f"{name}, real particles", array[real]), np.nonzero(real)[0]


_BLOCK = 1000  # rows of the kernel matrix in memory at a time


@settings
class FpdConfig:
    """Extrapolation of the Frechet distance to infinite statistics; the defaults are JetNet's.

    Parameters
    ----------
    min_samples, max_samples
        Smallest and largest batch; scaled down together when the samples are smaller.
    n_points
        Batch sizes, regular in 1/N.
    n_batches
        Draws (with replacement) averaged at each size.
    seed
        Seed of the draws.
    """

    min_samples: Annotated[int, Field(ge=2)] = 20_000
    max_samples: int = N_COMPARABLE
    n_points: Annotated[int, Field(ge=3)] = 10
    n_batches: Annotated[int, Field(ge=1)] = 20
    seed: int = 42

    def __post_init__(self) -> None:
        if self.min_samples >= self.max_samples:
            raise ConfigError(f"FPD needs min_samples < max_samples: {self}")


@settings
class KpdConfig:
    """Batches of the kernel distance; the defaults are JetNet's.

    Parameters
    ----------
    n_batches, batch_size
        Draws (with replacement) and their size; at most the smaller sample.
    seed
        Batch i uses seed + 1000 i.
    """

    n_batches: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=2)] = 5_000
    seed: int = 42


def frechet_distance(reference: ArrayLike, generated: ArrayLike) -> float:
    r"""Squared Frechet distance between normal distributions fitted to two samples.

    :math:`d^2 = |\mu_1 - \mu_2|^2 + \mathrm{Tr}\,[C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2}]`

    Parameters
    ----------
    reference, generated : array, shape (N, K) and (M, K)

    Returns
    -------
    float
        In squared units of the features; biased upwards by O(1/N).

    Raises
    ------
    MetricError
        For fewer than two rows, different K, or not-a-number.

    References
    ----------
    Dowson and Landau, J. Multivar. Anal. 12 (1982) 450, eq. 4.

    Examples
    --------
    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
    9.0
    """
    a, b = _pair(reference, generated)
    return _frechet(a, b)


def fpd(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    config: FpdConfig = FpdConfig(),
    weights: Weights = (None, None),
) -> GenerationScore:
    """Frechet physics distance, extrapolated to infinite statistics.

    Features are divided by the largest absolute reference value; `frechet_distance` is averaged
    over batches of several sizes N and fitted by a straight line in 1/N whose intercept, bounded below
    by 0, is the result; its fit error is the uncertainty.

    Parameters
    ----------
    reference, generated : array, shape (N, K) and (M, K)
        Features of each jet; JetNet's are the 36 energy-flow polynomials of at most 4 edges (``d<=4``).
    config
        Batch sizes and seed.
    weights : pair of arrays, optional
        Event weights: jets are drawn with probability proportional to them.

    Returns
    -------
    GenerationScore
        ``is_comparable`` only with at least 50,000 jets on both sides and the default batches.

    Raises
    ------
    MetricError
        For fewer than 10 jets, different K, not-a-number, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2211.10295, section III.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> score = fpd(rng.normal(size=(400, 3)), rng.normal(1.0, 1.0, size=(400, 3)))
    >>> score.value > 0.1, score.is_comparable
    (True, False)
    """
    a, b = _normalised(*_pair(reference, generated))
    chances = _chances(weights, len(a), len(b))
    sizes = _batch_sizes(config, min(len(a), len(b)))
    rng = np.random.default_rng(config.seed)
    distances = [
        np.mean([_frechet(*_draw(rng, a, b, size, chances)) for _ in range(config.n_batches)])
        for size in sizes
    ]
    value, error = _intercept(1 / sizes, np.asarray(distances))
    return _one(value, error, len(a), len(b), is_default=config == FpdConfig(seed=config.seed))


def kpd(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    config: KpdConfig = KpdConfig(),
    weights: Weights = (None, None),
) -> GenerationScore:
    r"""Kernel physics distance: unbiased squared maximum mean discrepancy with a quartic kernel.

    Kernel :math:`k(x, y) = (x\cdot y/K + 1)^4` on features divided by the largest absolute reference
    value; the result is the median over batches, the uncertainty half the 16.275-83.725 % range. It may
    be slightly negative for equal distributions.

    Parameters
    ----------
    reference, generated : array, shape (N, K) and (M, K)
        Features of each jet, as for `fpd`.
    config
        Batches and seed.
    weights : pair of arrays, optional
        Event weights: jets are drawn with probability proportional to them.

    Returns
    -------
    GenerationScore
        ``is_comparable`` only with at least 50,000 jets on both sides and the default batches.

    Raises
    ------
    MetricError
        For fewer than 10 jets, different K, not-a-number, or bad weights.

    References
    ----------
    Kansal et al., arXiv:2211.10295, section III; Gretton et al., JMLR 13 (2012) 723, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> kpd(rng.normal(size=(400, 3)), rng.normal(1.0, 1.0, size=(400, 3))).value > 0.01
    True
    """
    a, b = _normalised(*_pair(reference, generated))
    chances = _chances(weights, len(a), len(b))
    size = min(config.batch_size, len(a), len(b))
    values = [
        _mmd_squared(*_draw(np.random.default_rng(config.seed + 1000 * i), a, b, size, chances))
        for i in range(config.n_batches)
    ]
    low, high = np.percentile(values, [16.275, 83.725])
    is_default = config == KpdConfig(seed=config.seed)
    return _one(float(np.median(values)), float(high - low) / 2, len(a), len(b), is_default=is_default)


def _pair(reference: ArrayLike, generated: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_features("reference", reference), as_features("generated", generated)
    _same_width(a, b)
    if min(len(a), len(b)) < 2:
        raise MetricError(f"a covariance needs at least two jets, found {len(a)} and {len(b)}")
    return a, b


def _normalised(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if min(len(a), len(b)) < 10:
        raise MetricError(f"FPD and KPD need at least 10 jets on both sides, found {len(a)} and {len(b)}")
    scale = np.abs(a).max(axis=0)
    scale[scale == 0] = 1
    return a / scale, b / scale


def _chances(weights: Weights, n: int, m: int) -> list[np.ndarray | None]:
    return [
        None if w is None else (checked := as_weights(w, count)) / checked.sum()
        for w, count in zip(weights, (n, m), strict=True)
    ]


def _draw(
    rng: np.random.Generator, a: np.ndarray, b: np.ndarray, size: int, chances: list[np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray]:
    first = rng.choice(len(a), size=size, p=chances[0])
    return a[first], b[rng.choice(len(b), size=size, p=chances[1])]


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    difference = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    size, axes = np.linalg.eigh(cov_a)
    root = (axes * np.sqrt(size.clip(0))) @ axes.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap)


def _batch_sizes(config: FpdConfig, n_available: int) -> np.ndarray:
    """Sizes regular in 1/N, all scaled down when the larger one is not available."""
    scale = min(1.0, n_available / config.max_samples)
    return (
        1 / np.linspace(1 / (scale * config.min_samples), 1 / (scale * config.max_samples), config.n_points)
    ).astype(int)


def _intercept(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Straight line with intercept and slope >= 0: intercept and its least-squares error."""
    from scipy.optimize import nnls

    design = np.stack([np.ones_like(x), x], axis=1)
    (intercept, slope), _ = nnls(design, y)
    residual = y - intercept - slope * x
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / (len(x) - 2)
    return float(intercept), float(np.sqrt(covariance[0, 0]))


def _mmd_squared(a: np.ndarray, b: np.ndarray) -> float:
    n, m = len(a), len(b)
    own_a = _kernel_sum(a, a) - np.sum((np.sum(a * a, axis=1) / a.shape[1] + 1) ** 4)
    own_b = _kernel_sum(b, b) - np.sum((np.sum(b * b, axis=1) / b.shape[1] + 1) ** 4)
    return float(own_a / (n * (n - 1)) + own_b / (m * (m - 1)) - 2 * _kernel_sum(a, b) / (n * m))


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    blocks = (a[i : i + _BLOCK] @ b.T for i in range(0, len(a), _BLOCK))
    return float(sum(np.sum((block / a.shape[1] + 1) ** 4) for block in blocks))


def _one(value: float, error: float, n: int, m: int, *, is_default: bool) -> GenerationScore:
    comparable = is_default and min(n, m) >= N_COMPARABLE
    return GenerationScore(value, error, (value,), (error,), n, m, comparable)


def emd_matrix(generated: ArrayLike, reference: ArrayLike, *, radius: float = 1.0) -> np.ndarray:
    r"""Energy mover's distance of every generated to every reference jet.

    :math:`\min_f \sum_{ij} f_{ij}\,\Delta R_{ij}/R + |\sum_i p_{T,i} - \sum_j p_{T,j}|`: transport of
    transverse momentum plus the cost of making what one jet has more than the other.

    Parameters
    ----------
    generated, reference : array, shape (N, P, 3) and (M, Q, 3)
        eta, phi, pt of padded particles; rows with pt = 0 are ignored. phi is not wrapped: give it
        relative to the jet axis.
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

    References
    ----------
    Komiske, Metodiev and Thaler, arXiv:1902.02346, eq. 1.

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
    with translated(MissingDependencyError, "the energy mover's distance needs POT", "pip install POT"):
        from ot.lp import emd2
    # the marginals are built here, and nobody reads the dual: skipping both halves the time per pair
    return partial(emd2, check_marginals=False, center_dual=False)


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
    chances, results = _chances(weights, *map(len, jets)), []
    for _ in range(sampling.n_batches):
        real, made = (x[rng.choice(len(x), size=size, p=p)] for x, p in zip(jets, chances, strict=True))
        results.append(coverage_mmd_from_distances((distance or emd_matrix)(made, real)))
    coverage, mmd = np.array([r.coverage for r in results]), np.array([r.mmd for r in results])
    means, stds = (float(coverage.mean()), float(mmd.mean())), (float(coverage.std()), float(mmd.std()))
    return CoverageMmd(*means, *stds, size)
