"""Generators from scratch and fine-tuned: the same jets, the same number of updates, several seeds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from omnilearn_lab.display import label
from omnilearn_lab.jets import Jets
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.generation.scores import (
    GenerationScores,
    ScoresConfig,
    generation_scores,
    metric_label,
)
from omnilearn_lab.tasks.generation.two_stage import JetGeneration, JetGenerationConfig
from omnilearn_lab.training import History

Variant = Literal["ideal", "two-stage"]


@dataclass(frozen=True)
class GeneratorData:
    """Jets for training and for the measurement; all disjoint.

    Parameters
    ----------
    train, validation : Jets
    reference : Jets
        True jets that generated ones are compared with; they also give the conditions of the ideal variant.
    floor : Jets
        More true jets, as many: their distance to ``reference`` is what a perfect generator reaches.
    """

    train: Jets
    validation: Jets
    reference: Jets
    floor: Jets


@settings
class GeneratorSettings:
    """What to compare, and how to measure.

    Parameters
    ----------
    compare : ComparisonSettings
        Checkpoint, seeds, and the two ways of training the particles.
    generation : JetGenerationConfig
        Everything else; its ``particles``, ``checkpoint`` and ``from_scratch`` are replaced.
    scores : ScoresConfig
    variants
        Of "ideal" (true kinematics and multiplicity) and "two-stage" (generated ones).
    """

    compare: ComparisonSettings = field(default_factory=ComparisonSettings)
    generation: JetGenerationConfig = field(default_factory=JetGenerationConfig)
    scores: ScoresConfig = field(default_factory=ScoresConfig)
    variants: tuple[Variant, ...] = ("ideal", "two-stage")

    def arms(self) -> dict[str, JetGenerationConfig]:
        """Return how each generator is trained, by kind."""
        return {
            kind: replace(
                self.generation,
                checkpoint=self.compare.checkpoint,
                from_scratch=kind == "scratch",
                particles=arm.training,
            )
            for kind, arm in self.compare.arms().items()
        }


@dataclass(frozen=True, eq=False)
class GeneratorResult:
    """One trained generator and its jets.

    Parameters
    ----------
    generator : JetGeneration
    jets : mapping of variant to Jets
    scores : mapping of variant to GenerationScores
    n_train
        Training jets.
    seconds_training, seconds_evaluation
    """

    generator: JetGeneration
    jets: Mapping[str, Jets]
    scores: Mapping[str, GenerationScores]
    n_train: int
    seconds_training: float
    seconds_evaluation: float

    @property
    def history(self) -> History:
        """Of the training of the particles."""
        return self.generator.histories["particles"]

    @property
    def n_test(self) -> int:
        """Jets compared."""
        return len(next(iter(self.jets.values())))

    @property
    def smaller_is_better(self) -> tuple[str, ...]:
        """All `values` but coverage."""
        return tuple(name for name in self.values() if not name.startswith("coverage"))

    def values(self) -> dict[str, float]:
        """Return every metric, with ``[variant]`` behind its name, and the best validation loss."""
        metrics = {
            f"{metric}[{variant}]": value
            for variant, scores in self.scores.items()
            for metric, value in scores.to_dict().items()
        }
        return metrics | {"best_val_loss": self.history.best()["loss"]}


def compare_generators(
    data: GeneratorData,
    settings: GeneratorSettings,
    *,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Comparison[GeneratorResult]:
    """Train generators from scratch and from a checkpoint with every seed, sample them and measure.

    The first stage (jet kinematics) is trained once and shared: the comparison is about the particles.

    Parameters
    ----------
    data : GeneratorData
    settings : GeneratorSettings
    workers, directory, progress
        See `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of GeneratorResult
    """
    folder = None if directory is None else Path(directory) / "first-stage"
    base = JetGeneration(settings.generation, directory=folder)
    base.fit_kinematics(data.train, data.validation)
    return compare(
        partial(_train_and_measure, base, data, settings),
        settings.arms(),
        seeds=settings.compare.seeds,
        workers=workers,
        directory=directory,
        progress=progress,
    )


def over_floor(
    comparison: Comparison[GeneratorResult], floor: GenerationScores
) -> dict[str, dict[str, list[float]]]:
    """Return every distance over its floor, seed by seed: 1 is as good as true jets can be told.

    Parameters
    ----------
    comparison : Comparison of GeneratorResult
    floor : GenerationScores
        Of true jets against true jets, as many.

    Returns
    -------
    dict of "kind, variant" to {metric: one number per seed}
        For ``plotting.metric_bars``.
    """
    below = {metric: value for metric, value in floor.to_dict().items() if value > 0}
    return {
        f"{label(kind)}, {variant}": {
            metric_label(m): [v / below[m] for v in comparison.values(kind, f"{m}[{variant}]")] for m in below
        }
        for kind, runs in comparison.results.items()
        for variant in runs[0].scores
    }


def _train_and_measure(
    base: JetGeneration,
    data: GeneratorData,
    settings: GeneratorSettings,
    config: JetGenerationConfig,
    seed: int,
    run_directory: Path | None,
) -> GeneratorResult:
    start = time.perf_counter()
    config = replace(config, particles=replace(config.particles, seed=seed))
    generator = base.with_config(config, directory=run_directory)
    generator.fit_particles(data.train, data.validation)
    trained = time.perf_counter()
    jets = {name: _sample(generator, data.reference, name, seed) for name in settings.variants}
    sampled = time.perf_counter()
    scores = {n: generation_scores(data.reference, made, config=settings.scores) for n, made in jets.items()}
    return GeneratorResult(generator, jets, scores, len(data.train), trained - start, sampled - trained)


def _sample(generator: JetGeneration, reference: Jets, variant: Variant, seed: int) -> Jets:
    if variant == "ideal":
        return generator.sample_like(reference, seed=seed)
    return generator.sample(len(reference), label=reference.label, seed=seed)
