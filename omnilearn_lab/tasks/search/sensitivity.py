"""What a counting search is expected to see or to exclude, with a statistical model of pyhf."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, MissingDependencyError

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
    return Sensitivity(_sigma(p_value), median, (low2, low1, high1, high2))


def _scale(signal: np.ndarray, background: np.ndarray, error: np.ndarray) -> float:
    """Signal strength that is one standard deviation: sets the range of the scan."""
    information = np.sum(signal**2 / (background + error**2))
    return float(1 / np.sqrt(information) + 3 / signal.sum())


def _sigma(p_value: float) -> float:
    from omnilearn_lab.metrics import p_value_to_sigma

    return p_value_to_sigma(max(p_value, 1e-300)) if p_value < 1 else 0.0


@contextlib.contextmanager
def _pyhf() -> Iterator[Any]:
    try:
        import pyhf
    except ImportError as error:
        raise MissingDependencyError(
            "the expected sensitivity needs pyhf; pip install 'pyhf>=0.7'"
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of its fits, near the boundary
        yield pyhf
