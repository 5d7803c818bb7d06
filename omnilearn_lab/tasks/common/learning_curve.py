"""How the gain of pretraining depends on the number of training jets."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import Gain
from omnilearn_lab.tasks.common.classification import ClassifierData
from omnilearn_lab.tasks.common.comparison import CompareConfig, Comparison
from omnilearn_lab.tasks.common.records import KINDS
from omnilearn_lab.tasks.common.trainings import train_many

__all__ = ["LearningCurve", "train_learning_curve"]


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Scratch against fine-tuned at several sizes of the training set.

    Parameters
    ----------
    comparisons : tuple of Comparison
        In order of their number of training jets, all with the same seeds and test jets.
    seconds
        Wall time of all trainings together.

    Raises
    ------
    ConfigError
        For no comparisons, or different seeds.
    """

    comparisons: tuple[Comparison, ...]
    seconds: float

    def __post_init__(self) -> None:
        if len({comparison.config.seeds for comparison in self.comparisons}) != 1:
            raise ConfigError("a learning curve needs comparisons, all with the same seeds")

    @property
    def sizes(self) -> np.ndarray:
        """Training jets, shape (K,)."""
        return np.array([comparison.n_train for comparison in self.comparisons])

    def values(self, kind: str, metric: str) -> np.ndarray:
        """Return a metric of "scratch" or "finetuned", shape (seeds, K)."""
        return np.array([comparison.values(kind, metric) for comparison in self.comparisons]).T

    def curves(self, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what `omnilearn_lab.plotting.scaling_curve` draws."""
        names = {"scratch": "scratch", "finetuned": "fine-tuned"}
        return {name: (self.sizes, self.values(kind, metric)) for kind, name in names.items()}

    def gains(self, metric: str) -> dict[int, Gain]:
        """Return the paired gain at each size."""
        return {comparison.n_train: comparison.gain(metric) for comparison in self.comparisons}

    def joined(self, comparison: Comparison) -> LearningCurve:
        """Return the curve with one more point, measured already."""
        every = sorted((*self.comparisons, comparison), key=lambda item: item.n_train)
        return LearningCurve(tuple(every), self.seconds + comparison.seconds)


def train_learning_curve(
    data: ClassifierData,
    config: CompareConfig,
    sizes: Mapping[int, float] | Sequence[int],
    *,
    n_classes: int = 2,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> LearningCurve:
    """Train from scratch and from a checkpoint on the first jets of the training set, at several sizes.

    Parameters
    ----------
    data : ClassifierData
    config : CompareConfig
    sizes : sequence of int, or mapping of int to float
        Training jets; with a mapping, the epochs at each size. Small sets need more epochs for as many
        updates; scratch and fine-tuned always get the same.
    n_classes
    workers, directory
        See `omnilearn_lab.tasks.common.train_many`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ConfigError
        For no sizes, or more jets than there are.
    """
    start = time.perf_counter()
    if not isinstance(sizes, Mapping):
        sizes = dict.fromkeys(sizes, config.scratch.epochs)
    configs = {n: _with_epochs(config, epochs) for n, epochs in sorted(sizes.items())}
    settings = {
        f"{kind}-{n}": replace(chosen.settings(kind, n_classes), n_train=n)
        for n, chosen in configs.items()
        for kind in KINDS
    }
    found = train_many(data, settings, seeds=config.seeds, workers=workers, directory=directory)
    seconds = time.perf_counter() - start
    comparisons = tuple(
        Comparison(chosen, data.test, found[f"scratch-{n}"], found[f"finetuned-{n}"], seconds / len(configs))
        for n, chosen in configs.items()
    )
    return LearningCurve(comparisons, seconds)


def _with_epochs(config: CompareConfig, epochs: float) -> CompareConfig:
    """The same with other epochs, and about as many validations in all."""
    per_epoch = config.scratch.validations_per_epoch * config.scratch.epochs / epochs
    changes = {"epochs": epochs, "validations_per_epoch": max(1, round(per_epoch))}
    return replace(config, **{kind: replace(getattr(config, kind), **changes) for kind in KINDS})
