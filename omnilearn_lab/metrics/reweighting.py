"""Event weights from classifiers: likelihood ratios, what they are worth, and whether they are calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics._checks import as_labels, as_matrix, as_values, as_weights, effective_number


def effective_sample_size(weights: ArrayLike) -> float:
    r"""Number of unweighted events with the same statistical power, :math:`(\sum w)^2/\sum w^2`.

    Parameters
    ----------
    weights : array, shape (N,)
        Event weights >= 0.

    Returns
    -------
    float
        Between 1 and N.

    Raises
    ------
    MetricError
        For no weights, negative ones, not-a-number, or a sum of zero.

    References
    ----------
    Kish, Survey Sampling (1965), section 11.7.

    Examples
    --------
    >>> effective_sample_size([1.0, 1.0, 2.0])
    2.6666666666666665
    """
    weights = np.asarray(weights, dtype=float)
    return effective_number(as_weights(weights, weights.size))


@dataclass(frozen=True, eq=False)
class DensityRatio:
    """Event weights from a classifier.

    Parameters
    ----------
    weights : array, shape (N,)
        Base weight times likelihood ratio.
    n_clipped
        Events at the clip: their ratio is a bound, not a measurement.
    effective_sample_size
        (sum w)^2 / sum w^2 of the weights that were measured: equal weights at the clip are worth nothing,
        so that samples without overlap have an effective size of zero.
    """

    weights: np.ndarray
    n_clipped: int
    effective_sample_size: float


def density_ratio(
    logits: ArrayLike,
    *,
    base_weights: ArrayLike | None = None,
    clip: float = 10.0,
    rule: Literal["clip", "published"] = "clip",
) -> DensityRatio:
    r"""Turn classifier logits into likelihood-ratio weights.

    A classifier trained to tell target (1) from source (0) has
    :math:`f/(1 - f) = e^{\ell} \approx p_\mathrm{target}/p_\mathrm{source}` at its optimum.

    Parameters
    ----------
    logits : array, shape (N,)
        :math:`\ell` of the source events (before the sigmoid).
    base_weights : array, shape (N,), optional
        Weights the events already have (>= 0), multiplied in.
    clip
        Logits are limited to plus or minus this value.
    rule
        ``"clip"``: exp(clip(l)). ``"published"``: f/(1 - f) in float32 with infinities set to 1, as
        the OmniLearn scripts do (events with l above 17 lose all weight they deserve).

    Returns
    -------
    DensityRatio

    Raises
    ------
    MetricError
        For not-a-number logits, a clip that is not positive, or bad base weights.

    References
    ----------
    Andreassen et al. (OmniFold), arXiv:1911.09107, eq. 4; OmniLearn, arXiv:2404.16091, section VII.

    Examples
    --------
    >>> density_ratio([0.0, 100.0], clip=2.0).weights.round(3).tolist()
    [1.0, 7.389]
    """
    logits = as_values("logits", logits)
    base = as_weights(base_weights, len(logits), what="base_weights")
    if not clip > 0:
        raise MetricError(f"clip must be positive, found {clip}")
    if rule not in _RATIOS:
        raise MetricError(f"no rule '{rule}'; {nearest(str(rule), _RATIOS)}")
    ratio, is_clipped = _RATIOS[rule](logits, clip)
    weights = base * ratio
    return DensityRatio(weights, int(is_clipped.sum()), effective_number(weights[~is_clipped]))


def _clipped_ratio(logits: np.ndarray, clip: float) -> tuple[np.ndarray, np.ndarray]:
    return np.exp(np.clip(logits, -clip, clip)), np.abs(logits) > clip


def _published_ratio(logits: np.ndarray, clip: float) -> tuple[np.ndarray, np.ndarray]:
    probability = (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
    sure = probability == 1
    ratio = np.divide(probability, 1 - probability, out=np.ones_like(probability), where=~sure)
    return ratio.astype(float), sure


_RATIOS = {"clip": _clipped_ratio, "published": _published_ratio}


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
