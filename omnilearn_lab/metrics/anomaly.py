"""Searches: significance of an excess, p-values and sigmas, ABCD background estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc, ndtri_exp

from omnilearn_lab.errors import MetricError


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


@dataclass(frozen=True, eq=False)
class AbcdClosure:
    """Observed events in region A against the estimate B D / C, bin by bin.

    Parameters
    ----------
    predicted, uncertainty : array, shape (K,)
        B D / C and its error from the counts of the three regions.
    ratio, ratio_uncertainty : array, shape (K,)
        Observed / predicted, with the error expected if the estimate holds (so that a downward
        fluctuation of A does not gain weight).
    mean_ratio, mean_ratio_uncertainty
        The ratios fitted by a constant.
    chi2, n_degrees_of_freedom, p_value
        Of that fit.
    """

    predicted: np.ndarray
    uncertainty: np.ndarray
    ratio: np.ndarray
    ratio_uncertainty: np.ndarray
    mean_ratio: float
    mean_ratio_uncertainty: float
    chi2: float
    n_degrees_of_freedom: int
    p_value: float


def abcd_closure(
    signal_region: ArrayLike, side_b: ArrayLike, side_c: ArrayLike, side_d: ArrayLike
) -> AbcdClosure:
    r"""Does the ABCD estimate close? :math:`A = B\,D/C` in every bin, counts being Poisson.

    With two independent cuts, A passes both, B and D one each, C none. The relative variance of the
    estimate is the sum of the three relative variances.

    Parameters
    ----------
    signal_region, side_b, side_c, side_d : array, shape (K,)
        Counts (after subtracting other processes, if any) in regions A, B, C and D.

    Returns
    -------
    AbcdClosure

    Raises
    ------
    MetricError
        For an empty bin in B, C or D (the message lists them: merge bins), negative or not-a-number
        counts, or different lengths.

    References
    ----------
    OmniLearned anomaly search, arXiv:2603.23593.

    Examples
    --------
    >>> result = abcd_closure([12, 8], [100, 100], [1000, 1000], [100, 100])
    >>> result.predicted.tolist(), round(result.mean_ratio, 2)
    ([10.0, 10.0], 1.0)
    """
    counts = [np.atleast_1d(np.asarray(x, dtype=float)) for x in (signal_region, side_b, side_c, side_d)]
    if len({x.shape for x in counts}) > 1 or counts[0].ndim != 1 or not len(counts[0]):
        raise MetricError(
            f"the four regions need one count per bin, found shapes {[x.shape for x in counts]}"
        )
    empty = np.flatnonzero(~((np.min(counts[1:], axis=0) > 0) & (counts[0] >= 0)))
    if len(empty):
        raise MetricError(f"ABCD needs counts > 0 in B, C and D; bins {empty.tolist()} fail: merge bins")
    a, b, c, d = counts
    predicted = b * d / c
    relative = np.sqrt(1 / b + 1 / c + 1 / d)
    ratio = a / predicted
    ratio_error = np.sqrt(1 / predicted + relative**2)
    weight = 1 / ratio_error**2
    mean = float(np.sum(weight * ratio) / weight.sum())
    chi2, ndf = float(np.sum(weight * (ratio - mean) ** 2)), len(a) - 1
    return AbcdClosure(
        predicted=predicted,
        uncertainty=predicted * relative,
        ratio=ratio,
        ratio_uncertainty=ratio_error,
        mean_ratio=mean,
        mean_ratio_uncertainty=float(weight.sum() ** -0.5),
        chi2=chi2,
        n_degrees_of_freedom=ndf,
        p_value=float(gammaincc(ndf / 2, chi2 / 2)) if ndf else 1.0,
    )
