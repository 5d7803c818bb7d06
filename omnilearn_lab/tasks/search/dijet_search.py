"""A whole dijet search: events, data with a hidden signal, scores over folds, cuts, bump hunts, sculpting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.stats import spearmanr

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.errors import JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, run_jobs
from omnilearn_lab.metrics import RocCurve, roc
from omnilearn_lab.metrics.reweighting import Chi2, weighted_chi2
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.search.decorrelation import Control, ScanPoint, scored
from omnilearn_lab.tasks.search.events import check_events, event_column, select_events
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, MassWindow, bump_hunt
from omnilearn_lab.tasks.search.sideband_generator import SidebandGeneratorConfig, made_background
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
)

_ALIKE = 0.6  # AUC up to which two samples count as alike


@settings
class DijetSearchSettings:
    """How to search for a resonance in the dijet mass.

    Parameters
    ----------
    weak : WeakSupervisionConfig
        Training of data against background.
    kept : tuple of float
        Shares of the events, those with the highest scores, to hunt in.
    fit : MassFit
    """

    weak: WeakSupervisionConfig = field(default_factory=WeakSupervisionConfig)
    kept: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.1)
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

    def inside(self, window: MassWindow, label: int) -> Jets:
        """Return events of the spectrum in the signal region, of one label."""
        return self._part(window.inside(event_column(self.spectrum, "dijet_mass")), label)

    def beside(self, window: MassWindow, label: int) -> Jets:
        """Return events of the spectrum in the sidebands, of one label."""
        return self._part(window.beside(event_column(self.spectrum, "dijet_mass")), label)

    def data(self, n_injected: int) -> Jets:
        """Return the background of the spectrum with the first so many of its signal events, labels kept.

        Raises
        ------
        JetsError
            When there is less signal than that.
        """
        label = event_column(self.spectrum, "label")
        signal = np.flatnonzero(label == 1)
        if n_injected > len(signal):
            raise JetsError(f"{n_injected} signal events to inject, {len(signal)} loaded: load more")
        chosen = np.sort(np.r_[np.flatnonzero(label == 0), signal[:n_injected]])
        return select_events(self.spectrum, chosen)

    def _part(self, chosen: np.ndarray, label: int) -> Jets:
        return select_events(self.spectrum, chosen & (event_column(self.spectrum, "label") == label))


def load_lhco(
    n_spectrum: int | None,
    n_window: int,
    *,
    source: Literal["simulated", "published"] = "simulated",
    window: MassWindow = MassWindow(),
    max_particles: int = 279,
    seed: int = 1,
) -> LhcoSamples:
    """Load LHC Olympics events: simulated ones, or the published R&D data set when it is there.

    Parameters
    ----------
    n_spectrum
        Events of the whole mass range, of both kinds; None takes all published ones.
    n_window
        Events near the resonance for the scan, of both kinds; simulated only.
    source
    window : MassWindow
    max_particles
        Hardest particles of each jet that networks see.
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
    options = LoadOptions(max_particles=max_particles)
    n_jets = None if n_spectrum is None else 2 * n_spectrum
    spectrum = near = load("lhco", source=source, max_jets=n_jets, seed=seed, options=options)
    if source == "simulated":
        options = replace(options, variant="signal_region")
        near = load("lhco", source="simulated", max_jets=2 * n_window, seed=seed, options=options)
    check_events(spectrum, 2, "the LHC Olympics sample")
    mass, label = event_column(near, "dijet_mass"), event_column(near, "label")
    kinds = {
        name: select_events(near, window.inside(mass) & (label == number))
        for number, name in enumerate(("background", "signal"))
    }
    for name, events in kinds.items():
        if not len(events):
            left, right = window.signal_region
            raise JetsError(
                f"no {name} event between {left:g} and {right:g} GeV among {len(mass)}: load more"
            )
    whole = event_column(spectrum, "dijet_mass")
    kept = window.inside(whole) | window.beside(whole)
    return LhcoSamples(**kinds, spectrum=select_events(spectrum, kept))


@dataclass(frozen=True, eq=False)
class DijetSearch:
    """What a search found.

    Parameters
    ----------
    result : WeakSupervisionResult
    masses, scores, labels : array, shape (N,)
        Of all events: in the signal region and beside it. The score is the share of events with a lower
        one; labels are for the final measurement only, zero where the data have none.
    hunts : dict of kept share to BumpHunt or None
        None where too few events are left beside the window.
    curve : RocCurve or None
        Signal against background in the signal region; None without a signal there.
    """

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
    data: Jets,
    reference: Jets,
    signal_region: tuple[float, float],
    settings: DijetSearchSettings = DijetSearchSettings(),
    *,
    directory: StrPath | None = None,
    workers: int | None = None,
) -> DijetSearch:
    """Train data against reference inside a mass window over folds, cut, and hunt for a bump.

    Parameters
    ----------
    data : Jets
        Two rows per event with ``dijet_mass`` [GeV], of the window and of the sidebands. Labels, where there
        are any (1 for signal), are used for the final measurement alone.
    reference : Jets
        Background of the signal region, such as generated events.
    signal_region
        [GeV].
    settings : DijetSearchSettings
    directory, workers
        See `omnilearn_lab.tasks.search.weak_supervision`.

    Returns
    -------
    DijetSearch

    Raises
    ------
    JetsError
        For too little data.
    """
    mass = event_column(data, "dijet_mass")
    inside = (mass >= signal_region[0]) & (mass < signal_region[1])
    if "origin" in reference.jet and "event" not in data.jet:
        raise JetsError(
            "the reference was made of events by their number, and the data have no column 'event'"
        )
    result = weak_supervision(
        select_events(data, inside),
        reference,
        settings.weak,
        test=select_events(data, ~inside),
        directory=directory,
        workers=workers,
    )
    scores = np.zeros(len(mass))
    scores[inside], scores[~inside] = result.ranks()
    labels = event_column(data, "label") if "label" in data.jet else np.zeros(len(mass))
    best = {share: mass[scores > 1 - share] for share in settings.kept}
    scan = [ScanPoint.of(share, bump_hunt, best[share], signal_region, settings.fit) for share in best]
    hunts = {point.kept: point.hunt for point in scan}
    true = labels[inside]
    curve = roc(result.data_scores, true) if 0 < true.sum() < len(true) else None
    return DijetSearch(result, mass, scores, labels, hunts, curve)


def dijet_control(
    background: Jets,
    n: int,
    generator: SidebandGeneratorConfig,
    settings: DijetSearchSettings,
    *,
    n_experiments: int = 5,
    workers: int | None = None,
) -> dict[float, Control]:
    """Repeat the whole search on separate parts of a sample without signal, with background made of each.

    Parameters
    ----------
    background : Jets
        Two rows per event with ``event`` and ``dijet_mass`` [GeV], of the window and of the sidebands.
    n
        Events of background to make for all parts together.
    generator : SidebandGeneratorConfig
    settings : DijetSearchSettings
        Its seed is that of the parts, of what is made for them, and of their folds.
    n_experiments
        Parts, which share no event.
    workers
        Processes, one per part; all usable cores by default.

    Returns
    -------
    dict of share to Control
        Shares that leave too few events for a fit in one part are left out.

    Raises
    ------
    JetsError
        For fewer than two parts, or too few events in one.
    """
    n_events = check_events(background, 2, "the background")
    if n_experiments < 2:
        raise JetsError(f"n_experiments is {n_experiments}; at least two are needed for a spread")
    seed, jobs = settings.weak.training.seed, {}
    order = np.random.default_rng(seed).permutation(n_events)
    for i, chosen in enumerate(np.array_split(order, n_experiments)):
        weak = replace(settings.weak, training=replace(settings.weak.training, seed=seed + i))
        part = select_events(background, np.sort(chosen))
        jobs[i] = (part, n // n_experiments, generator, replace(settings, weak=weak))
    runs = run_jobs(_part_hunted, jobs, workers=workers, progress=False).values()
    hunts = {share: [run[share] for run in runs] for share in settings.kept}
    return {
        share: Control(np.array([hunt.significance for hunt in every]), least_spread=1.0)
        for share, every in hunts.items()
        if None not in every
    }


def _part_hunted(
    data: Jets, n: int, generator: SidebandGeneratorConfig, settings: DijetSearchSettings
) -> dict[float, BumpHunt | None]:
    made = made_background(data, n, generator, fit=settings.fit, seed=settings.weak.training.seed)
    return search_dijets(data, made, generator.window.signal_region, settings, workers=1).hunts


def judged_searches(
    searches: Mapping[int, DijetSearch], controls: Mapping[float, Control] = MappingProxyType({})
) -> str:
    """Say in words what searches with different amounts of hidden signal found, the least being the control.

    A significance counts where it exceeds two sigma and the control behind the same cut stays within two; a
    control in which data and reference can be told apart (AUC above 0.6) spoils every claim, and
    pseudo-experiments that are not flat, or could not be made, spoil those of their cut.

    Parameters
    ----------
    searches : mapping of injected events to DijetSearch
    controls : mapping of share to Control, optional
        Of `dijet_control`.

    Returns
    -------
    str
        A line on the control, then one per injection and share.
    """
    control = searches[min(searches)]
    is_alike = control.result.auc <= _ALIKE
    lines = [
        f"control: AUC of data against reference {control.result.auc:.3f}, "
        + ("alike" if is_alike else f"above {_ALIKE}: the reference is not the data's background")
    ]
    lines += [f"without signal, {share:.0%} kept: {one}" for share, one in controls.items()]
    for n, search in searches.items():
        for share, hunt in search.hunts.items() if n > min(searches) else ():
            beside, repeated = control.hunts.get(share), controls.get(share)
            if hunt is None or beside is None:
                verdict = "no fit, no claim"
            elif controls and repeated is None:
                verdict = "no pseudo-experiments, no claim"
            elif not is_alike or (repeated and not repeated.is_flat) or abs(beside.significance) > 2:
                verdict = f"{hunt.significance:+.1f} sigma, control {beside.significance:+.1f}: no claim"
            else:
                found = "found" if hunt.significance > 2 else "not found"
                verdict = f"{hunt.significance:+.1f} sigma, control {beside.significance:+.1f}: {found}"
            lines.append(f"{n} injected, {share:.0%} kept: {verdict}")
    return "\n".join(lines)


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
    masses, scores = scored(masses, scores)
    n = round(kept * len(masses))
    if not 0 < n < len(masses):
        raise MetricError(f"{len(masses)} masses and share {kept}: events must pass and fail")
    order = np.argsort(-scores, kind="stable")
    rank = spearmanr(masses, scores)
    shape = weighted_chi2(masses[order[n:]], masses[order[:n]], np.asarray(edges, dtype=float))
    return Sculpting(float(rank.statistic), float(rank.pvalue), shape, n)
