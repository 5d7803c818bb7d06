"""Receiver operating characteristic, background rejection, and what a cut is worth to a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtri_exp

from omnilearn_lab.display import number
from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics._checks import as_labels, as_values, as_weights, effective_number

Method = Literal["interpolate", "published"]
LIMIT_LEVEL = 0.95


@dataclass(frozen=True)
class Rejection:
    r"""Background rejection 1/eps_B at one signal efficiency.

    Parameters
    ----------
    signal_efficiency
        The efficiency asked for.
    value
        :math:`1/\epsilon_B`; when ``is_limit``, the 95 % lower limit on it. Always finite,
        or NaN where no threshold reaches the efficiency (published rule at efficiency 1).
    uncertainty
        One standard deviation from counting background jets; NaN for a limit.
    background_efficiency
        :math:`\epsilon_B` itself, which may be zero.
    n_background_passed
        (Effective) number of background jets above the threshold.
    is_limit
        True when too few background jets survive for a measurement.
    """

    signal_efficiency: float
    value: float
    uncertainty: float
    background_efficiency: float
    n_background_passed: float
    is_limit: bool

    def __str__(self) -> str:
        return f"> {number(self.value)}" if self.is_limit else number(self.value, self.uncertainty)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Signal and background efficiency of "score >= threshold", one point per distinct score.

    Parameters
    ----------
    signal_efficiency, background_efficiency : array, shape (T,)
        From 0 to 1, both non-decreasing; the first point is (0, 0).
    thresholds : array, shape (T,)
        Falling; the first is infinity (nothing passes).
    n_signal, n_background : float
        (Effective) numbers of jets: (sum w)^2 / sum w^2, the plain count without weights.
    n_background_passed : array, shape (T,)
        (Effective) number of background jets at or above each threshold.

    See Also
    --------
    roc : makes it from scores.
    """

    signal_efficiency: np.ndarray
    background_efficiency: np.ndarray
    thresholds: np.ndarray
    n_signal: float
    n_background: float
    n_background_passed: np.ndarray

    @property
    def auc(self) -> float:
        """Area under the curve: probability that a signal jet scores higher, ties counting one half."""
        height = self.signal_efficiency[1:] + self.signal_efficiency[:-1]
        return float(np.sum(np.diff(self.background_efficiency) * height) / 2)

    @property
    def auc_error(self) -> float:
        """Statistical error of the area from the numbers of jets (Hanley and McNeil, Radiology 143, 29)."""
        area, n, m = self.auc, self.n_signal, self.n_background
        excess = (n - 1) * (area / (2 - area) - area**2) + (m - 1) * (2 * area**2 / (1 + area) - area**2)
        return float(np.sqrt(max(area * (1 - area) + excess, 0.0) / (n * m)))

    def rejection(
        self, signal_efficiency: float = 0.5, *, method: Method = "interpolate", min_background: float = 10
    ) -> Rejection:
        """Return 1/eps_B at one signal efficiency; see `background_rejection`.

        Raises
        ------
        MetricError
            For an efficiency outside (0, 1] or an unknown method.
        """
        if not 0 < signal_efficiency <= 1:
            raise MetricError(f"signal_efficiency must lie in (0, 1], found {signal_efficiency}")
        if method not in _RULES:
            raise MetricError(f"no rejection method '{method}'; {nearest(str(method), _RULES)}")
        efficiency, n_passed = _RULES[method](self, signal_efficiency)
        if not n_passed >= max(min_background, 1e-9):
            return self._limit(signal_efficiency, efficiency, n_passed)
        variance = max((1 - 2 * efficiency) / n_passed + 1 / self.n_background, 0.0)
        value = 1 / efficiency
        return Rejection(signal_efficiency, value, value * variance**0.5, efficiency, n_passed, False)

    def _limit(self, signal_efficiency: float, efficiency: float, n_passed: float) -> Rejection:
        if np.isnan(efficiency):
            return Rejection(signal_efficiency, np.nan, np.nan, np.nan, np.nan, True)
        n_failed = max(self.n_background - n_passed, 0.0)
        upper = float(betaincinv(n_passed + 1, n_failed, LIMIT_LEVEL)) if n_failed > 0 else 1.0
        return Rejection(signal_efficiency, 1 / upper, np.nan, efficiency, n_passed, True)


def roc(scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> RocCurve:
    """Compute the ROC curve, keeping every distinct threshold.

    Same points as scikit-learn's ``roc_curve(..., drop_intermediate=False)``, plus the numbers of
    jets, which the uncertainties need. Jets of weight zero are left out.

    Parameters
    ----------
    scores : array, shape (N,)
        Higher means more signal-like.
    labels : array, shape (N,)
        1 (or True) for signal, 0 for background.
    weights : array, shape (N,), optional
        Event weights >= 0.

    Returns
    -------
    RocCurve

    Raises
    ------
    MetricError
        When one class is absent or has no weight, for not-a-number scores, other labels than 0
        and 1, or negative weights.

    Examples
    --------
    >>> curve = roc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> curve.auc
    0.75
    >>> curve.background_efficiency.tolist()
    [0.0, 0.0, 0.5, 0.5, 1.0]
    """
    scores = as_values("scores", scores)
    labels = as_labels(labels, len(scores), n_classes=2)
    weights = as_weights(weights, len(scores))
    _need_both(labels, weights)
    order = np.argsort(-scores, kind="stable")
    order = order[weights[order] > 0]
    scores, weights, is_signal = scores[order], weights[order], labels[order] == 1
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    signal = np.cumsum(np.where(is_signal, weights, 0.0))[last]
    background = np.cumsum(np.where(is_signal, 0.0, weights))[last]
    squares = np.cumsum(np.where(is_signal, 0.0, weights**2))[last]
    passed = np.divide(background**2, squares, out=np.zeros_like(background), where=squares > 0)
    return RocCurve(
        signal_efficiency=np.append(0.0, signal / signal[-1]),
        background_efficiency=np.append(0.0, background / background[-1]),
        thresholds=np.append(np.inf, scores[last]),
        n_signal=effective_number(weights[is_signal]),
        n_background=effective_number(weights[~is_signal]),
        n_background_passed=np.append(0.0, passed),
    )


def background_rejection(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    signal_efficiency: float | Sequence[float] = 0.5,
    weights: ArrayLike | None = None,
    method: Method = "interpolate",
    min_background: float = 10,
) -> Rejection | tuple[Rejection, ...]:
    r"""Background rejection :math:`1/\epsilon_B` at a given signal efficiency, with its counting error.

    With B background jets of which n pass, the relative uncertainty is
    :math:`\sqrt{(1 - n/B)/n}` (binomial; for weighted jets the variance of the weighted
    efficiency). With fewer than ``min_background`` passing, the result is the 95 % lower limit
    (Clopper-Pearson) and says so; it is never infinite.

    Parameters
    ----------
    scores, labels : array, shape (N,)
        As for `roc`.
    signal_efficiency
        One efficiency in (0, 1], or several.
    weights : array, shape (N,), optional
    method
        ``"interpolate"``: the background efficiency is interpolated linearly in the signal
        efficiency. ``"published"``: the first point of the curve with signal efficiency strictly
        above the one asked for, on a curve thinned like scikit-learn's default, as the OmniLearn
        evaluation scripts do.
    min_background
        Fewest (effective) background jets that count as a measurement.

    Returns
    -------
    Rejection, or a tuple of them for several efficiencies.

    Raises
    ------
    MetricError
        As for `roc`, and for an efficiency outside (0, 1].

    References
    ----------
    OmniLearn, arXiv:2404.16091, Table I; Clopper and Pearson, Biometrika 26 (1934) 404.

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.append(np.linspace(0.5, 1, 100), np.linspace(0, 1, 1001))
    >>> labels = np.repeat([1, 0], [100, 1001])
    >>> print(background_rejection(scores, labels, signal_efficiency=0.5))
    4.04 ± 0.22
    >>> print(background_rejection(scores, labels, signal_efficiency=0.01))
    > 211.4
    """
    curve = roc(scores, labels, weights=weights)
    if np.ndim(signal_efficiency) == 0:
        return curve.rejection(float(signal_efficiency), method=method, min_background=min_background)  # type: ignore[arg-type]
    return tuple(
        curve.rejection(float(t), method=method, min_background=min_background)
        for t in signal_efficiency  # type: ignore[union-attr]
    )


def _need_both(labels: np.ndarray, weights: np.ndarray) -> None:
    for value, name in ((1, "signal (label 1)"), (0, "background (label 0)")):
        if weights[labels == value].sum() <= 0:
            raise MetricError(
                f"no {name} jets with positive weight among {len(labels)}: efficiencies need both classes"
            )


def _interpolated(curve: RocCurve, target: float) -> tuple[float, float]:
    """Background efficiency and passing count where the curve reaches the target, linearly between points."""
    signal, background = curve.signal_efficiency, curve.background_efficiency
    passed = curve.n_background_passed
    right = int(np.searchsorted(signal, target, side="left"))
    left = right - 1
    fraction = (target - signal[left]) / (signal[right] - signal[left])
    efficiency = background[left] + fraction * (background[right] - background[left])
    return float(efficiency), float(passed[left] + fraction * (passed[right] - passed[left]))


def _first_above(curve: RocCurve, target: float) -> tuple[float, float]:
    """First corner of the curve strictly above the target: the rule of the published scripts."""
    keep = _corners(curve)
    above = np.flatnonzero(curve.signal_efficiency[keep] > target)
    if not len(above):
        return np.nan, np.nan
    point = keep[above[0]]
    return float(curve.background_efficiency[point]), float(curve.n_background_passed[point])


def _corners(curve: RocCurve) -> np.ndarray:
    """Positions left after dropping points collinear with their neighbours, scikit-learn's thinning."""
    signal, background = curve.signal_efficiency, curve.background_efficiency
    if len(signal) < 4:
        return np.arange(len(signal))
    bends = np.abs(np.diff(signal[1:], 2)) + np.abs(np.diff(background[1:], 2)) > 1e-12
    return np.flatnonzero(np.concatenate([[True, True], bends, [True]]))


_RULES = {"interpolate": _interpolated, "published": _first_above}


@dataclass(frozen=True, eq=False)
class SicCurve:
    r"""Significance improvement :math:`\epsilon_S/\sqrt{\epsilon_B}` along a ROC curve.

    Only points above the floor on background statistics are kept.

    Parameters
    ----------
    signal_efficiency, background_efficiency, significance_improvement, uncertainty : array, shape (T,)
        The uncertainty is that of the background count, relative :math:`1/(2\sqrt{n})`.
    n_background_passed : array, shape (T,)
    min_background, min_background_efficiency : float
        The floor that was applied.
    """

    signal_efficiency: np.ndarray
    background_efficiency: np.ndarray
    significance_improvement: np.ndarray
    uncertainty: np.ndarray
    n_background_passed: np.ndarray
    min_background: float
    min_background_efficiency: float


@dataclass(frozen=True)
class MaxSic:
    """The largest significance improvement above the floor, and where it is reached.

    Parameters
    ----------
    value, uncertainty
        Maximum of eps_S / sqrt(eps_B) and the error from the background count there.
    signal_efficiency, background_efficiency, n_background_passed
        The working point.
    """

    value: float
    uncertainty: float
    signal_efficiency: float
    background_efficiency: float
    n_background_passed: float

    def __str__(self) -> str:
        return number(self.value, self.uncertainty)


def sic_curve(
    curve: RocCurve, *, min_background: float = 10, min_background_efficiency: float = 1e-4
) -> SicCurve:
    r"""Significance improvement characteristic of a ROC curve.

    :math:`\mathrm{SIC} = \epsilon_S/\sqrt{\epsilon_B}`: by how much a cut raises :math:`S/\sqrt{B}`.

    Parameters
    ----------
    curve
        From `roc`.
    min_background
        Fewest (effective) background jets above threshold: 10 keeps the statistical error of the
        SIC below 16 %. The published scripts do not have it; pass 0 for their rule.
    min_background_efficiency
        Points at or below it are dropped; 1e-4 in the published scripts.

    Returns
    -------
    SicCurve

    Raises
    ------
    MetricError
        When no point of the curve is above the floor.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.metrics import roc
    >>> curve = roc(np.arange(40.0), np.arange(40) >= 20)
    >>> sic_curve(curve).significance_improvement.round(3).tolist()[:2]
    [1.414, 1.348]
    """
    keep = (curve.n_background_passed >= max(min_background, 1e-9)) & (
        curve.background_efficiency > min_background_efficiency
    )
    if not keep.any():
        raise MetricError(
            f"no point of the curve has {min_background:g} background jets above threshold "
            f"(the sample holds {curve.n_background:g}); test on more background or lower min_background"
        )
    n_passed, background = curve.n_background_passed[keep], curve.background_efficiency[keep]
    sic = curve.signal_efficiency[keep] / np.sqrt(background)
    return SicCurve(
        signal_efficiency=curve.signal_efficiency[keep],
        background_efficiency=background,
        significance_improvement=sic,
        uncertainty=sic / (2 * np.sqrt(n_passed)),
        n_background_passed=n_passed,
        min_background=min_background,
        min_background_efficiency=min_background_efficiency,
    )


def max_sic(
    curve: RocCurve, *, min_background: float = 10, min_background_efficiency: float = 1e-4
) -> MaxSic:
    """Largest significance improvement above the floor; parameters and errors as `sic_curve`.

    Returns
    -------
    MaxSic

    References
    ----------
    OmniLearn, arXiv:2404.16091, section VIII and Figure 7.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.metrics import roc
    >>> best = max_sic(roc(np.arange(40.0), np.arange(40) >= 20))
    >>> round(best.value, 3), best.background_efficiency
    (1.414, 0.5)
    """
    points = sic_curve(
        curve, min_background=min_background, min_background_efficiency=min_background_efficiency
    )
    best = int(np.argmax(points.significance_improvement))
    return MaxSic(
        value=float(points.significance_improvement[best]),
        uncertainty=float(points.uncertainty[best]),
        signal_efficiency=float(points.signal_efficiency[best]),
        background_efficiency=float(points.background_efficiency[best]),
        n_background_passed=float(points.n_background_passed[best]),
    )


def significance(n_signal: float, n_background: float, *, background_uncertainty: float = 0.0) -> float:
    r"""Median significance of an excess over a known background, in standard deviations.

    Asimov formula :math:`Z = \sqrt{2[(s+b)\ln(1+s/b) - s]}`, and with an uncertainty
    :math:`\sigma_b` its profile-likelihood extension. For s much smaller than b it is
    :math:`s/\sqrt{b + \sigma_b^2}`.

    Parameters
    ----------
    n_signal
        Expected signal events s >= 0.
    n_background
        Expected background events b > 0.
    background_uncertainty
        Absolute uncertainty of b.

    Returns
    -------
    float

    Raises
    ------
    MetricError
        For zero or negative background (the significance is undefined), negative signal or
        uncertainty, or not-a-number.

    References
    ----------
    Cowan et al., arXiv:1007.1727, eq. 97; Cowan, "Discovery sensitivity for a counting experiment
    with background uncertainty" (2012), eq. 20.

    Examples
    --------
    >>> round(significance(600, 100_000), 2), round(significance(10, 10), 2)
    (1.9, 2.78)
    """
    s, b, error = float(n_signal), float(n_background), float(background_uncertainty)
    if not (np.isfinite([s, b, error]).all() and s >= 0 and b > 0 and error >= 0):
        raise MetricError(
            "significance needs signal >= 0, background > 0 and uncertainty >= 0, "
            f"found {s:g}, {b:g}, {error:g}"
        )
    if error == 0:
        half = (s + b) * np.log1p(s / b) - s
    else:
        v = error**2
        first = (s + b) * np.log1p(s * b / (b**2 + (s + b) * v))  # (s+b)(b+v) / (b^2 + (s+b)v) - 1
        half = first - (b / error) ** 2 * np.log1p(v * s / (b * (b + v)))
    return float(np.sqrt(2 * max(half, 0.0)))


def p_value_to_sigma(p_value: float) -> float:
    r"""One-sided p-value in standard deviations, :math:`Z = \Phi^{-1}(1 - p)`.

    Parameters
    ----------
    p_value
        In (0, 1).

    Returns
    -------
    float
        Negative above 0.5.

    Raises
    ------
    MetricError
        For values outside (0, 1). A p-value of 0 from pseudo-experiments is a limit: use 1/(n + 1).

    Examples
    --------
    >>> round(p_value_to_sigma(2.866515719235352e-07), 6)
    5.0
    """
    if not 0 < p_value < 1:
        raise MetricError(
            f"a p-value must lie strictly between 0 and 1, found {p_value}; "
            "with n pseudo-experiments and none beyond, quote p < 1/(n + 1)"
        )
    return float(-ndtri_exp(np.log(p_value)))
