"""How the gain of pretraining depends on the number of training jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import Gain
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult
from omnilearn_lab.tasks.common.classifiers import ClassifierComparisonSettings, train_classifiers
from omnilearn_lab.tasks.common.comparison import Comparison
from omnilearn_lab.tasks.common.records import KINDS


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Scratch against fine-tuned at several sizes of the training set.

    Parameters
    ----------
    comparisons : tuple of Comparison
        In order of their number of training jets, all with the same arms, seeds and test jets.

    Raises
    ------
    ConfigError
        For no comparisons, or different arms or seeds.
    """

    comparisons: tuple[Comparison[ClassifierResult], ...]

    def __post_init__(self) -> None:
        if len({(tuple(each.results), each.seeds) for each in self.comparisons}) != 1:
            raise ConfigError("a learning curve needs comparisons, all with the same arms and seeds")

    @property
    def sizes(self) -> np.ndarray:
        """Training jets, shape (K,)."""
        return np.array([comparison.n_train for comparison in self.comparisons])

    def values(self, arm: str, metric: str) -> np.ndarray:
        """Return a metric of an arm, shape (seeds, K)."""
        return np.array([comparison.values(arm, metric) for comparison in self.comparisons]).T

    def curves(self, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what `omnilearn_lab.plotting.scaling_curve` draws."""
        return {label(arm): (self.sizes, self.values(arm, metric)) for arm in self.comparisons[0].results}

    def gains(self, metric: str) -> dict[int, Gain]:
        """Return the paired gain at each size."""
        return {comparison.n_train: comparison.gain(metric) for comparison in self.comparisons}

    def joined(self, comparison: Comparison[ClassifierResult]) -> LearningCurve:
        """Return the curve with one more point, measured already."""
        return LearningCurve(tuple(sorted((*self.comparisons, comparison), key=lambda each: each.n_train)))


def train_learning_curve(
    data: ClassifierData,
    settings: ClassifierComparisonSettings,
    sizes: Mapping[int, float] | Sequence[int],
    **options: Any,
) -> LearningCurve:
    """Train from scratch and from a checkpoint on the first jets of the training set, at several sizes.

    Parameters
    ----------
    data : ClassifierData
    settings : ClassifierComparisonSettings
    sizes : sequence of int, or mapping of int to float
        Training jets; with a mapping, the epochs at each size. Small sets need more epochs for as many
        updates; scratch and fine-tuned always get the same.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ConfigError
        For no sizes, or more jets than there are.
    """
    if not isinstance(sizes, Mapping):
        sizes = dict.fromkeys(sizes, settings.scratch.epochs)
    arms = {
        (kind, n): replace(chosen, n_train=n)
        for n, epochs in sorted(sizes.items())
        for kind, chosen in _with_epochs(settings, epochs).classifiers(data.n_classes).items()
    }
    named = {f"{kind}-{n}": chosen for (kind, n), chosen in arms.items()}
    trained = train_classifiers(data, named, seeds=settings.seeds, **options)
    kinds = dict.fromkeys(kind for kind, _ in arms)
    return LearningCurve(tuple(trained.select({k: f"{k}-{n}" for k in kinds}) for n in sorted(sizes)))


def _with_epochs(settings: ClassifierComparisonSettings, epochs: float) -> ClassifierComparisonSettings:
    """The same with other epochs, and about as many validations in all."""
    per_epoch = settings.scratch.validations_per_epoch * settings.scratch.epochs / epochs
    changes = {"epochs": epochs, "validations_per_epoch": max(1, round(per_epoch))}
    return replace(settings, **{kind: replace(getattr(settings, kind), **changes) for kind in KINDS})
