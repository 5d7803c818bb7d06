"""How far generated jets are from true ones, and the generators of a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from omnilearn_lab.display import label
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.metrics import distances
from omnilearn_lab.metrics.distances import fpd, kpd, w1_efp, w1_mass, w1_particles
from omnilearn_lab.observables import energy_flow_polynomials
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.generation.generator import JetGeneration, JetGenerationConfig
from omnilearn_lab.training import History


@settings
class ScoresConfig:
    """Which metrics to compute, and with how many jets; the defaults are JetNet's.

    Parameters
    ----------
    sampling : Sampling
        Of W1-M, W1-P and W1-EFP.
    use_physics_distances
        Also FPD and KPD, from 36 polynomials per jet (about 1 ms a jet).
    fpd, kpd : FpdConfig, KpdConfig
    coverage : Sampling, optional
        Also coverage and minimum matching distance; OmniLearn's tables draw 1000 jets ten times (ten million
        distances).
    """

    sampling: distances.Sampling = distances.Sampling()
    use_physics_distances: bool = False
    fpd: distances.FpdConfig = distances.FpdConfig()
    kpd: distances.KpdConfig = distances.KpdConfig()
    coverage: distances.Sampling | None = None


@dataclass(frozen=True)
class GenerationScores:
    """Distances between generated and true jets; smaller is better, except for coverage.

    Parameters
    ----------
    w1_mass, w1_particles, w1_efp : GenerationScore
        Plain numbers: the papers quote 1e3, 1e3 and 1e5 times these.
    fpd, kpd : GenerationScore, optional
    coverage : CoverageMmd, optional
    n_jets
        Generated jets.
    """

    w1_mass: distances.GenerationScore
    w1_particles: distances.GenerationScore
    w1_efp: distances.GenerationScore
    fpd: distances.GenerationScore | None
    kpd: distances.GenerationScore | None
    coverage: distances.CoverageMmd | None
    n_jets: int

    def to_dict(self) -> dict[str, float]:
        """Return the values by the names of the published tables.

        Examples
        --------
        >>> one = distances.GenerationScore(0.1, 0.01, (0.1,), (0.01,), 9, 9, False)
        >>> GenerationScores(one, one, one, None, None, None, 9).to_dict()
        {'w1_mass': 0.1, 'w1_particles': 0.1, 'w1_efp': 0.1}
        """
        return {name: value for name, (value, _) in self.results().items()}

    def results(self) -> dict[str, Any]:
        """Return (value, uncertainty) by the names of the published tables, for ``PublishedTable.join``."""
        scores = {n: getattr(self, n) for n in ("w1_mass", "w1_particles", "w1_efp", "fpd", "kpd")}
        values = {n: (score.value, score.uncertainty) for n, score in scores.items() if score is not None}
        if self.coverage is not None:
            values["coverage"] = (self.coverage.coverage, self.coverage.coverage_uncertainty)
            values["mmd"] = (self.coverage.mmd, self.coverage.mmd_uncertainty)
        return values


def generation_scores(
    reference: Jets, generated: Jets, *, config: ScoresConfig = ScoresConfig()
) -> GenerationScores:
    """Compare generated jets with true ones.

    The same call on two disjoint sets of true jets, of the same sizes, gives the floor that statistics set.

    Parameters
    ----------
    reference, generated : Jets
        Particles relative to the jet axis and jet pt, as in JetNet's files and from
        `omnilearn_lab.tasks.JetGeneration.sample`. The distributions are compared, not jet by jet.
    config : ScoresConfig, optional

    Returns
    -------
    GenerationScores

    Raises
    ------
    JetsError
        When one of the two has no jets.
    MissingDependencyError
        Without EnergyFlow.

    References
    ----------
    Kansal et al., arXiv:2106.11535, section 4; arXiv:2211.10295; OmniLearn, arXiv:2404.16091, Table V.

    Examples
    --------
    >>> from omnilearn_lab.jets import Jets
    >>> jet = {"pt": [500.0], "eta": [0.0], "phi": [0.0], "mass": [50.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [300.0, 200.0], "energy": [300.0, 204.0]}
    >>> jets = Jets.build(cloud, [0, 2], jet)
    >>> generation_scores(jets, jets).w1_mass.value
    0.0
    """
    for name, jets in (("reference", reference), ("generated", generated)):
        if len(jets) == 0:
            raise JetsError(f"there are no {name} jets to compare; check the selection")
    both = (reference, generated)
    polynomials = partial(energy_flow_polynomials, graphs="up_to_4")
    wide = _pair(polynomials, *both) if config.use_physics_distances else ()
    clouds = _pair(relative_cloud, *both)
    return GenerationScores(
        w1_mass(*_pair(relative_mass, *both), sampling=config.sampling),
        w1_particles(*clouds, sampling=config.sampling),
        w1_efp(*_pair(energy_flow_polynomials, *both), sampling=config.sampling),
        fpd(*wide, config=config.fpd) if wide else None,
        kpd(*wide, config=config.kpd) if wide else None,
        distances.coverage_mmd(*clouds, sampling=config.coverage) if config.coverage else None,
        len(generated),
    )


def scores_by_class(
    reference: Jets, generated: Jets, *, config: ScoresConfig = ScoresConfig()
) -> dict[str, GenerationScores]:
    """Return `generation_scores` of each class on its own, by class name.

    Raises
    ------
    JetsError
        When a class has no jets on one of the two sides.
    """
    names = reference.class_names or tuple(f"class {i}" for i in np.unique(reference.label))
    by_class = {}
    for number, name in enumerate(names):
        parts = [jets[jets.label == number] for jets in (reference, generated)]
        if not all(len(part) for part in parts):
            raise JetsError(f"class '{name}' has {len(parts[0])} true and {len(parts[1])} generated jets")
        by_class[name] = generation_scores(*parts, config=config)
    return by_class


def beside_published(
    table: PublishedTable, own: Mapping[str, Mapping[str, GenerationScores]]
) -> PublishedTable:
    """Put scores of each class under a published table of generated jets.

    Parameters
    ----------
    table : PublishedTable
        ``published_results("jetnet30")`` or ``"jetnet150"``, or some rows of it.
    own : mapping of name to scores by class
        As `scores_by_class` returns them; classes in the order of the table's subsets.

    Returns
    -------
    PublishedTable
    """
    for name, scores in own.items():
        for subset, values in zip(table.subsets, scores.values(), strict=True):
            table = table.join({name: values.results()}, subset=subset)
    return table


def relative_cloud(jets: Jets) -> np.ndarray:
    """Return deta, dphi and pt / jet pt of all particles, zero-padded, shape (N, P, 3): JetNet's layout."""
    cloud, _ = jets.to_padded(fields=("deta", "dphi", "pt"))
    cloud[..., 2] /= jets.jet["pt"][:, None]
    return cloud


def relative_mass(jets: Jets) -> np.ndarray:
    """Return the mass of the sum of massless particles, over the jet pt, shape (N,).

    Examples
    --------
    >>> from omnilearn_lab.jets import Jets
    >>> jet = {"pt": [2.0], "eta": [0.0], "phi": [0.0], "mass": [0.0]}
    >>> cloud = {"deta": [0.0, 0.0], "dphi": [0.0, np.pi / 2], "pt": [1.0, 1.0], "energy": [1.0, 1.0]}
    >>> relative_mass(Jets.build(cloud, [0, 2], jet)).round(3)
    array([0.707])
    """
    columns = [jets.particles[name].astype(np.float64) for name in ("deta", "dphi", "pt")]
    eta, phi, pt = columns
    momenta = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    energy, *momentum = np.add.reduceat(momenta, jets.offsets[:-1], axis=0).T
    square = energy**2 - sum(part**2 for part in momentum)
    return np.sqrt(np.maximum(square, 0)) / jets.jet["pt"]


def _pair(
    quantity: Callable[[Jets], np.ndarray], reference: Jets, generated: Jets
) -> tuple[np.ndarray, np.ndarray]:
    return quantity(reference), quantity(generated)


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
    data: GeneratorData, settings: GeneratorSettings, *, directory: StrPath | None = None, **options: Any
) -> Comparison[GeneratorResult]:
    """Train generators from scratch and from a checkpoint with every seed, sample them and measure.

    The first stage (jet kinematics) is trained once and shared: the comparison is about the particles.

    Parameters
    ----------
    data : GeneratorData
    settings : GeneratorSettings
    directory, options
        Of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of GeneratorResult
    """
    folder = None if directory is None else Path(directory) / "first-stage"
    base = JetGeneration(settings.generation, directory=folder)
    base.fit_kinematics(data.train, data.validation)
    train, seeds = partial(_train_and_measure, base, data, settings), settings.compare.seeds
    return compare(train, settings.arms(), seeds=seeds, directory=directory, **options)


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
            label(m): [v / below[m] for v in comparison.values(kind, f"{m}[{variant}]")] for m in below
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
