"""Distances between weighted histograms, as reweighting and unfolding quote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from omnilearn_lab.display import number
from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics._checks import as_values, as_weights, effective_number
from omnilearn_lab.metrics.distances.transport import Weights

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
    uncertainty: Literal["bootstrap", "published"] = "bootstrap",
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
        normalisation kept, as the OmniLearn script does. Both with 100 trials.
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
    if uncertainty not in _TRIALS:
        raise MetricError(f"no uncertainty '{uncertainty}'; {nearest(str(uncertainty), _TRIALS)}")
    edges = _edges(edges)
    sides = [
        _Binned(name, values, w, edges)
        for name, values, w in zip(("reference", "sample"), (reference, sample), weights, strict=True)
    ]
    rng = np.random.default_rng(seed)
    trials = [_discriminator(*(_TRIALS[uncertainty](side, rng) for side in sides)) for _ in range(N_TRIALS)]
    shares = [side.contents / side.contents.sum() for side in sides]
    n_populated = np.count_nonzero(shares[0] + shares[1])
    return TriangularDiscriminator(
        value=PER_MILLE * _discriminator(*shares),
        uncertainty=PER_MILLE * float(np.nanstd(trials)),
        floor=PER_MILLE * n_populated / 4 * sum(1 / effective_number(side.weights) for side in sides),
        edges=edges,
        reference=shares[0],
        sample=shares[1],
        outside=(sides[0].outside, sides[1].outside),
    )


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
    edges = _edges(edges)
    a, b = (
        _Binned(name, values, w, edges)
        for name, values, w in zip(("reference", "sample"), (reference, sample), weights, strict=True)
    )
    norms = (a.contents.sum(), b.contents.sum()) if compare == "shape" else (1.0, 1.0)
    difference = b.contents / norms[1] - a.contents / norms[0]
    variance = a.variances / norms[0] ** 2 + b.variances / norms[1] ** 2
    pulls = np.divide(difference, np.sqrt(variance), out=np.zeros_like(difference), where=variance > 0)
    ndf = int(np.count_nonzero(variance)) - (compare == "shape")
    if ndf < 1:
        raise MetricError("comparing shapes needs at least two populated bins")
    value = float(pulls @ pulls)
    return Chi2(value, ndf, float(gammaincc(ndf / 2, value / 2)), pulls)


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
