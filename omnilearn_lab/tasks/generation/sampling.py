"""Samplers: quality against the number of evaluations, and distillation into a few steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor, nn

from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import jets_from_features, pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import PET, Batch, SamplerConfig
from omnilearn_lab.models.diffusion import distillation_pair
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.generation.generator import JetGeneration, generated_features, labelled
from omnilearn_lab.tasks.generation.scores import GenerationScores, ScoresConfig, generation_scores
from omnilearn_lab.training import TrainConfig, Trainer, Whole


@settings
class StudyConfig:
    """How `sampler_study` measures.

    Parameters
    ----------
    scores : ScoresConfig
    floor : Jets, optional
        More true jets, as many as the reference; by default its two halves are compared.
    converged : SamplerConfig, optional
        The sampler whose particles count as the exact solution of the flow; None measures no deviations.
    """

    scores: ScoresConfig = field(default_factory=ScoresConfig)
    floor: Jets | None = None
    converged: SamplerConfig | None = SamplerConfig(64, "ralston3")


@dataclass(frozen=True)
class SamplerPoint:
    """One way of sampling, measured.

    Parameters
    ----------
    name
        Of the generator.
    sampler : SamplerConfig
    deviation
        Root mean square distance of its particles from the converged solution for the same noise, in units of
        the standardised features (of order one); NaN when nothing converged was made.
    milliseconds
        Time for a jet, in one process.
    scores : GenerationScores
    """

    name: str
    sampler: SamplerConfig
    deviation: float
    milliseconds: float
    scores: GenerationScores

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the network for a jet."""
        return self.sampler.n_evaluations

    def value(self, quantity: str) -> float:
        """Return ``deviation``, ``milliseconds``, ``guidance`` or a metric."""
        if quantity in ("deviation", "milliseconds"):
            return getattr(self, quantity)
        return self.sampler.guidance if quantity == "guidance" else self.scores.to_dict()[quantity]

    @property
    def label(self) -> str:
        """Method, with the name of another generator."""
        return f"{self.name} {self.sampler.method}".strip()


@dataclass(frozen=True)
class SamplerStudy:
    """Points of `sampler_study`, and the floor of their scores.

    Parameters
    ----------
    points : tuple of SamplerPoint
    floor : GenerationScores
        True jets against true jets, of the same numbers.
    """

    points: tuple[SamplerPoint, ...]
    floor: GenerationScores

    def curves(self, quantity: str) -> dict[str, tuple[list[int], list[float]]]:
        """Return (evaluations, values) by method: ``deviation``, ``milliseconds`` or a metric.

        The converged solution, to which deviations are measured, is left out of these.
        """
        found: dict[str, tuple[list[int], list[float]]] = {}
        for point in sorted(self.points, key=lambda p: p.n_evaluations):
            if quantity == "deviation" and not point.deviation > 0:
                continue
            sizes, values = found.setdefault(point.label, ([], []))
            sizes.append(point.n_evaluations)
            values.append(point.value(quantity))
        return found

    def by_guidance(self) -> dict[str, dict[str, float]]:
        """Return every distance over its floor, by strength of guidance, for ``metric_bars``."""
        floor = self.floor.to_dict()
        points = sorted(self.points, key=lambda p: p.sampler.guidance)
        return {
            f"w = {p.sampler.guidance:g}": {label(m): p.value(m) / floor[m] for m in floor} for p in points
        }

    def cheapest(self, reference: SamplerPoint) -> dict[str, SamplerPoint]:
        """Return, by metric, the point with the fewest evaluations that is as good as a reference.

        As good: its distance, and that of every point of the same method with more evaluations, is at most
        the reference's plus the reference's uncertainty. A single lucky point does not count.

        Parameters
        ----------
        reference : SamplerPoint
            Such as the published sampler with its own number of steps.
        """
        best_by_metric = {}
        for metric, (value, uncertainty) in reference.scores.results().items():
            best = reference
            for way in {p.label for p in self.points}:
                line = [p for p in self.points if p.label == way]
                for point in sorted(line, key=lambda p: -p.n_evaluations):
                    if point.value(metric) > value + uncertainty:
                        break
                    best = min(best, point, key=lambda p: p.n_evaluations)
            best_by_metric[metric] = best
        return best_by_metric

    def judged(self, reference: SamplerPoint) -> str:
        """Say in words, by metric, which way is the cheapest that is as good as a reference.

        Where even the cheapest of all ways lies at the floor, the metric cannot tell them apart, and no
        factor is quoted.

        Parameters
        ----------
        reference : SamplerPoint

        Returns
        -------
        str
            A line per metric.
        """
        floor = self.floor.results()
        fewest = min(self.points, key=lambda p: p.n_evaluations)
        lines = []
        for metric, point in self.cheapest(reference).items():
            limit = sum(floor[metric])
            if fewest.value(metric) <= limit:
                lines.append(
                    f"{label(metric)}: at the floor already with {fewest.n_evaluations} evaluations; "
                    "with this few jets it ranks no sampler"
                )
                continue
            factor = reference.n_evaluations / point.n_evaluations
            lines.append(
                f"{label(metric)}: {point.label}, {point.n_evaluations} evaluations, {factor:.3g} times fewer"
            )
        return "\n".join(lines)

    def point(self, method: str, n_evaluations: int) -> SamplerPoint:
        """Return one point.

        Raises
        ------
        ConfigError
            When there is none.
        """
        for point in self.points:
            if (point.label, point.n_evaluations) == (method, n_evaluations):
                return point
        points = ", ".join(f"{p.label} {p.n_evaluations}" for p in self.points)
        raise ConfigError(f"no point '{method}' with {n_evaluations} evaluations; known: {points}")

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a pandas table, headed by labels."""
        metrics = self.points[0].scores.to_dict()
        heads = {name: label(name, has_unit=True) for name in ("ms_per_jet", *metrics)}
        return pd.DataFrame(self.rows()).rename(columns=heads)

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping of plain numbers per point, for results files and tables."""
        return [
            {
                "method": p.label,
                "steps": p.sampler.n_steps,
                "evaluations": p.n_evaluations,
                "guidance": p.sampler.guidance,
                "deviation": p.deviation,
                "ms_per_jet": round(p.milliseconds, 2),
                **p.scores.to_dict(),
            }
            for p in self.points
        ]


def sampler_study(
    generators: JetGeneration | Mapping[str, JetGeneration],
    reference: Jets,
    samplers: Sequence[SamplerConfig],
    *,
    config: StudyConfig = StudyConfig(),
    workers: int | None = None,
) -> SamplerStudy:
    """Sample the same jets in several ways, from the same noise, and measure cost and quality.

    Parameters
    ----------
    generators : JetGeneration, or mapping of name to JetGeneration
        Of a mapping, the generator named "" is sampled in all ways; the others, distilled students, each in
        its own configured way.
    reference : Jets
        True jets: conditions (the "ideal" variant) and reference of the scores.
    samplers
        Ways of sampling.
    config : StudyConfig, optional
    workers
        Processes; all usable cores by default.

    Returns
    -------
    SamplerStudy
        All points share their noise: differences between them are more precise than the distances.
    """
    named = {"": generators} if isinstance(generators, JetGeneration) else dict(generators)
    if "" not in named:
        raise ConfigError(f"one of the generators must be named ''; found {sorted(named)}")
    ways = dict.fromkeys([*samplers, *([config.converged] if config.converged else [])])
    jobs = {("", way): (named[""], reference, way, config.scores) for way in ways}
    students = {name: generator for name, generator in named.items() if name}
    jobs |= {
        (n, s.config.sampler): (s, reference, s.config.sampler, config.scores) for n, s in students.items()
    }
    made = run_jobs(_measure, jobs, workers=workers, title="samplers")
    exact = made["", config.converged][0] if config.converged else None
    points = tuple(
        SamplerPoint(name, way, _distance(rows, exact), 1e3 * seconds / len(reference), scores)
        for (name, way), (rows, seconds, scores) in made.items()
    )
    half = len(reference) // 2
    pair = (reference[:half], reference[half:]) if config.floor is None else (reference, config.floor)
    return SamplerStudy(points, generation_scores(*pair, config=config.scores))


def _measure(
    generator: JetGeneration, reference: Jets, sampler: SamplerConfig, scores: ScoresConfig
) -> tuple[np.ndarray, float, GenerationScores]:
    start = time.perf_counter()
    scale = generator.config.standardization
    rows = generated_features(generator.particles, reference, config=sampler, standardization=scale)
    seconds = time.perf_counter() - start
    jets = jets_from_features(rows, reference, standardization=scale, keep_jet=True)
    return rows, seconds, generation_scores(reference, jets, config=scores)


def _distance(rows: np.ndarray, exact: np.ndarray | None) -> float:
    return float("nan") if exact is None else float(np.sqrt(np.mean((rows - exact) ** 2)))


@settings
class DistillConfig:
    """How to distil.

    Parameters
    ----------
    n_steps
        Evaluations of the student for a jet.
    method, n_substeps
        The teacher's solver, and its steps within one of the student's.
    guidance
        Strength of the guidance that the student learns.
    training : TrainConfig

    """

    n_steps: Annotated[int, Field(ge=1)] = 4
    method: str = "ralston3"
    n_substeps: Annotated[int, Field(ge=1)] = 1
    guidance: float = 0.0
    training: TrainConfig = field(default_factory=lambda: TrainConfig(learning_rate=3e-4, ema_decay=0.999))

    @property
    def sampler(self) -> SamplerConfig:
        """How the student is sampled."""
        return SamplerConfig(self.n_steps, "euler")


@dataclass(frozen=True)
class Distillation:
    """Training objective: the student's velocity is the mean of the teacher's over a step.

    L = |v_student(x, t) - (x(t - 1/N) - x(t)) / step|^2, x(t - 1/N) from the teacher's solver.

    Parameters
    ----------
    teacher : PET
        In evaluation mode.
    config : DistillConfig

    References
    ----------
    T. Salimans, J. Ho, arXiv:2202.00512, section 3.
    """

    teacher: PET
    config: DistillConfig

    def __call__(self, model: nn.Module, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        """Return the loss terms of a batch of true jets, or a part's share in those of the whole."""
        config, whole = self.config, whole or Whole.of(batch)
        solver = (config.method, config.n_substeps)
        pair, time = distillation_pair(
            self.teacher, batch, config.n_steps, solver=solver, guidance=config.guidance
        )
        errors = model.velocity(pair.batch, time, batch.label) - pair.target
        loss = whole.mean_of_particles(errors.square().mean(dim=1), batch)
        return {"distillation": loss, "loss": loss}


def distill(
    generator: JetGeneration, jets: Jets, validation: Jets, *, config: DistillConfig = DistillConfig()
) -> JetGeneration:
    """Return a generator whose particles take ``config.n_steps`` evaluations of the network.

    The student starts from the teacher's weights; the first stage is shared. Distilling a student again, with
    ``method="euler"`` and two substeps, halves its steps: progressive distillation.

    Parameters
    ----------
    generator : JetGeneration
        The teacher, trained; it stays as it is.
    jets, validation : Jets
        True jets.
    config : DistillConfig, optional

    Returns
    -------
    JetGeneration
        Its ``sampler`` is set; ``histories["particles"]`` is the distillation's.

    References
    ----------
    T. Salimans, J. Ho, arXiv:2202.00512; OmniLearn, arXiv:2404.16091, names faster sampling as future work.
    """
    student = generator.with_config(replace(generator.config, sampler=config.sampler))
    teacher = copy.deepcopy(generator.particles).eval()
    scale = generator.config.standardization
    batches = (pet_batch(labelled(part), standardization=scale) for part in (jets, validation))
    trainer = Trainer(student.particles, Distillation(teacher, config), *batches, config.training)
    student.histories["particles"] = trainer.fit()
    student.particles.eval()
    return student
