"""Frechet and kernel physics distances (FPD, KPD) between features of generated and reference jets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics._checks import as_features, as_weights
from omnilearn_lab.metrics.distances.transport import N_COMPARABLE, GenerationScore, Weights

_BLOCK = 1000  # rows of the kernel matrix in memory at a time


@dataclass(frozen=True)
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

    min_samples: int = 20_000
    max_samples: int = N_COMPARABLE
    n_points: int = 10
    n_batches: int = 20
    seed: int = 42

    def __post_init__(self) -> None:
        if not (2 <= self.min_samples < self.max_samples and self.n_points >= 3 and self.n_batches >= 1):
            raise MetricError(
                f"FPD needs 2 <= min_samples < max_samples, n_points >= 3, n_batches >= 1: {self}"
            )


@dataclass(frozen=True)
class KpdConfig:
    """Batches of the kernel distance; the defaults are JetNet's.

    Parameters
    ----------
    n_batches, batch_size
        Draws (with replacement) and their size; at most the smaller sample.
    seed
        Batch i uses seed + 1000 i.
    """

    n_batches: int = 10
    batch_size: int = 5_000
    seed: int = 42

    def __post_init__(self) -> None:
        if self.n_batches < 1 or self.batch_size < 2:
            raise MetricError(f"KPD needs at least one batch of two jets: {self}")


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
    config: FpdConfig = FpdConfig(),  # noqa: B008 (frozen)
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
    is_default = (config.min_samples, config.max_samples, config.n_points, config.n_batches) == (
        FpdConfig.min_samples, FpdConfig.max_samples, FpdConfig.n_points, FpdConfig.n_batches,
    )  # fmt: skip
    return _one(value, error, len(a), len(b), is_default)


def kpd(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    config: KpdConfig = KpdConfig(),  # noqa: B008 (frozen)
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
    is_default = (config.n_batches, config.batch_size) == (KpdConfig.n_batches, KpdConfig.batch_size)
    return _one(float(np.median(values)), float(high - low) / 2, len(a), len(b), is_default)


def _pair(reference: ArrayLike, generated: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_features("reference", reference), as_features("generated", generated)
    if a.shape[1] != b.shape[1]:
        raise MetricError(f"reference has {a.shape[1]} features and generated {b.shape[1]}; they must match")
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
    out = []
    for given, count in zip(weights, (n, m), strict=True):
        checked = None if given is None else as_weights(given, count)
        out.append(None if checked is None else checked / checked.sum())
    return out


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


def _one(value: float, error: float, n: int, m: int, is_default: bool) -> GenerationScore:
    comparable = is_default and min(n, m) >= N_COMPARABLE
    return GenerationScore(value, error, (value,), (error,), n, m, comparable)
