"""Bump hunts in shares of the data with the highest scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, bump_hunt


@dataclass(frozen=True, eq=False)
class ScanPoint:
    """A bump hunt in the most anomalous part of the data.

    Parameters
    ----------
    kept
        Share of the data that is kept.
    hunt : BumpHunt or None
        None where the sidebands are too thin for a fit; ``problem`` then says so.
    problem
    """

    kept: float
    hunt: BumpHunt | None
    problem: str = ""

    @property
    def significance(self) -> float:
        """Local significance in standard deviations; NaN without a fit."""
        return np.nan if self.hunt is None else self.hunt.significance


def efficiency_scan(
    masses: ArrayLike,
    scores: ArrayLike,
    signal_region: tuple[float, float],
    *,
    fit: MassFit | None = None,
    kept: Sequence[float] = (1.0, 0.3, 0.1, 0.05),
) -> tuple[ScanPoint, ...]:
    """Hunt a bump in shares of the data with the highest scores.

    A score that depends on the mass bends the spectrum: look at the fits' chi2 and at a background-only
    sample before believing an excess. Several cuts are several looks; the p-values are local.

    Parameters
    ----------
    masses, scores : array, shape (N,)
        [GeV]; a larger score is more anomalous.
    signal_region
        [GeV].
    fit : MassFit
    kept
        Shares of the data, as in the documentation of OmniLearned.

    Returns
    -------
    tuple of ScanPoint

    Raises
    ------
    MetricError
        For values that are not finite, different lengths, or shares outside (0, 1].
    """
    masses, scores = np.asarray(masses, dtype=float), np.asarray(scores, dtype=float)
    if masses.shape != scores.shape or masses.ndim != 1 or not len(masses):
        raise MetricError(f"masses and scores have shapes {masses.shape} and {scores.shape}; (N,) is needed")
    if not (np.isfinite(masses).all() and np.isfinite(scores).all()):
        raise MetricError("masses or scores are not finite; remove those jets")
    if not all(0 < share <= 1 for share in kept):
        raise MetricError(f"shares to keep are {tuple(kept)}; they must lie in (0, 1]")
    order = np.argsort(-scores, kind="stable")
    return tuple(
        _scan_point(masses[order[: round(share * len(order))]], share, signal_region, fit) for share in kept
    )


def _scan_point(
    masses: np.ndarray, share: float, signal_region: tuple[float, float], fit: MassFit | None
) -> ScanPoint:
    try:
        return ScanPoint(share, bump_hunt(masses, signal_region, fit))
    except MetricError as error:
        return ScanPoint(share, None, str(error))


def significances(scans: Mapping[str, Sequence[Sequence[ScanPoint]]]) -> dict[str, dict[str, list[float]]]:
    """Return local significances by name and share of the data, one per scan, for ``plotting.metric_bars``.

    Parameters
    ----------
    scans : mapping of name to scans
        Such as one of `efficiency_scan` per seed. Shares where one of them has no fit are left out.
    """
    table = {
        name: {f"{same[0].kept:.0%} kept": [p.significance for p in same] for same in zip(*runs, strict=True)}
        for name, runs in scans.items()
    }
    return {name: {s: v for s, v in row.items() if np.isfinite(v).all()} for name, row in table.items()}
