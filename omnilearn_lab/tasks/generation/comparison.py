"""Generators from scratch and fine-tuned: the same jets, the same number of updates, several seeds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.metrics import Gain, Spread, gain, spread
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.common.records import ComparisonRecord, published_numbers
from omnilearn_lab.tasks.generation.scores import (
    GenerationScores,
    ScoresConfig,
    generation_scores,
    metric_label,
)
from omnilearn_lab.tasks.generation.two_stage import JetGeneration, JetGenerationConfig
from omnilearn_lab.training import History

if TYPE_CHECKING:
    from omnilearn_lab.published import PublishedTable

__all__ = [
    "GeneratorComparison",
    "GeneratorData",
    "GeneratorResult",
    "GeneratorsConfig",
    "compare_generators",
]

_NAMES = {"scratch": "scratch", "finetuned": "fine-tuned"}
VARIANTS = ("ideal", "two-stage")


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
class GeneratorsConfig:
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
    variants: tuple[str, ...] = VARIANTS

    def __post_init__(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                raise ConfigError(f"there is no variant '{name}'; {nearest(name, VARIANTS)}")

    def of(self, kind: str, seed: int) -> JetGenerationConfig:
        """Return the configuration of one generator; ``kind`` is "scratch" or "finetuned"."""
        return replace(
            self.generation,
            checkpoint=self.compare.checkpoint,
            from_scratch=kind == "scratch",
            particles=replace(getattr(self.compare, kind), seed=seed),
        )


@dataclass(frozen=True, eq=False)
class GeneratorResult:
    """One trained generator and its jets.

    Parameters
    ----------
    generator : JetGeneration
    jets : mapping of variant to Jets
    scores : mapping of variant to GenerationScores
    seconds_training, seconds_sampling
    """

    generator: JetGeneration
    jets: Mapping[str, Jets]
    scores: Mapping[str, GenerationScores]
    seconds_training: float
    seconds_sampling: float


@dataclass(frozen=True, eq=False)
class GeneratorComparison:
    """Results of `compare_generators`: one `GeneratorResult` per seed and kind.

    Parameters
    ----------
    config : GeneratorsConfig
    scratch, finetuned : tuple of GeneratorResult
        In the order of the seeds.
    floor : GenerationScores
        Of true jets against true jets.
    n_train, n_test
        Training jets, and jets compared.
    """

    config: GeneratorsConfig
    scratch: tuple[GeneratorResult, ...]
    finetuned: tuple[GeneratorResult, ...]
    floor: GenerationScores
    n_train: int
    n_test: int

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(self.floor.to_dict())

    def results(self, kind: str) -> tuple[GeneratorResult, ...]:
        """Return the results of "scratch" or "finetuned"."""
        return {"scratch": self.scratch, "finetuned": self.finetuned}[kind]

    def values(self, kind: str, metric: str, *, variant: str = "ideal") -> list[float]:
        """Return one number per seed: a metric, or ``best_val_loss``."""
        if metric == "best_val_loss":
            return [r.generator.histories["particles"].best()["loss"] for r in self.results(kind)]
        return [r.scores[variant].to_dict()[metric] for r in self.results(kind)]

    def spread(self, kind: str, metric: str, *, variant: str = "ideal") -> Spread:
        """Return mean and spread of a metric over seeds."""
        return spread(self.values(kind, metric, variant=variant))

    def gain(self, metric: str, *, variant: str = "ideal") -> Gain:
        """Return fine-tuned minus scratch, paired by seed; a distance is better when it is smaller."""
        both = (self.values(kind, metric, variant=variant) for kind in ("finetuned", "scratch"))
        return gain(*both, paired=True)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the spread of every metric, and the floor, for tables and ``PublishedTable.join``."""
        found = {
            f"{name}, {variant}": {m: self.spread(kind, m, variant=variant) for m in self.metrics}
            for kind, name in _NAMES.items()
            for variant in self.config.variants
        }
        return found | {"truth against truth": self.floor.results()}

    def over_floor(self) -> dict[str, dict[str, list[float]]]:
        """Return every distance over its floor, seed by seed: 1 is as good as true jets can be told."""
        floor = self.floor.to_dict()
        return {
            f"{name}, {variant}": {
                metric_label(m): [value / floor[m] for value in self.values(kind, m, variant=variant)]
                for m in self.metrics
                if floor[m] > 0
            }
            for kind, name in _NAMES.items()
            for variant in self.config.variants
        }

    def histories(self) -> dict[str, list[History]]:
        """Return the histories of the particles' training by kind, for plotting and widgets."""
        return {n: [r.generator.histories["particles"] for r in self.results(k)] for k, n in _NAMES.items()}

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return what a results file holds about this comparison; metrics end in ``[variant]``."""
        metrics = {
            f"{metric}[{variant}]": {kind: self.values(kind, metric, variant=variant) for kind in _NAMES}
            for variant in self.config.variants
            for metric in self.metrics
        }
        metrics["best_val_loss"] = {kind: self.values(kind, "best_val_loss") for kind in _NAMES}
        return ComparisonRecord(
            seeds=list(self.config.compare.seeds),
            n_train=self.n_train,
            n_test=self.n_test,
            metrics=metrics,
            smaller_is_better=[name for name in metrics if not name.startswith("coverage")],
            published={} if published is None else published_numbers(published),
        )


def compare_generators(
    data: GeneratorData,
    config: GeneratorsConfig,
    *,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> GeneratorComparison:
    """Train generators from scratch and from a checkpoint with every seed, sample them and measure.

    The first stage (jet kinematics) is trained once and shared: the comparison is about the particles.

    Parameters
    ----------
    data : GeneratorData
    config : GeneratorsConfig
    workers
        Processes; all usable cores by default.
    directory
        Keep every run there, so that an interrupted comparison goes on where it was.
    progress
        Show a progress bar.

    Returns
    -------
    GeneratorComparison
    """
    folder = None if directory is None else Path(directory)
    base = JetGeneration(config.generation, directory=folder and folder / "first-stage")
    base.fit_kinematics(data.train, data.validation)
    jobs = {
        (kind, seed): (base, config, (kind, seed), data, folder and folder / f"{kind}-seed{seed}")
        for seed in config.compare.seeds
        for kind in ("scratch", "finetuned")
    }
    done = run_jobs(_train_and_measure, jobs, workers=workers, progress=progress, title="generators")
    return GeneratorComparison(
        config,
        *(tuple(done[kind, seed] for seed in config.compare.seeds) for kind in ("scratch", "finetuned")),
        floor=generation_scores(data.reference, data.floor, config=config.scores),
        n_train=len(data.train),
        n_test=len(data.reference),
    )


def _train_and_measure(
    base: JetGeneration,
    config: GeneratorsConfig,
    which: tuple[str, int],
    data: GeneratorData,
    folder: Path | None,
) -> GeneratorResult:
    start = time.perf_counter()
    generator = base.with_config(config.of(*which), directory=folder)
    generator.fit_particles(data.train, data.validation)
    trained = time.perf_counter()
    jets = {name: _sample(generator, data.reference, name, which[1]) for name in config.variants}
    sampled = time.perf_counter()
    scores = {
        name: generation_scores(data.reference, made, config=config.scores) for name, made in jets.items()
    }
    return GeneratorResult(generator, jets, scores, trained - start, sampled - trained)


def _sample(generator: JetGeneration, reference: Jets, variant: str, seed: int) -> Jets:
    if variant == "ideal":
        return generator.sample_like(reference, seed=seed)
    return generator.sample(len(reference), label=reference.label, seed=seed)
