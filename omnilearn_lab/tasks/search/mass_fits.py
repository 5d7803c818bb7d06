"""Bump hunts: smooth fits of mass spectra, scans of the cut, expected sensitivity."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import log_ndtr, xlogy

from omnilearn_lab.display import number
from omnilearn_lab.errors import ConfigError, MetricError, MissingDependencyError, translated
from omnilearn_lab.metrics import p_value_to_sigma
from omnilearn_lab.settings import settings

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
_MIN_EVENTS_PER_PARAMETER = 5
Basis = Callable[[np.ndarray, "MassFit"], list[np.ndarray]]


def _dijet(mass: np.ndarray, fit: MassFit) -> list[np.ndarray]:
    x = mass / fit.energy
    return [np.ones_like(x), np.log1p(-x), np.log(x), np.log(x) ** 2]


def _polynomial(mass: np.ndarray, fit: MassFit) -> list[np.ndarray]:
    low, high = fit.limits
    t = (2 * mass - low - high) / (high - low)
    return [t**power for power in range(4)]


FUNCTIONS: Mapping[str, tuple[Basis, int]] = MappingProxyType(
    {
        "dijet3": (_dijet, 3),
        "dijet4": (_dijet, 4),
        "log_polynomial2": (_polynomial, 3),
        "log_polynomial3": (_polynomial, 4),
    }
)
"""Smooth spectra by name, each as terms of ln f(m) that are added with free factors, and their number."""


@settings
class MassWindow:
    """Where a resonance is looked for, and how far the sidebands reach.

    Parameters
    ----------
    signal_region, limits
        Lower and upper mass [GeV].

    Raises
    ------
    ConfigError
        When the region does not lie inside the limits.

    Examples
    --------
    >>> window = MassWindow()
    >>> window.inside([2500.0, 3500.0, 5100.0]).tolist(), window.beside([2500.0, 3500.0, 5100.0]).tolist()
    ([False, True, False], [True, False, False])
    """

    signal_region: tuple[float, float] = (3300.0, 3700.0)
    limits: tuple[float, float] = (2300.0, 5000.0)

    def __post_init__(self) -> None:
        if not self.limits[0] < self.signal_region[0] < self.signal_region[1] < self.limits[1]:
            raise ConfigError(
                f"the signal region {self.signal_region} GeV must lie inside the limits {self.limits} GeV, "
                "with sidebands on both sides"
            )

    def inside(self, masses: ArrayLike) -> np.ndarray:
        """Return which masses lie in the signal region."""
        return _between(masses, self.signal_region)

    def beside(self, masses: ArrayLike) -> np.ndarray:
        """Return which masses lie in the sidebands."""
        return _between(masses, self.limits) & ~self.inside(masses)


def _between(masses: ArrayLike, limits: tuple[float, float]) -> np.ndarray:
    masses = np.asarray(masses)
    return (masses >= limits[0]) & (masses < limits[1])


@settings
class MassFit:
    r"""How the smooth spectrum is fitted.

    ``dijet4`` is the usual :math:`f(m) = p_0 (1 - x)^{p_1} x^{-p_2 - p_3 \ln x}` with
    :math:`x = m/\sqrt{s}`, ``dijet3`` has :math:`p_3 = 0`; ``log_polynomial2`` and ``3`` are polynomials of
    that degree in ln f. Valid for 0 < x < 1.

    Parameters
    ----------
    limits
        Lowest and highest mass of the fit [GeV].
    function
        A key of `FUNCTIONS`.
    n_bins
        About so many equal bins over the limits; edges are placed on the signal region's.
    energy
        Centre-of-mass energy [GeV].
    n_toys
        Pseudo-experiments for the p-value; 0 gives the asymptotic one only.
    seed

    Raises
    ------
    ConfigError
        For an unknown function, or numbers outside their domain.

    References
    ----------
    CDF, arXiv:0812.4036; ATLAS and CMS dijet searches, such as arXiv:1911.03947, eq. 1.
    """

    limits: tuple[float, float] = (2300.0, 5000.0)
    function: Literal[(*FUNCTIONS,)] = "dijet3"  # type: ignore[valid-type]
    n_bins: int = 27
    energy: float = 13_000.0
    n_toys: Annotated[int, Field(ge=0)] = 0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.limits[0] < self.limits[1] < self.energy:
            raise ConfigError(f"limits {self.limits} GeV must rise and lie between 0 and {self.energy:g} GeV")
        if self.n_bins <= self.n_parameters:
            raise ConfigError(
                f"n_bins is {self.n_bins}: more bins than the {self.n_parameters} parameters are needed"
            )

    @property
    def n_parameters(self) -> int:
        """Free parameters of the spectrum."""
        return FUNCTIONS[self.function][1]


def spectrum_edges(window: MassWindow, n_bins: int) -> np.ndarray:
    """Return about ``n_bins`` equal bins between the limits, with edges on those of the signal region.

    Examples
    --------
    >>> spectrum_edges(MassWindow((4.0, 7.0), (0.0, 10.0)), 5).tolist()
    [0.0, 2.0, 4.0, 5.5, 7.0, 8.5, 10.0]
    """
    (low, high), (left, right) = window.limits, window.signal_region
    width = (high - low) / n_bins
    below, inside, above = (
        np.linspace(a, b, max(1, round((b - a) / width)) + 1)
        for a, b in ((low, left), (left, right), (right, high))
    )
    return np.concatenate([below, inside[1:], above[1:]])


@dataclass(frozen=True, eq=False)
class SpectrumModel:
    """Expected counts of a smooth spectrum, and their maximum-likelihood fit.

    The logarithm of the spectrum is linear in the parameters, so the negative log-likelihood
    :math:`\\sum_i \\lambda_i - n_i \\ln\\lambda_i` is nearly quadratic and the fit needs no start values.

    Parameters
    ----------
    fit : MassFit
    window : MassWindow
        Its signal region is one bin of the fit, whatever the shape of the signal in it.

    Examples
    --------
    >>> model = SpectrumModel(MassFit(n_bins=9), MassWindow())
    >>> model.edges.round().tolist()
    [2300.0, 2633.0, 2967.0, 3300.0, 3700.0, 4025.0, 4350.0, 4675.0, 5000.0]
    """

    fit: MassFit
    window: MassWindow

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges of the bins [GeV]."""
        return spectrum_edges(self.window, self.fit.n_bins)

    @cached_property
    def is_signal(self) -> np.ndarray:
        """Which bins lie in the signal region, shape (K,)."""
        return self.window.inside((self.edges[1:] + self.edges[:-1]) / 2)

    @cached_property
    def _group(self) -> np.ndarray:
        """Bin of the fit for each bin: the sideband bins, with the signal region as last one."""
        group = np.cumsum(~self.is_signal) - 1
        return np.where(self.is_signal, group[-1] + 1, group)

    @cached_property
    def _terms(self) -> tuple[np.ndarray, np.ndarray]:
        """Orthonormal terms (K, 4 points, P) and widths (K, 4) of the integral over each bin."""
        half = np.diff(self.edges)[:, None] / 2
        mass = (self.edges[1:] + self.edges[:-1])[:, None] / 2 + half * _NODES
        basis, n = FUNCTIONS[self.fit.function]
        terms = np.stack(basis(mass, self.fit)[:n], axis=-1)
        q, _ = np.linalg.qr(terms.reshape(-1, n))
        return q.reshape(terms.shape) * np.sqrt(mass.size), half * _WEIGHTS

    def expected(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return expected counts (K,) of all bins and their derivatives (K, P)."""
        terms, widths = self._terms
        density = widths * np.exp(np.minimum(terms @ parameters, 500.0))
        return density.sum(axis=1), np.einsum("kq,kqp->kp", density, terms)

    def grouped(self, values: np.ndarray) -> np.ndarray:
        """Add up the bins of the signal region: (K, ...) to (sideband bins + 1, ...)."""
        out = np.zeros((self._group.max() + 1, *values.shape[1:]))
        np.add.at(out, self._group, values)
        return out

    def maximise(self, counts: np.ndarray, *, use_signal_region: bool) -> tuple[np.ndarray, float]:
        """Fit grouped counts; return the parameters and the negative log-likelihood.

        Parameters
        ----------
        counts : array, shape (sideband bins + 1,)
        use_signal_region
            False leaves the last count out.
        """
        used = slice(None) if use_signal_region else slice(-1)
        n = counts[used]

        def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            rate, slope = (self.grouped(v)[used] for v in self.expected(parameters))
            return float(np.sum(rate - xlogy(n, rate))), slope.T @ (1 - n / rate)

        def curvature(parameters: np.ndarray) -> np.ndarray:
            rate, slope = (self.grouped(v)[used] for v in self.expected(parameters))
            return (slope / rate[:, None]).T @ slope

        scale = max(n.sum(), 1.0)
        minimum = minimize(
            lambda p: tuple(v / scale for v in objective(p)),
            self._start(n, used),
            jac=True,
            hess=lambda p: curvature(p) / scale,
            method="trust-exact",
            options={"gtol": 1e-7},
        )
        return minimum.x, float(minimum.fun * scale)

    def uncertainty(self, parameters: np.ndarray) -> np.ndarray:
        """Covariance (P, P) from the sidebands: the inverse of the expected information."""
        rate, slope = (self.grouped(v)[:-1] for v in self.expected(parameters))
        return np.linalg.inv((slope / rate[:, None]).T @ slope)

    def _start(self, counts: np.ndarray, used: slice) -> np.ndarray:
        """Weighted least squares of ln(n + 1/2) at the bin centres."""
        terms, widths = self._terms
        middle, width = self.grouped(terms.mean(axis=1)), self.grouped(widths.sum(axis=1))
        size = self.grouped(np.ones(len(terms)))
        weight = np.sqrt(counts + 0.5)
        rows = (middle / size[:, None])[used] * weight[:, None]
        return np.linalg.lstsq(rows, weight * np.log((counts + 0.5) / width[used]), rcond=None)[0]


@dataclass(frozen=True, eq=False)
class BumpHunt:
    """What a bump hunt found.

    Parameters
    ----------
    signal_region
        [GeV].
    edges : array, shape (K + 1,)
        Bins of the spectrum [GeV].
    counts, curve, curve_uncertainty : array, shape (K,)
        Observed events, and those expected from the fit to the sidebands alone, with its error.
    observed, expected, expected_uncertainty
        Events in the signal region.
    significance
        Signed square root of the profile likelihood ratio, in standard deviations; negative for a deficit.
    chi2, n_degrees_of_freedom
        Of the sideband bins (Pearson).
    p_value_toys, p_value_toys_uncertainty
        From pseudo-experiments of the background-only fit, (1 + beyond) / (1 + toys), and its
        binomial error; NaN without toys.
    """

    signal_region: tuple[float, float]
    edges: np.ndarray
    counts: np.ndarray
    curve: np.ndarray
    curve_uncertainty: np.ndarray
    observed: int
    expected: float
    expected_uncertainty: float
    significance: float
    chi2: float
    n_degrees_of_freedom: int
    p_value_toys: float = np.nan
    p_value_toys_uncertainty: float = np.nan

    @property
    def n_signal(self) -> float:
        """Observed minus expected."""
        return self.observed - self.expected

    @property
    def n_signal_uncertainty(self) -> float:
        """Of counting and of the fit."""
        return float(np.sqrt(max(self.observed, 1) + self.expected_uncertainty**2))

    @property
    def p_value(self) -> float:
        """Local, one-sided, asymptotic: 1 - Phi(significance). Uniform without a signal."""
        return float(np.exp(log_ndtr(-self.significance)))

    def __str__(self) -> str:
        low, high = self.signal_region
        return (
            f"{self.observed} events between {low:g} and {high:g} GeV, "
            f"{number(self.expected, self.expected_uncertainty)} expected: "
            f"{self.significance:+.1f} sigma (local p = {self.p_value:.2g})"
        )


def sample_masses(
    masses: ArrayLike,
    n: int,
    signal_region: tuple[float, float],
    *,
    fit: MassFit = MassFit(),
    seed: int = 1,
) -> np.ndarray:
    """Draw masses in the signal region from the smooth spectrum that is fitted beside it.

    Parameters
    ----------
    masses : array, shape (N,)
        [GeV]; those inside the signal region are not used.
    n
    signal_region
        [GeV].
    fit : MassFit
    seed

    Returns
    -------
    float64 array, shape (n,)
        [GeV]; the spectrum is a step function in bins of the fit.

    Raises
    ------
    MetricError, ConfigError
        As `bump_hunt`.
    """
    model, counts = _counted(masses, signal_region, fit)
    parameters, _ = model.maximise(model.grouped(counts.astype(float)), use_signal_region=False)
    rate = model.expected(parameters)[0] * model.is_signal
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(rate), size=n, p=rate / rate.sum())
    return model.edges[chosen] + rng.random(n) * np.diff(model.edges)[chosen]


def bump_hunt(masses: ArrayLike, signal_region: tuple[float, float], fit: MassFit = MassFit()) -> BumpHunt:
    r"""Count the events in a mass window against a smooth spectrum fitted beside it.

    The test statistic is :math:`q = 2[\ln L(\hat s, \hat\theta) - \ln L(0, \hat{\hat\theta})]` with the
    number of signal events s in the window free, also below zero, and :math:`Z = \pm\sqrt q`. The shape
    of the spectrum is profiled, so its uncertainty is part of Z. Signal outside the window is taken for
    background.

    Parameters
    ----------
    masses : array, shape (N,)
        [GeV]; those outside the limits of the fit are left out.
    signal_region
        Lower and upper mass of the window [GeV].
    fit : MassFit

    Returns
    -------
    BumpHunt

    Raises
    ------
    MetricError
        For masses that are not finite, or sidebands that are empty or too thin for the fit.
    ConfigError
        When the window leaves no sidebands.

    References
    ----------
    Cowan et al., arXiv:1007.1727, eqs. 7 to 12 and 52.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> hunt = bump_hunt(2300 + rng.exponential(600, 5000), (3300, 3700), MassFit(function="log_polynomial2"))
    >>> hunt.observed, abs(hunt.significance) < 3
    (461, True)
    """
    model, counts = _counted(masses, signal_region, fit)
    parameters, null, sigma = _tested(model, model.grouped(counts.astype(float)))
    curve, slope = model.expected(parameters)
    covariance = model.uncertainty(parameters)
    inside = slope[model.is_signal].sum(axis=0)
    p_toys, p_toys_error = _toys(model, null, sigma) if model.fit.n_toys else (np.nan, np.nan)
    beside = ~model.is_signal
    return BumpHunt(
        signal_region=model.window.signal_region,
        edges=model.edges,
        counts=counts,
        curve=curve,
        curve_uncertainty=np.sqrt(np.einsum("kp,pq,kq->k", slope, covariance, slope)),
        observed=int(counts[model.is_signal].sum()),
        expected=float(curve[model.is_signal].sum()),
        expected_uncertainty=float(np.sqrt(inside @ covariance @ inside)),
        significance=sigma,
        p_value_toys=p_toys,
        p_value_toys_uncertainty=p_toys_error,
        chi2=float(np.sum((counts - curve)[beside] ** 2 / curve[beside])),
        n_degrees_of_freedom=int(beside.sum()) - model.fit.n_parameters,
    )


def _counted(
    masses: ArrayLike, signal_region: tuple[float, float], fit: MassFit
) -> tuple[SpectrumModel, np.ndarray]:
    """The model of a spectrum, and the counts in its bins, which suffice for the fit."""
    model = SpectrumModel(fit, MassWindow(signal_region, fit.limits))
    counts = np.histogram(_checked(masses), model.edges)[0]
    _check_sidebands(counts, model)
    return model, counts


def _checked(masses: ArrayLike) -> np.ndarray:
    values = np.asarray(masses, dtype=float).ravel()
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise MetricError(
            f"{len(bad)} of {len(values)} masses are not finite (first at row {bad[0]}); remove those events"
        )
    return values


def _check_sidebands(counts: np.ndarray, model: SpectrumModel) -> None:
    low, high = model.window.signal_region
    centres = (model.edges[1:] + model.edges[:-1]) / 2
    sides = {"below": counts[centres < low], "above": counts[centres > high]}
    empty = [name for name, side in sides.items() if side.sum() == 0]
    needed = _MIN_EVENTS_PER_PARAMETER * model.fit.n_parameters
    total = int(sum(side.sum() for side in sides.values()))
    if empty or total < needed:
        there = ", ".join(f"{int(side.sum())} {name}" for name, side in sides.items())
        raise MetricError(
            f"the sidebands of {low:g} to {high:g} GeV hold {there} (limits {model.fit.limits} GeV); at "
            f"least {needed}, on both sides, are needed for {model.fit.n_parameters} parameters: loosen "
            "the cut, widen the limits, or use a function with fewer parameters"
        )


def _tested(model: SpectrumModel, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Parameters without and with the signal region, and the significance, of grouped counts."""
    parameters, sideband_nll = model.maximise(counts, use_signal_region=False)
    null, null_nll = model.maximise(counts, use_signal_region=True)
    observed, expected = counts[-1], model.expected(parameters)[0][model.is_signal].sum()
    own = observed - xlogy(observed, observed)  # of the signal region, whose number of events is free
    root = np.sqrt(2 * max(null_nll - sideband_nll - own, 0.0))
    return parameters, null, float(np.sign(observed - expected) * root)


def _toys(model: SpectrumModel, null: np.ndarray, sigma: float) -> tuple[float, float]:
    """Share of background-only pseudo-experiments with at least this significance, and its error."""
    fit = model.fit
    rates = model.grouped(model.expected(null)[0])
    draws = np.random.default_rng(fit.seed).poisson(rates, (fit.n_toys, len(rates))).astype(float)
    beyond = sum(_tested(model, counts)[-1] >= sigma for counts in draws)
    p = (1 + beyond) / (1 + fit.n_toys)
    return float(p), float(np.sqrt(p * (1 - p) / fit.n_toys))


_LEVEL = 0.05
_N_SCAN = 21


@dataclass(frozen=True)
class Sensitivity:
    """Expected reach, in units of the signal that was given.

    Parameters
    ----------
    significance
        Median discovery significance of the signal at its nominal strength.
    limit
        Median 95 % CLs upper limit on the signal strength without a signal.
    limit_band
        The same at -2, -1, +1 and +2 standard deviations.
    """

    significance: float
    limit: float
    limit_band: tuple[float, float, float, float]


def expected_sensitivity(
    n_signal: ArrayLike, n_background: ArrayLike, background_uncertainty: ArrayLike
) -> Sensitivity:
    r"""Return what to expect of counts with a known signal and a background with uncertainty.

    The model is :math:`\prod_k \mathrm{Pois}(n_k | \mu s_k + \gamma_k b_k)\,
    \mathrm{Pois}(\tau_k | \gamma_k \tau_k)` with :math:`\tau_k = (b_k/\delta_k)^2`. Asymptotic
    formulas on the Asimov data set.

    Parameters
    ----------
    n_signal, n_background, background_uncertainty : array, shape (K,)
        Expected events and absolute errors of K independent bins.

    Returns
    -------
    Sensitivity

    Raises
    ------
    MetricError
        For bins that are not positive and finite, or no signal.
    MissingDependencyError
        When pyhf is not installed.

    References
    ----------
    pyhf, DOI 10.21105/joss.02823; Cowan et al., arXiv:1007.1727; Read, CERN-OPEN-2000-205 (CLs).

    Examples
    --------
    >>> found = expected_sensitivity([10.0], [100.0], [1.0])
    >>> round(found.significance, 2), 1.8 < found.limit < 2.3
    (0.98, True)
    """
    signal, background, error = (
        np.atleast_1d(np.asarray(v, dtype=float)) for v in (n_signal, n_background, background_uncertainty)
    )
    if not (signal.shape == background.shape == error.shape and signal.ndim == 1):
        raise MetricError("signal, background and its uncertainty need one number per bin")
    is_good = np.isfinite([signal, background, error]).all() and (signal >= 0).all() and signal.sum() > 0
    if not is_good or not (background > 0).all() or not (error > 0).all():
        raise MetricError(
            f"signal {signal.tolist()}, background {background.tolist()} and uncertainty {error.tolist()} "
            "must be finite, backgrounds and uncertainties positive, and some signal expected: merge bins"
        )
    with _pyhf() as pyhf:
        make = pyhf.simplemodels.uncorrelated_background
        model = make(signal.tolist(), background.tolist(), error.tolist())
        nominal = [*(signal + background), *model.config.auxdata]
        p_value = float(pyhf.infer.hypotest(0.0, nominal, model, test_stat="q0"))
        scale = _scale(signal, background, error)  # keeps the strength inside pyhf's bounds of 0 and 10
        model = make((scale * signal).tolist(), background.tolist(), error.tolist())
        empty = [*background, *model.config.auxdata]
        scan = np.linspace(0.0, 6.0, _N_SCAN)
        _, band = pyhf.infer.intervals.upper_limits.upper_limit(empty, model, scan, level=_LEVEL)
    low2, low1, median, high1, high2 = (scale * float(v) for v in band)
    sigma = p_value_to_sigma(max(p_value, 1e-300)) if p_value < 1 else 0.0
    return Sensitivity(sigma, median, (low2, low1, high1, high2))


def _scale(signal: np.ndarray, background: np.ndarray, error: np.ndarray) -> float:
    """Signal strength that is one standard deviation: sets the range of the scan."""
    information = np.sum(signal**2 / (background + error**2))
    return float(1 / np.sqrt(information) + 3 / signal.sum())


@contextlib.contextmanager
def _pyhf() -> Iterator[Any]:
    with translated(MissingDependencyError, "the expected sensitivity needs pyhf", "pip install 'pyhf>=0.7'"):
        import pyhf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of its fits, near the boundary
        yield pyhf
