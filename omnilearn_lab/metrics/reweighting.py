"""Event weights from classifiers, what they are worth, and distances between weighted histograms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from omnilearn_lab.display import number
from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics import _checks
from omnilearn_lab.metrics._checks import as_values, as_weights, effective_number
from omnilearn_lab.metrics.distances import Weights

if TYPE_CHECKING:
    import hist


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
        Weighted mean prediction, weighted fraction of hits, and half of its Wilson interval of one
        standard deviation: :math:`\sqrt{f(1-f)/n}` for large n, the effective number of jets, and not zero
        for few; NaN in empty bins.
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
        uncertainty=_checks.share_error(observed, n_effective),
        fraction=fraction,
        expected_calibration_error=float(np.sum((fraction * np.abs(observed - mean))[filled])),
    )


def _confidence(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and whether it came true, per jet."""
    table = _checks.as_table("probabilities", probabilities)
    labels = _checks.as_labels(labels, len(table), n_classes=table.shape[1])
    if table.shape[1] == 2:
        return table[:, 1], labels.astype(float)
    return table.max(axis=1), (table.argmax(axis=1) == labels).astype(float)


PER_MILLE = 1000.0  # the factor of the published tables
N_TRIALS = 100  # as in the published script

# Range and number of bins of the OmniLearn evaluation; its np.linspace(low, high, n) gives n - 1 bins.
PUBLISHED_BINNING = {
    "mass": (0.0, 75.0, 49),
    "width": (0.0, 0.6, 49),
    "multiplicity": (0.0, 80.0, 79),
    "ln_rho": (-14.0, -2.0, 49),
    "z_g": (0.0, 0.5, 49),
    "tau_21": (0.0, 1.2, 49),
}


def published_edges(observable: str) -> np.ndarray:
    """Bin edges that the published triangular discriminators use.

    Parameters
    ----------
    observable
        One of ``mass`` [GeV], ``width``, ``multiplicity``, ``ln_rho``, ``z_g``, ``tau_21``.

    Returns
    -------
    array
        Equal bins. The 79 bins of the multiplicity are 80/79 wide and alias with the integers: use
        them for the number, integer bins for a figure.

    Raises
    ------
    MetricError
        For another name.

    References
    ----------
    OmniLearn, arXiv:2404.16091, Figure 6.

    Examples
    --------
    >>> len(published_edges("mass")), float(published_edges("mass")[-1])
    (50, 75.0)
    """
    if observable not in PUBLISHED_BINNING:
        raise MetricError(
            f"no published binning for '{observable}'; {nearest(observable, PUBLISHED_BINNING)}"
        )
    low, high, n_bins = PUBLISHED_BINNING[observable]
    return np.linspace(low, high, n_bins + 1)


@dataclass(frozen=True, eq=False)
class TriangularDiscriminator:
    """Distance of two binned distributions, times 1000 as in the papers.

    Parameters
    ----------
    value
        1000 times the discriminator, between 0 (equal) and 1000 (disjoint).
    uncertainty
        Standard deviation over trials, times 1000.
    floor
        Expected value for two samples of this size from one distribution, times 1000: a value near
        it means "no difference seen".
    edges : array, shape (K + 1,)
    reference, sample : array, shape (K,)
        Share of each bin in the total inside the range.
    outside : tuple of float
        Share of the weight of reference and sample outside the range, left out.
    """

    value: float
    uncertainty: float
    floor: float
    edges: np.ndarray
    reference: np.ndarray
    sample: np.ndarray
    outside: tuple[float, float]

    def __str__(self) -> str:
        return f"{number(self.value, self.uncertainty)} (floor {self.floor:.2g}, times 1000)"


def triangular_discriminator(
    reference: ArrayLike,
    sample: ArrayLike,
    edges: ArrayLike,
    *,
    weights: Weights = (None, None),
    uncertainty: Literal["bootstrap", "published", "none"] = "bootstrap",
    seed: int = 0,
) -> TriangularDiscriminator:
    r"""Triangular discriminator of two weighted distributions, times 1000.

    With bin shares a, b (both normalised to the entries **inside** the range),
    :math:`\Delta = \frac12 \sum_k (a_k - b_k)^2/(a_k + b_k)`; bins empty on both sides add nothing.
    For two samples of one distribution in K populated bins it is :math:`(K/4)(1/n_1 + 1/n_2)` on
    average, n being effective numbers of events: the ``floor``.

    Parameters
    ----------
    reference, sample : array, shape (N,) and (M,)
        Values of the observable; entries outside the edges are left out and their share reported.
    edges : array, shape (K + 1,)
        Rising bin edges, in the unit of the observable; `published_edges` for the papers'.
    weights : pair of arrays, optional
        Event weights >= 0 of the two samples.
    uncertainty
        ``"bootstrap"``: every event weight is multiplied by an independent Poisson(1) number.
        ``"published"``: every bin is drawn uniformly within plus or minus its statistical error, the
        normalisation kept, as the OmniLearn script does. Both with 100 trials, which take nearly all of
        the time; ``"none"`` leaves them out, and the uncertainty is NaN.
    seed
        Seed of the trials.

    Returns
    -------
    TriangularDiscriminator

    Raises
    ------
    MetricError
        For bad edges or weights, not-a-number, or nothing inside the range.

    References
    ----------
    Topsoe, IEEE Trans. Inf. Theory 46 (2000) 1602; Gras et al., arXiv:1704.03878, eq. 1.5;
    OmniLearn, arXiv:2404.16091, Table VII.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = triangular_discriminator(rng.random(1000), rng.random(1000), np.linspace(0, 1, 11))
    >>> result.floor, result.value < 4 * result.floor
    (5.0, True)
    """
    if uncertainty not in (*_TRIALS, "none"):
        raise MetricError(f"no uncertainty '{uncertainty}'; {nearest(str(uncertainty), (*_TRIALS, 'none'))}")
    edges = _edges(edges)
    sides = _binned((reference, sample), weights, edges)
    rng, trial = np.random.default_rng(seed), _TRIALS.get(uncertainty)
    trials = [_discriminator(*(trial(side, rng) for side in sides)) for _ in range(N_TRIALS if trial else 0)]
    shares = [side.contents / side.contents.sum() for side in sides]
    n_populated = np.count_nonzero(shares[0] + shares[1])
    return TriangularDiscriminator(
        value=PER_MILLE * _discriminator(*shares),
        uncertainty=PER_MILLE * float(np.nanstd(trials)) if trials else math.nan,
        floor=PER_MILLE * n_populated / 4 * sum(1 / effective_number(side.weights) for side in sides),
        edges=edges,
        reference=shares[0],
        sample=shares[1],
        outside=(sides[0].outside, sides[1].outside),
    )


def weighted_hist(edges: np.ndarray, values: np.ndarray, variances: np.ndarray, label: str = "") -> hist.Hist:
    """Return bin contents as a ``hist.Hist`` with weight storage; two contents more are of what lies outside.

    Examples
    --------
    >>> weighted_hist(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0]), np.array([3.0, 4.0])).values()
    array([3., 4.])
    """
    import hist

    filled = hist.Hist(hist.axis.Variable(edges, name="x", label=label), storage=hist.storage.Weight())
    view = filled.view(flow=len(values) > len(edges))
    view["value"], view["variance"] = values, variances
    return filled


@dataclass(frozen=True, eq=False)
class Chi2:
    """Comparison of two weighted histograms.

    Parameters
    ----------
    value, n_degrees_of_freedom, p_value
        Chi-square, populated bins (minus one when only shapes are compared), and the probability of a
        larger value.
    pulls : array, shape (K,)
        (sample - reference) / error per bin; 0 where both are empty.
    """

    value: float
    n_degrees_of_freedom: int
    p_value: float
    pulls: np.ndarray

    def __str__(self) -> str:
        return f"chi2/ndf = {self.value:.1f}/{self.n_degrees_of_freedom}, p = {self.p_value:.2g}"


def weighted_chi2(
    reference: ArrayLike,
    sample: ArrayLike,
    edges: ArrayLike,
    *,
    weights: Weights = (None, None),
    compare: Literal["shape", "counts"] = "shape",
) -> Chi2:
    r"""Chi-square between two weighted histograms.

    :math:`\chi^2 = \sum_k (a_k - b_k)^2/(\sigma_{a,k}^2 + \sigma_{b,k}^2)` with
    :math:`\sigma^2 = \sum w^2` per bin; for shapes contents and errors are first divided by the total
    inside the range. Trust the p-value where every bin holds some ten effective events.

    Parameters
    ----------
    reference, sample : array, shape (N,) and (M,)
    edges : array, shape (K + 1,)
        Rising bin edges; entries outside are left out.
    weights : pair of arrays, optional
        Event weights >= 0.
    compare
        ``"shape"`` (normalised, one degree of freedom less) or ``"counts"``.

    Returns
    -------
    Chi2

    Raises
    ------
    MetricError
        For bad edges or weights, not-a-number, nothing inside the range, or a shape with one bin.

    References
    ----------
    Gagunashvili, arXiv:physics/0605123, eq. 5.

    Examples
    --------
    >>> result = weighted_chi2([0.5] * 60 + [1.5] * 40, [0.5] * 50 + [1.5] * 50, [0, 1, 2])
    >>> round(result.value, 3), result.n_degrees_of_freedom
    (2.02, 1)
    """
    if compare not in ("shape", "counts"):
        raise MetricError(f"cannot compare '{compare}'; {nearest(str(compare), ('shape', 'counts'))}")
    a, b = _binned((reference, sample), weights, _edges(edges))
    norms = (a.contents.sum(), b.contents.sum()) if compare == "shape" else (1.0, 1.0)
    difference = b.contents / norms[1] - a.contents / norms[0]
    variance = a.variances / norms[0] ** 2 + b.variances / norms[1] ** 2
    pulls = np.divide(difference, np.sqrt(variance), out=np.zeros_like(difference), where=variance > 0)
    ndf = int(np.count_nonzero(variance)) - (compare == "shape")
    if ndf < 1:
        raise MetricError("comparing shapes needs at least two populated bins")
    value = float(pulls @ pulls)
    return Chi2(value, ndf, float(gammaincc(ndf / 2, value / 2)), pulls)


def _binned(samples: tuple[ArrayLike, ArrayLike], weights: Weights, edges: np.ndarray) -> list[_Binned]:
    both = zip(("reference", "sample"), samples, weights, strict=True)
    return [_Binned(name, values, own, edges) for name, values, own in both]


class _Binned:
    """One sample in bins: contents, variances, and the events inside for resampling."""

    def __init__(self, name: str, values: ArrayLike, weights: ArrayLike | None, edges: np.ndarray) -> None:
        array = as_values(name, values)
        weights = as_weights(weights, len(array), what=f"weights of {name}")
        position = np.searchsorted(edges, array, side="right") - 1
        position[array == edges[-1]] = len(edges) - 2  # the last bin is closed, as in numpy's histogram
        inside = (position >= 0) & (position < len(edges) - 1)
        if not weights[inside].sum() > 0:
            raise MetricError(f"{name}: nothing between {edges[0]:g} and {edges[-1]:g}; check unit and edges")
        self.outside = float(weights[~inside].sum() / weights.sum())
        self.position, self.weights, self.n_bins = position[inside], weights[inside], len(edges) - 1
        self.contents = self.fill(self.weights)
        self.variances = self.fill(self.weights**2)

    def fill(self, weights: np.ndarray) -> np.ndarray:
        return np.bincount(self.position, weights=weights, minlength=self.n_bins)


def _bootstrap_trial(side: _Binned, rng: np.random.Generator) -> np.ndarray:
    contents = side.fill(side.weights * rng.poisson(1.0, len(side.weights)))
    total = contents.sum()
    return contents / total if total > 0 else np.full_like(contents, np.nan)


def _published_trial(side: _Binned, rng: np.random.Generator) -> np.ndarray:
    error = np.sqrt(side.variances)
    return rng.uniform(side.contents - error, side.contents + error) / side.contents.sum()


_TRIALS = {"bootstrap": _bootstrap_trial, "published": _published_trial}


def _discriminator(a: np.ndarray, b: np.ndarray) -> float:
    total = a + b
    return float(np.sum(np.divide((a - b) ** 2, total, out=np.zeros_like(total), where=total != 0)) / 2)


def _edges(edges: ArrayLike) -> np.ndarray:
    array = as_values("edges", edges)
    if len(array) < 2 or (np.diff(array) <= 0).any():
        raise MetricError(f"edges must rise and be at least two, found {array[:5].tolist()}...")
    return array
