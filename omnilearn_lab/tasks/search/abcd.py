"""ABCD: background of the cut signal region from three neighbours, in the plane of score and mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.display import number
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import AbcdClosure, abcd_closure
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.search.mass_fits import MassWindow


class AbcdCounts(NamedTuple):
    """Events in the four regions: A signal region and high score, B sidebands and high score, C sidebands and
    low score, D signal region and low score."""

    a: int
    b: int
    c: int
    d: int


@settings
class AbcdPlane:
    """The two cuts.

    Parameters
    ----------
    threshold
        Of the score; A and B lie at or above it.
    window : MassWindow
        Signal region and sidebands.

    Examples
    --------
    >>> plane = AbcdPlane(0.5, MassWindow((150.0, 210.0), (100.0, 260.0)))
    >>> plane.count([160.0, 160.0, 120.0, 300.0], [0.9, 0.1, 0.1, 0.9])
    AbcdCounts(a=1, b=0, c=1, d=1)
    """

    threshold: float
    window: MassWindow

    def count(self, masses: ArrayLike, scores: ArrayLike) -> AbcdCounts:
        """Count the jets of a sample in the four regions.

        Raises
        ------
        MetricError
            For values that are not finite, or different lengths.
        """
        masses, scores = np.asarray(masses, dtype=float), np.asarray(scores, dtype=float)
        if masses.shape != scores.shape or not (np.isfinite(masses).all() and np.isfinite(scores).all()):
            raise MetricError("masses and scores must be finite and equally many; remove jets without a mass")
        inside, beside, is_high = (
            self.window.inside(masses),
            self.window.beside(masses),
            scores >= self.threshold,
        )
        regions = (inside & is_high, beside & is_high, beside & ~is_high, inside & ~is_high)
        return AbcdCounts(*(int(region.sum()) for region in regions))


@dataclass(frozen=True, repr=False)
class AbcdEstimate:
    """Background estimate in region A beside what is seen there.

    Parameters
    ----------
    counts : AbcdCounts
    predicted, uncertainty
        B D / C times the correction, with the errors of the counts and of the correction.
    correction, correction_uncertainty
        A C / (B D) of the simulated background; 1 and 0 without a simulation.
    closure : AbcdClosure or None
        Of the simulation.
    significance
        (A - predicted) over its error, in standard deviations.
    """

    counts: AbcdCounts
    predicted: float
    uncertainty: float
    correction: float
    correction_uncertainty: float
    closure: AbcdClosure | None
    significance: float

    def __repr__(self) -> str:
        return (
            f"<ABCD: {self.counts.a} jets, {number(self.predicted, self.uncertainty)} expected, "
            f"{self.significance:+.1f} sigma; correction A C / (B D) of the simulation "
            f"{number(self.correction, self.correction_uncertainty)}>"
        )


def abcd_estimate(data: AbcdCounts, simulation: AbcdCounts | None = None) -> AbcdEstimate:
    r"""Estimate the background of region A as :math:`\kappa\,B\,D/C`.

    If score and mass are independent for the background, :math:`A = B D/C`. They never are exactly, so
    :math:`\kappa = A C/(B D)` is measured on simulated background. Signal in B or D raises the estimate.

    Parameters
    ----------
    data : AbcdCounts
    simulation : AbcdCounts, optional
        Of background only.

    Returns
    -------
    AbcdEstimate

    Raises
    ------
    MetricError
        For an empty region B, C or D.

    Examples
    --------
    >>> found = abcd_estimate(AbcdCounts(30, 100, 1000, 100))
    >>> found.predicted, round(found.uncertainty, 2), round(found.significance, 1)
    (10.0, 1.45, 5.7)
    """
    raw = abcd_closure(*([n] for n in data))
    closure = None if simulation is None else abcd_closure(*([n] for n in simulation))
    kappa, error = (1.0, 0.0) if closure is None else (closure.mean_ratio, closure.mean_ratio_uncertainty)
    predicted = float(raw.predicted[0]) * kappa
    uncertainty = float(np.hypot(raw.uncertainty[0] * kappa, raw.predicted[0] * error))
    pull = (data.a - predicted) / np.sqrt(max(predicted, 1.0) + uncertainty**2)
    return AbcdEstimate(data, predicted, uncertainty, kappa, error, closure, float(pull))
