"""Event weights from classifiers, and how many events they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics._checks import as_values, as_weights, effective_number

__all__ = ["DensityRatio", "density_ratio", "effective_sample_size"]


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
        (sum w)^2 / sum w^2 of the weights.
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
    ratio, n_clipped = _RATIOS[rule](logits, clip)
    weights = base * ratio
    return DensityRatio(weights, n_clipped, effective_number(weights))


def _clipped_ratio(logits: np.ndarray, clip: float) -> tuple[np.ndarray, int]:
    return np.exp(np.clip(logits, -clip, clip)), int(np.count_nonzero(np.abs(logits) > clip))


def _published_ratio(logits: np.ndarray, clip: float) -> tuple[np.ndarray, int]:
    probability = (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
    sure = probability == 1
    ratio = np.divide(probability, 1 - probability, out=np.ones_like(probability), where=~sure)
    return ratio.astype(float), int(sure.sum())


_RATIOS = {"clip": _clipped_ratio, "published": _published_ratio}
