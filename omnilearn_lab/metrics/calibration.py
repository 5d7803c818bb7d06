"""Are probabilities what they say? Calibration curve and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics._checks import as_labels, as_matrix, as_values, as_weights

__all__ = ["CalibrationCurve", "calibration_curve"]


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    r"""Observed against predicted probability, in bins of the prediction.

    Parameters
    ----------
    edges : array, shape (K + 1,)
        Bin edges in [0, 1]; bins are closed on the left, the last on both sides.
    predicted, observed, uncertainty : array, shape (K,)
        Weighted mean prediction, weighted fraction of hits, and its binomial error
        :math:`\sqrt{f(1-f)/n}` with n the effective number of jets; NaN in empty bins.
    fraction : array, shape (K,)
        Share of the weight in each bin.
    expected_calibration_error
        :math:`\sum_k \mathrm{fraction}_k\,|\mathrm{observed}_k - \mathrm{predicted}_k|`.
    """

    edges: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    uncertainty: np.ndarray
    fraction: np.ndarray
    expected_calibration_error: float


def calibration_curve(
    probabilities: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None, n_bins: int = 10
) -> CalibrationCurve:
    """Compare predicted probabilities with observed frequencies.

    For one column or two, the probability of class 1 against the fraction of class 1. For more
    classes, the probability of the most likely class against the fraction that was right.

    Parameters
    ----------
    probabilities : array, shape (N,) or (N, C)
        In [0, 1].
    labels : array, shape (N,)
    weights : array, shape (N,), optional
    n_bins
        Number of equal bins in [0, 1].

    Returns
    -------
    CalibrationCurve

    Raises
    ------
    MetricError
        For values outside [0, 1], no bins, and bad labels or weights.

    References
    ----------
    Guo et al., arXiv:1706.04599, eq. 3.

    Examples
    --------
    >>> curve = calibration_curve([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0], n_bins=2)
    >>> curve.observed.tolist(), round(curve.expected_calibration_error, 3)
    ([0.0, 0.5], 0.25)
    """
    if n_bins < 1:
        raise MetricError(f"n_bins must be at least 1, found {n_bins}")
    predicted, hit = _confidence(probabilities, labels)
    weights = as_weights(weights, len(predicted))
    if predicted.min() < 0 or predicted.max() > 1:
        raise MetricError("probabilities must lie in [0, 1]; pass sigmoid or softmax outputs, not logits")
    position = np.minimum((predicted * n_bins).astype(np.int64), n_bins - 1)
    total, squares, mean, observed = (
        np.bincount(position, weights=w, minlength=n_bins)
        for w in (weights, weights**2, weights * predicted, weights * hit)
    )
    filled = total > 0
    nothing = np.full(n_bins, np.nan)
    mean = np.divide(mean, total, out=nothing.copy(), where=filled)
    observed = np.divide(observed, total, out=nothing.copy(), where=filled)
    n_effective = np.divide(total**2, squares, out=nothing.copy(), where=filled)
    fraction = total / total.sum()
    return CalibrationCurve(
        edges=np.linspace(0, 1, n_bins + 1),
        predicted=mean,
        observed=observed,
        uncertainty=np.sqrt(observed * (1 - observed) / n_effective),
        fraction=fraction,
        expected_calibration_error=float(np.sum((fraction * np.abs(observed - mean))[filled])),
    )


def _confidence(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and whether it came true, per jet."""
    if np.ndim(probabilities) == 1:
        predicted = as_values("probabilities", probabilities)
        return predicted, as_labels(labels, len(predicted), n_classes=2).astype(float)
    table = as_matrix("probabilities", probabilities)
    labels = as_labels(labels, len(table), n_classes=table.shape[1])
    if table.shape[1] == 2:
        return table[:, 1], labels.astype(float)
    return table.max(axis=1), (table.argmax(axis=1) == labels).astype(float)
