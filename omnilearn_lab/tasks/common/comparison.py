"""Scratch against fine-tuned: the same jets, the same number of updates, several seeds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import Gain, Speedup, Spread, gain, speedup, spread
from omnilearn_lab.models import Batch
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult
from omnilearn_lab.tasks.common.networks import ClassifierSettings
from omnilearn_lab.tasks.common.records import KINDS, ComparisonRecord, finite, published_numbers
from omnilearn_lab.tasks.common.trainings import train_many
from omnilearn_lab.training import History, TrainConfig

if TYPE_CHECKING:
    from omnilearn_lab.published import PublishedTable

__all__ = ["CompareConfig", "Comparison", "compare"]

_NAMES = {"scratch": "scratch", "finetuned": "fine-tuned"}


@settings
class CompareConfig:
    """What to compare.

    Parameters
    ----------
    checkpoint
        Name or path of the pretrained network; the network trained from scratch has the same sizes.
    seeds
        One training of each kind per seed; a seed fixes initial weights and the order of jets.
    scratch, finetuned : TrainConfig
        Their ``epochs`` and ``batch_size`` must agree: equal budgets, or the comparison says nothing.
    n_train
        Use only the first jets of the training set; None uses all.
    signal_efficiencies
        Where background rejections are measured.

    Raises
    ------
    ConfigError
        For unequal budgets or no seeds.
    """

    checkpoint: str = "tiny"
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=lambda: TrainConfig(body_lr_factor=0.1))
    n_train: int | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; at least one is needed, each only once")
        for name in ("epochs", "batch_size", "validations_per_epoch"):
            ours, theirs = getattr(self.scratch, name), getattr(self.finetuned, name)
            if ours != theirs:
                raise ConfigError(
                    f"{name} is {ours} for scratch and {theirs} for fine-tuned; they must agree"
                )

    def settings(self, kind: str, n_classes: int = 2) -> ClassifierSettings:
        """Return the settings of one kind of training, "scratch" or "finetuned"."""
        start = {"like": self.checkpoint} if kind == "scratch" else {"init": self.checkpoint}
        return ClassifierSettings(
            n_classes,
            training=getattr(self, kind),
            n_train=self.n_train,
            signal_efficiencies=self.signal_efficiencies,
            **start,
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of `compare`: one `ClassifierResult` per seed and kind.

    Parameters
    ----------
    config : CompareConfig
    test : Batch
        The test jets.
    scratch, finetuned : tuple of ClassifierResult
        In the order of ``config.seeds``.
    seconds
        Wall time of all trainings together.
    """

    config: CompareConfig
    test: Batch
    scratch: tuple[ClassifierResult, ...]
    finetuned: tuple[ClassifierResult, ...]
    seconds: float

    @property
    def n_train(self) -> int:
        """Training jets."""
        return self.scratch[0].n_train

    def results(self, kind: str) -> tuple[ClassifierResult, ...]:
        """Return the results of "scratch" or "finetuned"."""
        return self.scratch if kind == "scratch" else self.finetuned

    def values(self, kind: str, metric: str) -> list[float]:
        """Return one number per seed: a metric's name, ``best_val_loss`` or ``epochs``."""
        results = self.results(kind)
        if metric == "best_val_loss":
            return [r.history.best()["loss"] for r in results]
        if metric == "epochs":
            return [float(r.history.column("epoch")[-1]) for r in results]
        return [float(r.metrics.to_dict()[metric]) for r in results]

    def limits(self, kind: str) -> dict[str, int]:
        """Return for how many seeds each rejection is only a lower limit (too few background jets pass)."""
        counts: dict[str, int] = {}
        for result in self.results(kind):
            for name in result.metrics.limits():
                counts[name] = counts.get(name, 0) + 1
        return counts

    def spread(self, kind: str, metric: str) -> Spread:
        """Return mean and spread of a metric over seeds."""
        return spread(self.values(kind, metric))

    def gain(self, metric: str) -> Gain:
        """Return how much larger a metric is for fine-tuning than for scratch, paired by seed."""
        return gain(self.values("finetuned", metric), self.values("scratch", metric), paired=True)

    def seconds_by_step(self) -> dict[str, float]:
        """Return the time spent in training and in evaluation, summed over processes."""
        every = [*self.scratch, *self.finetuned]
        return {
            "training (summed over processes)": round(sum(r.seconds_training for r in every), 1),
            "evaluation (summed over processes)": round(sum(r.seconds_evaluation for r in every), 1),
        }

    def histories(self) -> dict[str, list[History]]:
        """Return the histories by kind of training, for plotting and for the comparison widget."""
        return {name: [r.history for r in self.results(kind)] for kind, name in _NAMES.items()}

    def scores(self, kind: str, *, signal: int = 1, background: int = 0) -> list[tuple[np.ndarray, ...]]:
        """Return, per seed, (score, is signal) of the test jets of two classes, and weights if any.

        The score is p_signal / (p_signal + p_background), the plain probability for two classes.
        """
        return [r.scores(self.test, signal=signal, background=background) for r in self.results(kind)]

    def speedups(self) -> list[Speedup]:
        """Return, per seed, how much sooner fine-tuning reaches the best loss of scratch training."""
        return [
            speedup(
                tuned.val_loss,
                scratch.val_loss,
                epochs=(tuned.epochs, scratch.epochs),
                seconds=(tuned.seconds, scratch.seconds),
            )
            for tuned, scratch in zip(*reversed(self.histories().values()), strict=True)
        ]

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return everything a results file holds about this comparison.

        Parameters
        ----------
        published : PublishedTable, optional
            The numbers to stand beside ours.
        """
        metrics = [*self.scratch[0].metrics.to_dict(), "best_val_loss", "epochs"]
        speedups = self.speedups()
        entry = {
            "seeds": self.config.seeds,
            "n_train": self.n_train,
            "n_test": len(self.test),
            "metrics": {m: {kind: self.values(kind, m) for kind in KINDS} for m in metrics},
            "smaller_is_better": ["best_val_loss", "epochs"],
            "speedup_epochs": [s.epochs for s in speedups],
            "speedup_seconds": [s.seconds for s in speedups],
            "n_lower_limits": {kind: self.limits(kind) for kind in KINDS},
            "published": published_numbers(published) if published else {},
        }
        return ComparisonRecord.model_validate(finite(entry))


def compare(
    data: ClassifierData,
    config: CompareConfig,
    *,
    n_classes: int = 2,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Comparison:
    """Train from scratch and from a checkpoint, with every seed, and measure all on the same test jets.

    The network trained from scratch has the sizes of the checkpoint's.

    Parameters
    ----------
    data : ClassifierData
        Made for the checkpoint's kind of network: ``ClassifierData.from_jets(jets, inputs=...)``.
    config : CompareConfig
    n_classes
    workers, directory, progress
        See `omnilearn_lab.tasks.common.train_many`.

    Returns
    -------
    Comparison
    """
    start = time.perf_counter()
    found = train_many(
        data,
        {kind: config.settings(kind, n_classes) for kind in KINDS},
        seeds=config.seeds,
        workers=workers,
        directory=directory,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    return Comparison(config, data.test, found["scratch"], found["finetuned"], seconds)
