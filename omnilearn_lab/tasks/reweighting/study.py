"""Reweighting from scratch against fine-tuned, over seeds, and against a ratio that is known."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.metrics import Spread, spread
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.records import KINDS, ComparisonRecord, published_numbers
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter
from omnilearn_lab.tasks.reweighting.reweighting import ReweightingResult, reweight
from omnilearn_lab.tasks.reweighting.two_generators import TiltedJets
from omnilearn_lab.training import History, TrainConfig

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CompareRatios",
    "RatioCheck",
    "ReweightingComparison",
    "ReweightingProfile",
    "check_known_ratio",
    "compare_reweighting",
    "ratio_curves",
]

_NAMES = {"scratch": "scratch", "finetuned": "fine-tuned"}
_NO_MERIT = "effective_fraction"  # stronger weights leave fewer effective jets: neither good nor bad


@settings
class CompareRatios:
    """Two ways to train the same network, over the same seeds.

    Parameters
    ----------
    checkpoint
        Name or path of the pretrained network; the scratch network has the same sizes.
    seeds
    scratch, finetuned : TrainConfig
        With equal ``epochs`` and ``batch_size``, or the comparison says nothing.

    Raises
    ------
    ConfigError
        For unequal budgets, or seeds that are none or not different.
    """

    checkpoint: str = "tiny"
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=lambda: TrainConfig(body_lr_factor=0.1))

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; at least one is needed, each only once")
        for name in ("epochs", "batch_size"):
            ours, theirs = getattr(self.scratch, name), getattr(self.finetuned, name)
            if ours != theirs:
                raise ConfigError(
                    f"{name} is {ours} for scratch and {theirs} for fine-tuned; they must agree"
                )

    @property
    def names(self) -> dict[str, str]:
        """How each kind of training is called in figures."""
        return dict(_NAMES)

    def ratio(self, kind: str, seed: int = 1) -> RatioConfig:
        """Return the settings of one training; ``kind`` is "scratch" or "finetuned"."""
        if kind not in KINDS:
            raise ConfigError(f"no kind of training '{kind}'; {nearest(kind, KINDS)}")
        start = {"like": self.checkpoint} if kind == "scratch" else {"init": self.checkpoint}
        return RatioConfig(**start, training=replace(getattr(self, kind), seed=seed))


@settings
class ReweightingProfile:
    """Sizes of the reweighting notebook.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_test
        Jets of each generator.
    n_bins
        Bins of the triangular discriminators; None takes the published ones.
    compare : CompareRatios
    """

    source: str
    n_train: int
    n_test: int
    n_bins: int | None = None
    compare: CompareRatios = field(default_factory=CompareRatios)


@dataclass(frozen=True, eq=False)
class ReweightingComparison:
    """Results of `compare_reweighting`, one per seed and kind, in the order of the seeds.

    Parameters
    ----------
    config : CompareRatios
    scratch, finetuned : tuple of ReweightingResult
    n_train
        Jets fitted, both samples together.
    """

    config: CompareRatios
    scratch: tuple[ReweightingResult, ...]
    finetuned: tuple[ReweightingResult, ...]
    n_train: int

    def results(self, kind: str) -> tuple[ReweightingResult, ...]:
        """Return the results of "scratch" or "finetuned"."""
        return self.scratch if kind == "scratch" else self.finetuned

    def values(self, kind: str, metric: str) -> list[float]:
        """Return one number per seed: a discriminator, ``effective_fraction``, ``calibration_error`` or
        ``best_val_loss``."""
        if metric == "best_val_loss":
            return [r.history.best()["loss"] for r in self.results(kind)]
        return [r.values()[metric] for r in self.results(kind)]

    def spread(self, kind: str, metric: str) -> Spread:
        """Return mean and spread of a metric over seeds."""
        return spread(self.values(kind, metric))

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the measured source jets, shape (seeds, N), by kind."""
        return {name: np.stack([r.weights for r in self.results(kind)]) for kind, name in _NAMES.items()}

    def histories(self) -> dict[str, list[History]]:
        """Return the histories by kind."""
        return {name: [r.history for r in self.results(kind)] for kind, name in _NAMES.items()}

    def improved(self, kind: str) -> list[str]:
        """Return the observables that are closer to the target than before, on average over seeds."""
        before = self.scratch[0].distances
        return [name for name in before if self.spread(kind, name).mean < before[name].before.value]

    def table(self) -> pd.DataFrame:
        """Return 1000 times the discriminators: before, after (mean and spread over seeds), and the floor.

        ``bootstrap`` is the statistical uncertainty of one value after fine-tuned reweighting.
        """
        import pandas as pd

        rows = {}
        for name, change in self.finetuned[0].distances.items():
            after = {label: self.spread(kind, name) for kind, label in _NAMES.items()}
            rows[name] = (
                {"before": f"{change.before.value:.1f} ± {change.before.uncertainty:.1f}"}
                | {label: f"{s.mean:.2f} ± {s.std:.2f}" for label, s in after.items()}
                | {"bootstrap": f"{change.after.uncertainty:.2f}", "floor": f"{change.after.floor:.2f}"}
            )
        return pd.DataFrame(rows).T

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return what a results file holds about this comparison."""
        names = [name for name in self.scratch[0].values() if name != _NO_MERIT] + ["best_val_loss"]
        return ComparisonRecord(
            seeds=list(self.config.seeds),
            n_train=self.n_train,
            n_test=len(self.scratch[0].weights),
            metrics={name: {kind: self.values(kind, name) for kind in KINDS} for name in names},
            smaller_is_better=names,
            published={} if published is None else published_numbers(published),
        )


def compare_reweighting(
    train: tuple[Jets, Jets],
    test: tuple[Jets, Jets],
    config: CompareRatios,
    *,
    edges: Mapping[str, np.ndarray] | None = None,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> ReweightingComparison:
    """Reweight with networks from scratch and from a checkpoint, with every seed.

    Parameters
    ----------
    train, test : (source, target) Jets
        Fitted, and measured on.
    config : CompareRatios
    edges
        Bins of the discriminators.
    workers
        Processes; all usable cores by default.
    directory
        Keep every run there; an interrupted comparison goes on where it was.

    Returns
    -------
    ReweightingComparison
    """
    jobs = {
        (kind, seed): (train, test, config.ratio(kind, seed), edges, _folder(directory, kind, seed))
        for seed in config.seeds
        for kind in KINDS
    }
    runs = run_jobs(_reweight, jobs, workers=workers, title="reweightings")
    by_kind = (tuple(runs[kind, seed] for seed in config.seeds) for kind in KINDS)
    return ReweightingComparison(config, *by_kind, n_train=sum(map(len, train)))


def _reweight(
    train: tuple[Jets, Jets],
    test: tuple[Jets, Jets],
    config: RatioConfig,
    edges: Mapping[str, np.ndarray] | None,
    folder: str | None,
) -> ReweightingResult:
    return reweight(*train, config, evaluate=test, edges=edges, run_directory=folder)


def _folder(directory: str | os.PathLike[str] | None, kind: str, seed: int) -> str | None:
    return None if directory is None else str(Path(directory) / f"{kind}-seed{seed}")


@dataclass(frozen=True, eq=False)
class RatioCheck:
    """A learnt log ratio beside the true one, on source jets that were not fitted.

    Parameters
    ----------
    learnt, true : array, shape (N,)
    """

    learnt: np.ndarray
    true: np.ndarray

    @property
    def error(self) -> float:
        """Root mean square of learnt minus true."""
        return float(np.sqrt(np.mean((self.learnt - self.true) ** 2)))

    @property
    def size(self) -> float:
        """Root mean square of the true log ratio: the error of weights that are all one."""
        return float(np.sqrt(np.mean(self.true**2)))

    @property
    def correlation(self) -> float:
        """Linear correlation of learnt and true."""
        return float(np.corrcoef(self.learnt, self.true)[0, 1])

    def __repr__(self) -> str:
        return f"error of ln w {self.error:.3f} (weights of one: {self.size:.3f}), r = {self.correlation:.3f}"


def check_known_ratio(
    tilted: TiltedJets,
    configs: Mapping[str, RatioConfig],
    *,
    test_fraction: float = 0.4,
    workers: int | None = None,
) -> dict[str, RatioCheck]:
    """Learn a ratio that is known, in several ways, and compare on source jets that were not fitted.

    Parameters
    ----------
    tilted : TiltedJets
    configs : mapping of name to RatioConfig
    test_fraction
        Share of the source jets to compare on.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    dict of name to RatioCheck
    """
    n_train = round((1 - test_fraction) * len(tilted.source))
    samples = (tilted.source[:n_train], tilted.target, tilted.source[n_train:])
    jobs = {name: (*samples, config) for name, config in configs.items()}
    learnt = run_jobs(_learn, jobs, workers=workers, title="known ratio")
    return {name: RatioCheck(np.log(w), tilted.log_ratio[n_train:]) for name, w in learnt.items()}


def ratio_curves(
    checks: Mapping[str, RatioCheck], *, n_bins: int = 8
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return mean learnt against mean true weight, in bins of equal numbers of jets, and the ideal line.

    Parameters
    ----------
    checks : mapping of name to RatioCheck
        On the same jets.
    n_bins

    Returns
    -------
    dict of name to (true, learnt)
        As `omnilearn_lab.plotting.scaling_curve` takes them; ``"ideal"`` first.
    """
    true = np.exp(next(iter(checks.values())).true)
    groups = np.array_split(np.argsort(true), min(n_bins, len(true)))
    centers = np.array([true[rows].mean() for rows in groups])
    learnt = {k: np.array([np.exp(c.learnt[rows]).mean() for rows in groups]) for k, c in checks.items()}
    return {"ideal": (centers, centers)} | {name: (centers, values) for name, values in learnt.items()}


def _learn(source: Jets, target: Jets, others: Jets, config: RatioConfig) -> np.ndarray:
    return Reweighter(config).fit(source, target).predict(others)
