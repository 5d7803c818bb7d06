"""How much signal must the data hold before weak supervision finds it? Scratch, fine-tuned, frozen, trees."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import RocCurve, Spread, max_sic, roc, spread
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import Arm, Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.common.heads import HeadKind
from omnilearn_lab.tasks.search import events
from omnilearn_lab.training import History

Kind = Literal["scratch", "finetuned", "frozen", "trees"]
_N_RANDOM = 20
_MIN_EVENTS = 20


@settings
class InjectionSettings:
    """Sizes of a scan over injected signal.

    Parameters
    ----------
    n_data
        Background events among the data.
    n_reference
        Background events to compare with.
    injections : tuple of int
        Signal events among the data, each number once.
    validation_fraction
        Share of data and reference on which the best epoch is chosen.
    n_test
        Events of each kind to test with at most; None takes all that are left.
    min_background
        Background test events that must pass a cut; the SIC is not read off where fewer do.
    network : EventNetwork
        Its ``init`` and ``like`` are set by the comparison.
    compare : ComparisonSettings
        Checkpoint, seeds and the two trainings; a seed is a trial with other events in each role.
    kinds
        Of "scratch", "finetuned", "frozen" (a head on the embeddings by the checkpoint's frozen body) and
        "trees" (boosted trees on the six observables and pt of both jets: nothing is pretrained).
    head
        Of the frozen kind.
    """

    n_data: Annotated[int, Field(ge=_MIN_EVENTS)] = 1000
    n_reference: Annotated[int, Field(ge=_MIN_EVENTS)] = 1000
    injections: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 50, 150)
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    n_test: Annotated[int, Field(ge=_MIN_EVENTS)] | None = None
    min_background: Annotated[int, Field(gt=0)] = 10
    network: events.EventNetwork = events.EventNetwork()
    compare: ComparisonSettings = field(default_factory=ComparisonSettings)
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("scratch", "finetuned", "frozen")
    head: HeadKind = "logistic"

    def __post_init__(self) -> None:
        if len(set(self.injections)) < len(self.injections):
            raise ConfigError(f"injections are {self.injections}; each may appear only once")


@dataclass(frozen=True, eq=False)
class InjectionResult:
    """One network, trained on data with so much signal and measured with true labels.

    Parameters
    ----------
    curve : RocCurve
        Signal against background in the test events.
    max_sic
        Largest significance improvement that enough background events pass.
    history : History, optional
        Of a network's training.
    n_train, n_test
        Events.
    """

    curve: RocCurve
    max_sic: float
    history: History | None
    n_train: int
    n_test: int

    def values(self) -> dict[str, float]:
        """Return ``max_sic`` and ``auc``."""
        return {"max_sic": self.max_sic, "auc": self.curve.auc}


@dataclass(frozen=True, eq=False)
class InjectionScan:
    """What `scan_injections` found.

    Parameters
    ----------
    settings : InjectionSettings
    by_injection : mapping of int to Comparison of InjectionResult
        For each number of injected events.
    random : Spread
        Largest SIC of a random score on as many test events, with the same floor: what no training
        gives.
    """

    settings: InjectionSettings
    by_injection: Mapping[int, Comparison[InjectionResult]]
    random: Spread

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of training, such as "scratch"."""
        return tuple(next(iter(self.by_injection.values())).results)

    def significance(self, injection: int) -> float:
        """Injected signal over the square root of the data's background: the cut-free significance."""
        return injection / np.sqrt(self.settings.n_data)

    def points(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return injected events (K,) and the largest SIC (seeds, K) of each kind, for plotting."""
        injections = np.array(list(self.by_injection))
        values = {
            kind: np.array([comparison.values(kind, "max_sic") for comparison in self.by_injection.values()])
            for kind in self.kinds
        }
        return {label(kind): (injections, of_kind.T) for kind, of_kind in values.items()}

    def curves(self, injection: int) -> dict[str, list[RocCurve]]:
        """Return the ROC curves of all seeds at one injection, by kind, for plotting."""
        comparison = self.by_injection[injection]
        return {label(kind): [run.curve for run in comparison.of(kind)] for kind in self.kinds}

    def numbers(self) -> dict[str, list[float]]:
        """Return the largest SIC of every seed by kind and injection, for a file of results."""
        return {
            f"{label(kind)}, {n} injected": comparison.values(kind, "max_sic")
            for kind in self.kinds
            for n, comparison in self.by_injection.items()
        }

    def reach(self, kind: str) -> int | None:
        """Return the smallest injection whose mean SIC beats luck by two spreads, if any.

        Luck is the larger of a random score's mean and that of the same training without signal, where it
        was made: a score can be useful by chance. The spread is the largest of those and of that over seeds.
        """
        spreads = {n: one.spread(kind, "max_sic") for n, one in self.by_injection.items()}
        luck = [self.random, *(found for n, found in spreads.items() if n == 0)]
        level, width = max(one.mean for one in luck), max(np.nan_to_num(one.std) for one in luck)
        for injection in sorted(n for n in spreads if n):
            measured = spreads[injection]
            if measured.mean > level + 2 * max(width, np.nan_to_num(measured.std)):
                return injection
        return None

    def __str__(self) -> str:
        lines = []
        for kind in self.kinds:
            injection = self.reach(kind)
            if injection is None:
                lines.append(f"{label(kind)}: no injection beats luck by two spreads")
            else:
                strength = self.significance(injection)
                lines.append(
                    f"{label(kind)}: first clear gain at {injection} events, S/sqrt(B) = {strength:.1f}"
                )
        return "\n".join(lines)


def scan_injections(
    background: Jets, signal: Jets, settings: InjectionSettings = InjectionSettings(), **options: Any
) -> InjectionScan:
    """Train data-against-background networks for several injections and measure them with true labels.

    The background is ideal: reference events come from the same sample as the data's background. Each
    seed shuffles the roles; injected signal never appears among the test events. All trainings of a seed
    share background and test events.

    Parameters
    ----------
    background, signal : Jets
        Events of the signal region.
    settings : InjectionSettings
    options
        Of `omnilearn_lab.tasks.common.compare`: directory, workers, progress.

    Returns
    -------
    InjectionScan

    Raises
    ------
    JetsError
        When there are too few events for the roles.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section VIII and Figure 7.
    """
    n = settings.network.jets_per_event
    n_background = events.check_events(background, n, "background")
    n_signal = events.check_events(signal, n, "signal")
    n_tests = _tests(n_background, n_signal, settings)
    arms = {
        f"{kind}-{injection}": _Point(kind, injection)
        for injection in settings.injections
        for kind in settings.kinds
    }
    n_used = n_tests[0] + settings.n_data + settings.n_reference, n_tests[1] + max(settings.injections)
    used = [jets[: n * number] for jets, number in zip((background, signal), n_used, strict=True)]
    joined = Jets.concatenate([events.without_labels(jets) for jets in used])
    tables, is_network = {}, bool(set(settings.kinds) - {"frozen", "trees"})
    if "frozen" in settings.kinds:
        inputs = {"jets_per_event": n, "use_pid": settings.network.use_pid, "workers": options.get("workers")}
        tables["frozen"] = events.embed_events(joined, settings.compare.checkpoint, **inputs)
    if "trees" in settings.kinds:
        tables["trees"] = events.event_observables(joined, jets_per_event=n, workers=options.get("workers"))
    with events.shared_events(joined, settings.network) if is_network else nullcontext(Path()) as path:
        train = partial(_train, _Events(settings, path, tables, *n_used))
        together = compare(train, arms, seeds=settings.compare.seeds, **options)
    by_injection = {
        injection: together.select({kind: f"{kind}-{injection}" for kind in settings.kinds})
        for injection in settings.injections
    }
    luck = random_sic(np.repeat([False, True], n_tests), min_background=settings.min_background)
    return InjectionScan(settings, by_injection, luck)


def random_sic(labels: np.ndarray, *, min_background: float = 10, n_trials: int = _N_RANDOM) -> Spread:
    """Return the largest SIC that random scores reach on these test events: the floor of every claim.

    It lies above 1, because the largest of many fluctuations is taken.

    Parameters
    ----------
    labels : bool array, shape (N,)
        True for signal.
    min_background
        As in `omnilearn_lab.metrics.max_sic`.
    n_trials

    Examples
    --------
    >>> random_sic(np.arange(2000) < 500).mean > 1
    True
    """
    rng = np.random.default_rng(len(labels))
    curves = (roc(rng.random(len(labels)), labels) for _ in range(n_trials))
    return spread([max_sic(curve, min_background=min_background).value for curve in curves])


class _Point(NamedTuple):
    """One way to train at one injection."""

    kind: Kind
    injection: int


class _Events(NamedTuple):
    """All events, signal after background: as network inputs in a file, and as tables by kind."""

    settings: InjectionSettings
    path: Path
    tables: Mapping[str, np.ndarray]
    n_background: int
    n_signal: int

    def job(self, point: _Point, seed: int, run_directory: Path | None) -> events.EventJob:
        """Deal out the events: data, reference, and what is left for the test."""
        settings, rng = self.settings, np.random.default_rng(seed)
        arm = Arm() if point.kind in self.tables else settings.compare.arm(point.kind)
        background = rng.permutation(self.n_background)
        signal = self.n_background + rng.permutation(self.n_signal)
        ends = np.cumsum([settings.n_data, settings.n_reference])
        data, reference, rest = np.split(background, ends)
        data = np.concatenate([data, signal[: point.injection]])
        n_events = self.n_background + self.n_signal
        is_data, weight = np.zeros(n_events, dtype=bool), np.ones(n_events)
        is_data[data] = True
        weight[reference] = len(data) / len(reference)
        used = np.random.default_rng(seed).permutation(np.concatenate([data, reference]))
        n_validation = max(1, round(settings.validation_fraction * len(used)))
        return events.EventJob(
            train=used[n_validation:],
            validation=used[:n_validation],
            score=np.concatenate([rest, signal[max(settings.injections) :]]),
            is_data=is_data,
            weight=weight,
            network=replace(settings.network, init=arm.init, like=arm.like),
            training=replace(arm.training, seed=seed),
            run_directory=run_directory,
        )


def _tests(n_background: int, n_signal: int, settings: InjectionSettings) -> tuple[int, int]:
    """Background and signal events that are left for the test."""
    used = {"background": settings.n_data + settings.n_reference, "signal": max(settings.injections)}
    left = []
    for (name, number), there in zip(used.items(), (n_background, n_signal), strict=True):
        if there < number + _MIN_EVENTS:
            raise JetsError(
                f"{there} {name} events in the signal region; the scan uses {number} for training and at "
                f"least {_MIN_EVENTS} for the test: load more events, or scan fewer"
            )
        left.append(min(there - number, settings.n_test or there))
    return left[0], left[1]


def _train(shared: _Events, point: _Point, seed: int, run_directory: Path | None) -> InjectionResult:
    settings, job = shared.settings, shared.job(point, seed, run_directory)
    if point.kind in shared.tables:
        head = "trees" if point.kind == "trees" else settings.head
        trained = events.train_event_head(shared.tables[point.kind], job, head)
    else:
        trained = events.train_event_network(shared.path, job)
    curve = roc(trained.scores, job.score >= shared.n_background)
    best = max_sic(curve, min_background=settings.min_background).value
    n_train = settings.n_data + point.injection + settings.n_reference
    history = trained.history if len(trained.history) else None
    return InjectionResult(curve, best, history, n_train, len(job.score))
