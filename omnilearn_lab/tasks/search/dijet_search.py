"""A whole dijet search: events, data with a hidden signal, scores over folds, cuts, bump hunts, sculpting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.errors import JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import RocCurve, roc
from omnilearn_lab.metrics.distances import Chi2, weighted_chi2
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.search.dijets import check_events, event_column, select_events
from omnilearn_lab.tasks.search.injection_scan import SicScanConfig
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, bump_hunt
from omnilearn_lab.tasks.search.sideband_generator import SidebandGeneratorConfig
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
)

__all__ = [
    "DijetSearch",
    "LhcoProfile",
    "LhcoSamples",
    "Sculpting",
    "load_lhco",
    "sculpting",
    "search_dijets",
]


@settings
class LhcoProfile:
    """Sizes of the LHC Olympics notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_window
        Events near the resonance for the scan, of both kinds; simulated only.
    n_spectrum
        Events of the whole mass range, of both kinds; None takes all published ones.
    max_particles
        Hardest particles of each jet that networks see.
    scan : SicScanConfig
    generator : SidebandGeneratorConfig
    n_generated
        Events to generate in the signal region.
    weak : WeakSupervisionConfig
        Of the search against generated events.
    injections : tuple of int
        Signal events of the search, of any mass.
    kept : tuple of float
        Shares of the events, those with the highest scores, to hunt in.
    fit : MassFit
    """

    source: str
    n_window: int
    n_spectrum: int | None
    max_particles: int
    n_generated: int
    scan: SicScanConfig = field(default_factory=SicScanConfig)
    generator: SidebandGeneratorConfig = field(default_factory=SidebandGeneratorConfig)
    weak: WeakSupervisionConfig = field(default_factory=WeakSupervisionConfig)
    injections: tuple[int, ...] = (0, 100)
    kept: tuple[float, ...] = (1.0, 0.1)
    fit: MassFit = MassFit()


@dataclass(frozen=True, eq=False)
class LhcoSamples:
    """Events of two jets, in three roles.

    Parameters
    ----------
    background, signal : Jets
        Inside the signal region, for the scan.
    spectrum : Jets
        Background and signal (label 1) of all masses within the limits.
    """

    background: Jets
    signal: Jets
    spectrum: Jets

    def part(self, region: str, label: int | None, signal_region: tuple[float, float]) -> Jets:
        """Return events of the spectrum: "inside" or "beside" the region, of one label or of both."""
        mass, true = event_column(self.spectrum, "dijet_mass"), event_column(self.spectrum, "label")
        inside = (mass > signal_region[0]) & (mass < signal_region[1])
        chosen = inside if region == "inside" else ~inside
        return select_events(self.spectrum, chosen if label is None else chosen & (true == label))


def load_lhco(profile: LhcoProfile, *, seed: int = 1) -> LhcoSamples:
    """Load the events of a profile: simulated ones, or the published R&D data set when it is there.

    Parameters
    ----------
    profile : LhcoProfile
    seed

    Returns
    -------
    LhcoSamples
        From published files, scan and spectrum share events. Simulated scans have events of their own.

    Raises
    ------
    JetsError
        When no event of one kind lies in the signal region.
    """
    options = LoadOptions(max_particles=profile.max_particles)
    n_jets = None if profile.n_spectrum is None else 2 * profile.n_spectrum
    spectrum = load("lhco", source=profile.source, max_jets=n_jets, seed=seed, options=options)
    window = spectrum
    if profile.source == "simulated":
        options = replace(options, variant="signal_region")
        window = load("lhco", source="simulated", max_jets=2 * profile.n_window, seed=seed, options=options)
    check_events(spectrum, 2, "the LHC Olympics sample")
    (low, high), (left, right) = profile.generator.limits, profile.generator.signal_region
    mass, label = event_column(window, "dijet_mass"), event_column(window, "label")
    inside = (mass > left) & (mass < right)
    parts = [select_events(window, inside & (label == kind)) for kind in (0, 1)]
    for name, part in zip(("background", "signal"), parts, strict=True):
        if not len(part):
            raise JetsError(
                f"no {name} event between {left:g} and {right:g} GeV among {len(mass)}: load more"
            )
    whole = event_column(spectrum, "dijet_mass")
    return LhcoSamples(*parts, select_events(spectrum, (whole >= low) & (whole < high)))


@dataclass(frozen=True, eq=False)
class DijetSearch:
    """What a search found.

    Parameters
    ----------
    n_injected
    result : WeakSupervisionResult
    masses, scores, labels : array, shape (N,)
        Of all events: in the signal region and beside it. The score is the share of events with a lower
        one; labels are for the final measurement only.
    hunts : dict of kept share to BumpHunt or None
        None where too few events are left beside the window.
    curve : RocCurve or None
        Signal against background in the signal region; None without a signal there.
    """

    n_injected: int
    result: WeakSupervisionResult
    masses: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    hunts: dict[float, BumpHunt | None]
    curve: RocCurve | None

    @property
    def significances(self) -> dict[str, float | None]:
        """Local significance by the share of events that is kept; None without a fit."""
        return {f"{s:g}": None if hunt is None else hunt.significance for s, hunt in self.hunts.items()}


def search_dijets(
    samples: LhcoSamples,
    reference: Jets,
    profile: LhcoProfile,
    n_injected: int,
    *,
    directory: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> DijetSearch:
    """Hide signal in the data, train data against reference over folds, cut, and hunt for a bump.

    Parameters
    ----------
    samples : LhcoSamples
    reference : Jets
        Background of the signal region, such as generated events.
    profile : LhcoProfile
    n_injected
        Signal events among the data, of any mass within the limits.
    directory, workers
        See `omnilearn_lab.tasks.search.weak_supervision`.

    Returns
    -------
    DijetSearch

    Raises
    ------
    JetsError
        When there is less signal than asked for, or too little data.
    """
    region = profile.generator.signal_region
    label = event_column(samples.spectrum, "label")
    signal = np.flatnonzero(label == 1)
    if n_injected > len(signal):
        raise JetsError(f"{n_injected} signal events to inject, {len(signal)} loaded: load more")
    data = select_events(samples.spectrum, np.sort(np.r_[np.flatnonzero(label == 0), signal[:n_injected]]))
    mass = event_column(data, "dijet_mass")
    inside = (mass > region[0]) & (mass < region[1])
    result = weak_supervision(
        select_events(data, inside),
        reference,
        profile.weak,
        test=select_events(data, ~inside),
        directory=directory,
        workers=workers,
    )
    scores = np.zeros(len(mass))
    scores[inside], scores[~inside] = result.ranks()
    labels = event_column(data, "label")
    hunts = {share: _hunt(mass[scores > 1 - share], region, profile.fit) for share in profile.kept}
    true = labels[inside]
    curve = roc(result.data_scores, true) if 0 < true.sum() < len(true) else None
    return DijetSearch(n_injected, result, mass, scores, labels, hunts, curve)


def _hunt(masses: np.ndarray, region: tuple[float, float], fit: MassFit) -> BumpHunt | None:
    try:
        return bump_hunt(masses, region, fit)
    except MetricError:
        return None


@dataclass(frozen=True)
class Sculpting:
    """Does a cut on the score bend the mass spectrum of background?

    Parameters
    ----------
    correlation, correlation_p_value
        Spearman's rank correlation of score and mass, and the chance of a larger one without any.
    shape : Chi2
        Masses of events that pass against those that fail, normalised.
    n_passed
    """

    correlation: float
    correlation_p_value: float
    shape: Chi2
    n_passed: int

    def __str__(self) -> str:
        return (
            f"rank correlation of score and mass {self.correlation:+.3f} "
            f"(p = {self.correlation_p_value:.2g}); "
            f"shapes of passing and failing events: chi2/ndf {self.shape.value:.1f}/"
            f"{self.shape.n_degrees_of_freedom}, p = {self.shape.p_value:.2g}"
        )


def sculpting(masses: ArrayLike, scores: ArrayLike, kept: float, edges: Sequence[float]) -> Sculpting:
    """Compare the mass spectra of background events that pass and that fail a cut.

    Parameters
    ----------
    masses, scores : array, shape (N,)
        Of background alone.
    kept
        Share of events with the highest scores that passes.
    edges
        Bins of the mass.

    Returns
    -------
    Sculpting

    Raises
    ------
    MetricError
        For values that are not finite, different lengths, or a cut that leaves nothing on one side.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> mass = rng.random(2000)
    >>> sculpting(mass, mass, 0.1, [0, 0.25, 0.5, 0.75, 1]).correlation
    1.0
    >>> sculpting(mass, rng.random(2000), 0.1, [0, 0.25, 0.5, 0.75, 1]).shape.p_value > 0.01
    True
    """
    masses, scores = np.asarray(masses, dtype=float), np.asarray(scores, dtype=float)
    n = round(kept * len(masses))
    if masses.shape != scores.shape or not 0 < n < len(masses):
        raise MetricError(
            f"{len(masses)} masses, {len(scores)} scores, share {kept}: events must pass and fail"
        )
    if not (np.isfinite(masses).all() and np.isfinite(scores).all()):
        raise MetricError("masses or scores are not finite; remove those events")
    order = np.argsort(-scores, kind="stable")
    found = spearmanr(masses, scores)
    shape = weighted_chi2(masses[order[n:]], masses[order[:n]], np.asarray(edges, dtype=float))
    return Sculpting(float(found.statistic), float(found.pvalue), shape, n)
