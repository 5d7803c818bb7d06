"""One comparison for every task: any trainings over seeds, side by side, and what is kept of it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.machine import StrPath, run_jobs
from omnilearn_lab.metrics import Gain, Speedup, Spread, gain, speedup, spread
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.settings import settings
from omnilearn_lab.training import History, TrainConfig

KINDS = ("scratch", "finetuned")
Values = list[float | None]


class Record(BaseModel):
    """Checked when it is built: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GainRecord(Record):
    """Fine-tuned minus scratch, paired by seed: mean difference, its spread, its standard error.

    The verdict is that of `omnilearn_lab.metrics.Gain`.
    """

    difference: float
    std: float | None
    error: float | None
    n: int
    verdict: Literal["better", "worse", "within errors", "one seed", "lower limit"]


class ComparisonRecord(Record):
    """One comparison of trainings.

    ``metrics`` holds, for every metric, one value per seed for "scratch" and "finetuned", and for any
    further network by name; null stands for a value that is not finite. ``errors`` holds their statistical
    errors from the test set, where these are known, and ``shared_errors`` those of the differences to
    "scratch" on the same test jets. ``gains`` is computed from all of them.
    """

    seeds: list[int] = Field(min_length=1)
    n_train: int = Field(gt=0)
    n_test: int | None = None
    metrics: dict[str, dict[str, Values]] = Field(min_length=1)
    errors: dict[str, dict[str, Values]] = {}
    shared_errors: dict[str, dict[str, Values]] = {}
    smaller_is_better: list[str] = []
    gains: dict[str, GainRecord] = {}
    speedup_epochs: Values | None = None
    speedup_seconds: Values | None = None
    n_lower_limits: dict[str, dict[str, int]] = {}
    published: dict[str, dict[str, float | None]] = {}

    @model_validator(mode="before")
    @classmethod
    def _add_gains(cls, values: Any) -> Any:
        metrics = values.get("metrics") if isinstance(values, Mapping) else None
        if not isinstance(metrics, Mapping):
            return values
        gains = {name: _gain(values, name, "finetuned") for name in metrics}
        return {**values, "gains": {name: change for name, change in gains.items() if change is not None}}

    @model_validator(mode="after")
    def _check(self) -> ComparisonRecord:
        for metric, kinds in self.metrics.items():
            missing = [kind for kind in KINDS if kind not in kinds]
            if missing:
                raise ValueError(f"metric '{metric}' lacks {missing}; it has {sorted(kinds)}")
            for kind, found in kinds.items():
                if len(found) != len(self.seeds):
                    raise ValueError(
                        f"metric '{metric}' has {len(found)} values for '{kind}' and {len(self.seeds)} seeds"
                    )
        for name in self.smaller_is_better:
            if name not in self.metrics:
                raise ValueError(f"smaller_is_better names '{name}'; {nearest(name, self.metrics)}")
        return self

    def gain(self, metric: str, arm: str) -> GainRecord | None:
        """Return the gain of any arm over scratch, paired by seed; nothing where a value is missing."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        change = _gain(values, metric, arm)
        return None if change is None else GainRecord(**change)

    @property
    def n_from_start(self) -> int:
        """Seeds whose fine-tuning begins below scratch's best loss, so that no ratio can be stated."""
        losses = self.metrics.get("best_val_loss", {kind: [] for kind in KINDS})
        rows = zip(self.speedup_epochs or [], *(losses[kind] for kind in KINDS), strict=False)
        return sum(
            factor is None and None not in (scratch, tuned) and tuned <= scratch
            for factor, scratch, tuned in rows
        )

    def mean_and_spread(self, metric: str, arm: str) -> str:
        """Return an arm's mean and spread over seeds as text; empty for an arm that lacks the metric."""
        values = self.metrics[metric].get(arm)
        n_limits = self.n_lower_limits.get(arm, {}).get(metric, 0)
        return "" if values is None else mean_and_spread(values, n_limits)


def speedup_text(record: ComparisonRecord) -> str:
    """Return how many times fewer epochs fine-tuning needs to the best loss of scratch, as text.

    Examples
    --------
    >>> losses = {"scratch": [0.5, 0.5], "finetuned": [0.4, 0.4]}
    >>> both = {"seeds": [1, 2], "n_train": 9, "metrics": {"best_val_loss": losses}}
    >>> speedup_text(ComparisonRecord(**both, speedup_epochs=[2, None]))
    '2 (1 of 2 seeds), below it from the start in 1 of 2 seeds'
    """
    factors = record.speedup_epochs or []
    special = {"below it from the start": record.n_from_start, "scratch never improves": factors.count(0)}
    notes = [f"{what} in {n} of {len(factors)} seeds" for what, n in special.items() if n]
    if sum(special.values()) < len(factors):
        notes.insert(0, mean_and_spread([factor or None for factor in factors]))
    return ", ".join(notes)


def mean_and_spread(values: Values, n_limits: int = 0) -> str:
    """Return mean and spread as text, marked as a lower limit when some values only are one.

    Examples
    --------
    >>> mean_and_spread([0.90, 0.92, None]), mean_and_spread([None])
    ('0.910 ± 0.014 (2 of 3 seeds)', 'not reached')
    """
    reached = [value for value in values if value is not None]
    if not reached:
        return "not reached"
    text = str(spread(reached, n_limits=n_limits))
    return text if len(reached) == len(values) else f"{text} ({len(reached)} of {len(values)} seeds)"


def published_numbers(table: PublishedTable) -> dict[str, dict[str, float | None]]:
    """Return a published table as plain numbers: algorithm to metric to value.

    Algorithms with a number that was not checked against its source say so in their name; the metrics of
    a table with subsets end in ``[subset]``.

    Examples
    --------
    >>> from omnilearn_lab.published import published_results
    >>> published_numbers(published_results("top_tagging"))["OmniLearn"]["auc"]
    0.9872
    """
    unverified = {n.algorithm for n in table if n.is_unverified}
    found: dict[str, dict[str, float | None]] = {}
    for n in table:
        row = found.setdefault(n.algorithm + " (unverified)" * (n.algorithm in unverified), {})
        row[n.metric + f"[{n.subset}]" * bool(n.subset)] = finite(n.value * n.scale)
    return found


def finite(value: Any, where: str = "the value") -> Any:
    """Return JSON-ready values: dataclasses as mappings, arrays as lists, what is not finite as None.

    Raises
    ------
    ConfigError
        For a type that JSON does not know; the message says where.

    Examples
    --------
    >>> finite({"auc": (0.9, float("nan"))})
    {'auc': [0.9, None]}
    """
    if isinstance(value, Mapping):
        return {str(k): finite(v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return finite(dataclasses.asdict(value), where)
    if hasattr(value, "tolist"):
        return finite(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [finite(v, where) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(f"{where} holds a {type(value).__name__}; give numbers, texts, lists or mappings")


def _gain(values: Mapping[str, Any], metric: str, arm: str) -> dict[str, Any] | None:
    """The paired gain over scratch, from the seeds for which both values are known."""
    both = ("scratch", arm)
    kinds = values["metrics"][metric]
    if not isinstance(kinds, Mapping) or not all(isinstance(kinds.get(kind), Iterable) for kind in both):
        return None
    pairs = [pair for pair in zip(*(kinds[kind] for kind in both), strict=False) if None not in pair]
    if not pairs:
        return None
    scratch, new = zip(*pairs, strict=True)
    own, shared = (values.get(name, {}).get(metric, {}) for name in ("errors", "shared_errors"))
    apart = np.hypot(*(np.nan_to_num(np.array(own.get(kind, 0.0), dtype=float)) for kind in both))
    result = gain(
        new,
        scratch,
        paired=True,
        error=shared.get(arm, apart),
        smaller_is_better=metric in values.get("smaller_is_better", ()),
        is_limit=any(values.get("n_lower_limits", {}).get(kind, {}).get(metric) for kind in both),
    )
    return {name: finite(getattr(result, name)) for name in GainRecord.model_fields}


_BUDGET = ("epochs", "batch_size", "validations_per_epoch")


class Result(Protocol):
    """What a training leaves for a comparison.

    A comparison also reads, where a result has them: ``history`` (`History`), ``n_train`` and ``n_test``
    (jets), ``smaller_is_better`` (names of metrics), ``errors()`` (statistical errors of the test set, by
    metric), ``influences`` (by metric, what every test jet, or draw of test jets, adds to them; the same jets
    for all results),
    ``limits()`` (names of metrics that are only lower limits), ``scores()`` (for ROC curves),
    ``seconds_training`` and ``seconds_evaluation``.
    """

    def values(self) -> Mapping[str, float]:
        """Return every number that was measured, by name."""


Settings = TypeVar("Settings")
R = TypeVar("R", bound=Result)


@settings
class Arm:
    """One way to train a network: what to start from, and how.

    Parameters
    ----------
    init
        "scratch", or the name or path of a checkpoint whose body to start from.
    like
        From scratch: take network and sizes of this checkpoint.
    training : TrainConfig
    """

    init: str = "scratch"
    like: str = ""
    training: TrainConfig = TrainConfig()

    def with_seed(self, seed: int) -> Arm:
        """Return the same with another seed."""
        return replace(self, training=replace(self.training, seed=seed))


@settings
class ComparisonSettings:
    """Scratch against fine-tuned at the same budget, over seeds.

    Parameters
    ----------
    checkpoint
        Name or path of the pretrained network; the network trained from scratch has the same sizes.
    seeds
        One training of each kind per seed; a seed fixes initial weights and the order of jets.
    scratch, finetuned : TrainConfig
        Their ``epochs``, ``batch_size`` and ``validations_per_epoch`` must agree: equal budgets, or the
        comparison says nothing.

    Raises
    ------
    ConfigError
        For unequal budgets, or seeds that are none or not different.

    Examples
    --------
    >>> ComparisonSettings("tiny").arm("finetuned").init
    'tiny'
    """

    checkpoint: str = "tiny"
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = TrainConfig()
    finetuned: TrainConfig = TrainConfig(body_lr_factor=0.1)

    def __post_init__(self) -> None:
        check_seeds(self.seeds)
        for name in _BUDGET:
            ours, theirs = getattr(self.scratch, name), getattr(self.finetuned, name)
            if ours != theirs:
                raise ConfigError(
                    f"{name} is {ours:g} for scratch and {theirs:g} for fine-tuned; they must agree"
                )

    def arm(self, kind: str) -> Arm:
        """Return one way to train, "scratch" or "finetuned"."""
        if kind not in KINDS:
            raise ConfigError(f"no kind of training '{kind}'; {nearest(kind, KINDS)}")
        if kind == "scratch":
            return Arm(like=self.checkpoint, training=self.scratch)
        return Arm(self.checkpoint, training=self.finetuned)

    def arms(self) -> dict[str, Arm]:
        """Return every way to train, by kind."""
        return {kind: self.arm(kind) for kind in KINDS}


@dataclass(frozen=True, eq=False)
class Comparison(Generic[R]):
    """Results of `compare`: for each way to train one result per seed, whatever the task.

    Parameters
    ----------
    results : mapping of arm to tuple of R
        In the order of ``seeds``.
    seeds
    seconds
        Wall time of all trainings together.
    """

    results: Mapping[str, tuple[R, ...]]
    seeds: tuple[int, ...]
    seconds: float = 0.0

    def of(self, arm: str) -> tuple[R, ...]:
        """Return the results of an arm, one per seed.

        Raises
        ------
        ConfigError
            For an unknown arm; the message names the nearest.
        """
        if arm not in self.results:
            raise ConfigError(f"no results of '{arm}'; {nearest(arm, self.results)}")
        return self.results[arm]

    def select(self, arms: Mapping[str, str]) -> Comparison[R]:
        """Return some of the arms under other names: a mapping of new name to arm."""
        return replace(self, results={name: self.of(arm) for name, arm in arms.items()})

    def beside(self, name: str, result: R) -> Comparison[R]:
        """Return the comparison with one more arm, whose result does not depend on the seed."""
        return replace(self, results={**self.results, name: (result,) * len(self.seeds)})

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of everything that was measured."""
        every = (result.values() for runs in self.results.values() for result in runs)
        return tuple(dict.fromkeys(name for values in every for name in values))

    @property
    def smaller_is_better(self) -> tuple[str, ...]:
        """Metrics that fall as a training gets better."""
        return tuple(getattr(self._first, "smaller_is_better", ()))

    @property
    def n_train(self) -> int | None:
        """Training jets, where the results say it."""
        return getattr(self._first, "n_train", None)

    def values(self, arm: str, metric: str) -> list[Any]:
        """Return a metric of an arm, or an attribute of its results such as ``seconds_training``, per seed.

        Raises
        ------
        ConfigError
            For an unknown metric; the message names the nearest.
        """
        if not self._has(arm, metric):
            every = self.of(arm)[0].values()
            raise ConfigError(f"'{arm}' has no metric '{metric}'; {nearest(metric, every)}")
        return [_value(result, metric) for result in self.of(arm)]

    def spread(self, arm: str, metric: str) -> Spread:
        """Return mean and spread of a metric over seeds."""
        return spread(self.values(arm, metric), n_limits=self.limits().get(arm, {}).get(metric, 0))

    def errors(self, arm: str, metric: str) -> list[float]:
        """Return the statistical errors of a metric from the test set, per seed; NaN where not known."""
        every = [getattr(result, "errors", dict)() for result in self.of(arm)]
        return [float(errors.get(metric, math.nan)) for errors in every]

    def shared_errors(self, metric: str, arm: str, against: str = "scratch") -> list[float]:
        """Return the statistical errors of the difference of two arms on the same test jets, per seed.

        What both share cancels (DeLong et al., Biometrics 44, 837). Without influences the two errors count
        as independent.
        """
        both = zip(self.of(arm), self.of(against), strict=True)
        pairs = [[getattr(result, "influences", {}).get(metric) for result in pair] for pair in both]
        if all(np.shape(new) == np.shape(old) != () for new, old in pairs):
            return [float(np.linalg.norm(new - old)) for new, old in pairs]
        return np.hypot(*(np.nan_to_num(self.errors(name, metric)) for name in (arm, against))).tolist()

    def gain(self, metric: str, arm: str = "finetuned", against: str = "scratch") -> Gain:
        """Return how much larger a metric is for one arm than for another, paired by seed."""
        return gain(
            self.values(arm, metric),
            self.values(against, metric),
            paired=True,
            error=self.shared_errors(metric, arm, against),
            smaller_is_better=metric in self.smaller_is_better,
            is_limit=any(self.limits().get(name, {}).get(metric) for name in (arm, against)),
        )

    def by_arm(self, metric: str) -> dict[str, list[Any]]:
        """Return the values of a metric for every arm that has it, by the arms' labels."""
        return {label(arm): self.values(arm, metric) for arm in self.results if self._has(arm, metric)}

    def rows(self, metrics: Iterable[str], ending: str = ", here") -> dict[str, dict[str, Spread]]:
        """Return mean and spread of some metrics for each arm, for a published table's ``join``."""
        metrics = tuple(metrics)
        return {
            label(arm) + ending: {metric: self.spread(arm, metric) for metric in metrics}
            for arm in self.results
        }

    def table(self, metrics: Sequence[str] | None = None, *, against: str = "scratch") -> pd.DataFrame:
        """Return mean ± standard deviation over seeds, a row per arm, and the gains over one of them.

        Parameters
        ----------
        metrics
            The columns, headed by their labels; everything that was measured by default.
        against
            The arm that the others are compared with; without such an arm there are no gains.
        """
        names = self.metrics if metrics is None else metrics
        rows = {
            label(arm): {m: str(self.spread(arm, m)) for m in names if self._has(arm, m)}
            for arm in self.results
        }
        for arm in self.results if against in self.results else ():
            if arm != against:
                both = [rows[label(name)] for name in (arm, against)]
                shared = [m for m in names if all(m in row for row in both)]
                rows[f"gain, {label(arm)}"] = {m: str(self.gain(m, arm, against)) for m in shared}
        table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
        return table.rename(columns=partial(label, has_unit=True))

    def gains(
        self, pairs: Mapping[str, tuple[str, str]] | None = None, metrics: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return differences between arms, paired by seed, a row per pair and metric.

        Parameters
        ----------
        pairs : mapping of a name to (new arm, reference)
            By default every further arm against the first.
        metrics
            Everything that was measured by default.

        Returns
        -------
        DataFrame
            The difference, its standard deviation over seeds, and whether the difference, of either sign,
            exceeds two standard errors.
        """
        first, *others = self.results
        if pairs is None:
            pairs = {f"{label(arm)} over {label(first)}": (arm, first) for arm in others}
        rows = {}
        for name, (new, reference) in pairs.items():
            for metric in self.metrics if metrics is None else metrics:
                change = self.gain(metric, new, reference)
                beyond = change.verdict in ("better", "worse")
                row = {"difference": change.difference, "spread": change.std, "beyond": beyond}
                rows[name, label(metric)] = row
        return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows))

    def limits(self) -> dict[str, dict[str, int]]:
        """Return by arm for how many seeds each metric is only a lower limit: too little background left."""
        every = {arm: [result.limits() for result in runs] for arm, runs in self._with("limits").items()}
        return {arm: dict(Counter(name for names in runs for name in names)) for arm, runs in every.items()}

    def lower_limits(self) -> str:
        """Say in words what `limits` counts."""
        rows = [
            f"{label(arm)}: " + ", ".join(f"{label(metric)} {n}" for metric, n in counts.items())
            for arm, counts in self.limits().items()
            if counts
        ]
        head = f"lower limits, in how many of {len(self.seeds)} trainings:"
        return "\n  ".join([head, *rows]) if rows else "lower limits: none"

    def histories(self, arms: Iterable[str] | None = None) -> dict[str, list[History]]:
        """Return the histories of all or some arms that have them, by label, for plotting and widgets."""
        with_history = self._with("history")
        chosen = with_history if arms is None else arms
        return {label(arm): [result.history for result in with_history[arm]] for arm in chosen}

    def scores(self, **options: Any) -> dict[str, list[tuple[Any, ...]]]:
        """Return every result's ``scores(**options)``, by the arms' labels, for ROC curves."""
        return {label(arm): [r.scores(**options) for r in runs] for arm, runs in self.results.items()}

    def speedups(self, arm: str = "finetuned", against: str = "scratch") -> list[Speedup]:
        """Return, per seed, how much sooner one arm reaches the best validation loss of another."""
        both = ([result.history for result in self.of(name)] for name in (arm, against))
        return [
            speedup(
                new.val_loss,
                old.val_loss,
                epochs=(new.epochs, old.epochs),
                seconds=(new.seconds, old.seconds),
            )
            for new, old in zip(*both, strict=True)
        ]

    def seconds_by_step(self) -> dict[str, float]:
        """Return the time spent in training and in evaluation, summed over processes."""
        every = [result for runs in self.results.values() for result in runs]
        return {
            f"{step} (summed over processes)": round(sum(getattr(r, f"seconds_{step}") for r in every), 1)
            for step in ("training", "evaluation")
        }

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return everything a results file holds about this comparison, with arms "scratch" and "finetuned".

        Parameters
        ----------
        published : PublishedTable, optional
            The numbers to stand beside ours.
        """
        arms = self.results
        metrics = {m: {arm: self.values(arm, m) for arm in arms if self._has(arm, m)} for m in self.metrics}
        others = {m: [arm for arm in of if arm != "scratch"] for m, of in metrics.items() if "scratch" in of}
        entry = {
            "seeds": self.seeds,
            "n_train": self.n_train,
            "n_test": getattr(self._first, "n_test", None),
            "metrics": metrics,
            "errors": {m: {arm: self.errors(arm, m) for arm in of} for m, of in metrics.items()},
            "shared_errors": {m: {arm: self.shared_errors(m, arm) for arm in of} for m, of in others.items()},
            "smaller_is_better": [name for name in self.smaller_is_better if name in metrics],
            "n_lower_limits": self.limits(),
            "published": published_numbers(published) if published else {},
        }
        if all(kind in self._with("history") for kind in KINDS):
            speedups = self.speedups()
            entry["speedup_epochs"] = [s.epochs for s in speedups]
            entry["speedup_seconds"] = [s.seconds for s in speedups]
        return ComparisonRecord.model_validate(finite(entry))

    def _has(self, arm: str, metric: str) -> bool:
        first = self.of(arm)[0]
        return metric in first.values() or hasattr(first, metric)

    def _with(self, attribute: str) -> dict[str, tuple[R, ...]]:
        every = self.results.items()
        return {arm: runs for arm, runs in every if getattr(runs[0], attribute, None) is not None}

    @property
    def _first(self) -> R:
        return next(iter(self.results.values()))[0]


def compare(
    train: Callable[[Any, int, Path | None], R],
    arms: Mapping[str, Settings],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    workers: int | None = None,
    directory: StrPath | None = None,
    progress: bool | str = "trainings",
) -> Comparison[R]:
    """Train every arm with every seed, side by side on a CPU and one after the other on a GPU.

    Parameters
    ----------
    train
        Called as ``train(settings, seed, run_directory)``; a function of a module, or a
        ``functools.partial`` of one over the data: other processes import it.
    arms : mapping of name to settings
    seeds
    workers
        Processes; all usable cores by default.
    directory
        Keep every run there, as ``<arm>-seed<seed>``; what was interrupted goes on where it was.
    progress
        Show a progress bar, with this text.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        For seeds that are none or not different.
    """
    check_seeds(seeds)
    start = time.perf_counter()
    folder = None if directory is None else Path(directory)
    jobs = {
        (arm, seed): (chosen, seed, folder and folder / f"{arm}-seed{seed}")
        for seed in seeds
        for arm, chosen in arms.items()
    }
    title = progress if isinstance(progress, str) else "trainings"
    done = run_jobs(train, jobs, workers=workers, progress=bool(progress), title=title)
    results = {arm: tuple(done[arm, seed] for seed in seeds) for arm in arms}
    return Comparison(results, tuple(seeds), time.perf_counter() - start)


def _value(result: Result, metric: str) -> Any:
    values = result.values()
    return values[metric] if metric in values else getattr(result, metric)


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse no seeds, and repeated ones."""
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds are {tuple(seeds)}; at least one is needed, each only once")
