"""Significance improvement: what a cut on a score does to S / sqrt(B)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics.efficiency import RocCurve

__all__ = ["MaxSic", "SicCurve", "max_sic", "sic_curve"]


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
