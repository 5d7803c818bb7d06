"""The door of every metric: plain arrays in, float64 arrays of one length out, or an error that says why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError


def as_values(name: str, values: ArrayLike) -> np.ndarray:
    """Finite numbers, shape (N,), float64."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise MetricError(
            f"{name} must be one-dimensional, found shape {array.shape}; pass one number per jet"
        )
    return _finite(name, array)


def as_table(name: str, values: ArrayLike) -> np.ndarray:
    """Return finite numbers with a column per class, (N, C); scores (N,) are those of class 1 of two."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 1:
        return np.stack([1 - as_values(name, array), array], axis=1)
    if array.ndim != 2 or array.shape[1] < 2:
        raise MetricError(
            f"{name} must have shape (N, C) with C >= 2, found {array.shape}; one column per class"
        )
    return _finite(name, array)


def as_labels(labels: ArrayLike, n: int, *, n_classes: int) -> np.ndarray:
    """Integer class numbers in [0, n_classes), shape (n,)."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise MetricError(f"labels must have shape ({n},) to match the scores, found {array.shape}")
    whole = array.astype(np.int64) if array.dtype.kind in "biuf" and np.isfinite(array).all() else None
    if whole is None or not np.array_equal(whole, array):
        raise MetricError(
            "labels must be whole numbers (class positions); found other values or not-a-number"
        )
    if n and (whole.min() < 0 or whole.max() >= n_classes):
        raise MetricError(
            f"labels must lie in 0..{n_classes - 1}, found {whole.min()}..{whole.max()}; "
            "relabel, or select the jets of the classes you compare"
        )
    return whole


def as_weights(weights: ArrayLike | None, n: int, *, what: str = "weights") -> np.ndarray:
    """Event weights >= 0 with a positive sum, shape (n,); ones when none are given."""
    array = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    if n == 0:
        raise MetricError(f"no entries: a metric needs at least one jet ({what} has length 0)")
    if array.shape != (n,):
        raise MetricError(f"{what} must have shape ({n},), found {array.shape}")
    _finite(what, array)
    if array.min() < 0:
        raise MetricError(
            f"{what}: {int((array < 0).sum())} of {n} are negative; these metrics need weights >= 0 "
            "(resample or merge negative weights first)"
        )
    if array.sum() <= 0:
        raise MetricError(f"{what} sum to zero: nothing is left to average")
    return array


def effective_number(weights: np.ndarray) -> float:
    """Kish's number (sum w)^2 / sum w^2; 0 for no weight at all."""
    peak = weights.max(initial=0.0)
    if peak <= 0:
        return 0.0
    scaled = weights / peak
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def labels_of_all(
    table: np.ndarray, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and weights, every class being present."""
    labels = as_labels(labels, len(table), n_classes=table.shape[1])
    weights = as_weights(weights, len(table))
    total = np.bincount(labels, weights=weights, minlength=table.shape[1])
    if (total <= 0).any():
        absent = ", ".join(str(c) for c in np.flatnonzero(total <= 0))
        raise MetricError(
            f"no jets with positive weight in class {absent}: the AUC needs every class; "
            "drop those columns (and renormalise) or test on more jets"
        )
    return labels, weights


def names_of(class_names: Sequence[str], n_classes: int) -> tuple[str, ...]:
    """Names of the classes, made up when none are given."""
    if class_names and len(class_names) != n_classes:
        raise MetricError(f"class_names has {len(class_names)} names for {n_classes} classes")
    return tuple(class_names) or tuple(f"class {c}" for c in range(n_classes))


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise MetricError(
            f"{name}: {int(bad.sum())} of {array.size} values are not finite, "
            f"the first at index {first[0] if len(first) == 1 else first}; "
            "remove those jets, or look at the training that made them"
        )
    return array


def as_features(name: str, values: ArrayLike) -> np.ndarray:
    """Finite numbers, shape (N, K) with N >= 1; a vector becomes one column."""
    array = np.asarray(values, dtype=float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise MetricError(f"{name} must have shape (N,) or (N, K) with N >= 1, found {np.shape(values)}")
    return _finite(name, array)


def share_error(share: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Uncertainty of a share measured on n jets: half of Wilson's interval of one standard deviation.

    The binomial sqrt(p (1 - p) / n) for many jets, and not zero where none or all of a few are counted.
    """
    p, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    return np.sqrt(p * (1 - p) / n + 1 / (4 * n**2)) / (1 + 1 / n)
