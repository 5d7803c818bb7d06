"""What to pretrain on: combinations of objectives at one budget, tried on few labels and on generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, run_jobs
from omnilearn_lab.models import PETv2, SamplerConfig, load_checkpoint
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, train_classifier
from omnilearn_lab.tasks.common.classifiers import LearningCurve
from omnilearn_lab.tasks.common.comparison import Comparison, compare
from omnilearn_lab.tasks.common.networks import ClassifierSettings, copy_fitting
from omnilearn_lab.tasks.generation import GeneratorData, generation_scores
from omnilearn_lab.tasks.generation.generator import assemble, generate_like_v2
from omnilearn_lab.tasks.generation.scores import GenerationScores, ScoresConfig
from omnilearn_lab.tasks.pretraining.pretraining import Objectives, PretrainConfig, pretrain
from omnilearn_lab.training import History, Run, TrainConfig, Trainer, default_device
from omnilearn_lab.training.losses import FlowGeneration

_SCRATCH = {"scratch": "", "tokens, scratch": "tokens"}  # and whose sizes an arm has


@settings
class ObjectiveStudySettings:
    """Pretrain with several objectives on the same jets, then fine-tune.

    Parameters
    ----------
    combinations : mapping of name to Objectives
    pretraining : PretrainConfig
        Of PET v2; its ``objectives`` and the seed of its training are replaced.
    tokens : PretrainConfig, optional
        Of a token network on the same jets, as one more arm of top tagging.
    seeds
        One pretraining and one fine-tuning of each kind per seed.
    sizes : mapping of int to float
        Labelled jets, and the epochs on each.
    training, generation : TrainConfig
        Of all classifiers, and of all generators, from scratch and fine-tuned alike: only the initial weights
        differ.
    sampler : SamplerConfig
        Of the generators.
    scores : ScoresConfig

    Raises
    ------
    ConfigError
        Without combinations, or with one that is named as another arm.
    """

    combinations: Annotated[dict[str, Objectives], Field(min_length=1)]
    pretraining: PretrainConfig
    sizes: Annotated[dict[int, float], Field(min_length=1)]
    training: TrainConfig
    generation: TrainConfig
    tokens: PretrainConfig | None = None
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3)
    sampler: SamplerConfig = SamplerConfig(8, "midpoint")
    scores: ScoresConfig = ScoresConfig()

    def __post_init__(self) -> None:
        taken = {"tokens", *_SCRATCH} & self.combinations.keys()
        if taken:
            raise ConfigError(
                f"combinations are named {sorted(taken)}, as other arms are; choose other names"
            )

    @property
    def pretrainings(self) -> dict[str, PretrainConfig]:
        """Everything that is pretrained, by name."""
        tokens = {} if self.tokens is None else {"tokens": self.tokens}
        asked = self.combinations.items()
        return {name: replace(self.pretraining, objectives=one) for name, one in asked} | tokens

    @property
    def arms(self) -> tuple[str, ...]:
        """Ways to start a classifier; the first is from scratch."""
        tokens = () if self.tokens is None else ("tokens, scratch", "tokens")
        return ("scratch", *self.combinations, *tokens)


Checkpoints = Mapping[tuple[str, int], str]
"""Path of each pretrained network, by name and seed."""


def pretrain_objectives(
    chosen: ObjectiveStudySettings, directory: StrPath, **options: Any
) -> dict[tuple[str, int], str]:
    """Pretrain every combination with every seed, on the same jets for as many updates.

    Parameters
    ----------
    chosen : ObjectiveStudySettings
    directory
        Each run in a folder of its own; what was interrupted goes on.
    **options
        ``workers`` and ``progress`` of `omnilearn_lab.machine.run_jobs`.
    """
    jobs = {
        (name, seed): (
            replace(config, training=replace(config.training, seed=seed)),
            Path(directory) / f"{name}-seed{seed}",
        )
        for seed in chosen.seeds
        for name, config in chosen.pretrainings.items()
    }
    return {key: str(path) for key, path in run_jobs(pretrain, jobs, title="pretrainings", **options).items()}


def tune_classifiers(
    data: ClassifierData, chosen: ObjectiveStudySettings, checkpoints: Checkpoints, **options: Any
) -> LearningCurve:
    """Fine-tune every pretrained network, and train from scratch, on each number of labelled jets.

    Parameters
    ----------
    data : ClassifierData
        Inputs of PET v2.
    chosen : ObjectiveStudySettings
    checkpoints
        Of `pretrain_objectives`.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.
    """
    arms = {f"{arm}-{n}": (arm, n) for n in chosen.sizes for arm in chosen.arms}
    train = partial(_tune_classifier, data, chosen, checkpoints)
    return LearningCurve.of(compare(train, arms, seeds=chosen.seeds, **options), chosen.arms, chosen.sizes)


def _tune_classifier(
    data: ClassifierData,
    chosen: ObjectiveStudySettings,
    checkpoints: Checkpoints,
    arm: tuple[str, int],
    seed: int,
    folder: Path | None,
) -> ClassifierResult:
    start, n_train = arm
    first = next(iter(chosen.combinations))
    source = checkpoints[_SCRATCH.get(start, start) or first, seed]
    training = replace(chosen.training, epochs=chosen.sizes[n_train], seed=seed)
    begin = {"like": source} if start in _SCRATCH else {"init": source}
    classifier = ClassifierSettings(data.n_classes, training=training, n_train=n_train, **begin)
    return train_classifier(data, classifier, run_directory=folder)


@dataclass(frozen=True, eq=False)
class FlowResult:
    """A generator of PET v2 and how far its jets are from true ones.

    Parameters
    ----------
    scores : GenerationScores
    history : History
    n_train, n_test
        Jets learned from, and compared.
    """

    scores: GenerationScores
    history: History
    n_train: int
    n_test: int

    smaller_is_better = ("w1_mass", "w1_particles", "w1_efp", "best_val_loss")

    def values(self) -> dict[str, float]:
        """Return the distances and the best validation loss."""
        return self.scores.to_dict() | {"best_val_loss": self.history.best()["loss"]}

    def errors(self) -> dict[str, float]:
        """Return the statistical errors of the distances."""
        return {name: error for name, (_, error) in self.scores.results().items()}


def tune_generators(
    data: GeneratorData, chosen: ObjectiveStudySettings, checkpoints: Checkpoints, **options: Any
) -> Comparison[FlowResult]:
    """Fine-tune every PET v2 as a generator, and train one from scratch; measure the jets that they make.

    A generator is told class and number of particles of the true jets, and all jets are the sums of their
    particles. `generation_floor` says what true jets reach.

    Parameters
    ----------
    data : GeneratorData
    chosen, checkpoints, **options
        As for `tune_classifiers`.
    """
    arms = {arm: arm for arm in ("scratch", *chosen.combinations)}
    train = partial(_tune_generator, data, chosen, checkpoints)
    return compare(train, arms, seeds=chosen.seeds, **options)


def generation_floor(data: GeneratorData, chosen: ObjectiveStudySettings) -> GenerationScores:
    """Return the distances of true jets from true jets, as `tune_generators` measures them."""
    return generation_scores(_summed(data.reference), _summed(data.floor), config=chosen.scores)


def _summed(jets: Jets) -> Jets:
    return assemble(pet_v2_batch(jets).features.double().numpy(), jets)


def _tune_generator(
    data: GeneratorData,
    chosen: ObjectiveStudySettings,
    checkpoints: Checkpoints,
    arm: str,
    seed: int,
    folder: Path | None,
) -> FlowResult:
    first = next(iter(chosen.combinations))
    trained = load_checkpoint(checkpoints[first if arm == "scratch" else arm, seed])
    changes = {"mode": "generator", "n_classes": len(data.train.class_names), "feature_drop": 0.0}
    torch.manual_seed(seed)
    model = PETv2(replace(trained.config, **changes, n_species=0, n_extra=0, n_codes=0))
    if arm != "scratch":
        copy_fitting(trained.state_dict(), model)
    training = replace(chosen.generation, seed=seed)
    batches = (pet_v2_batch(jets, use_pid=False) for jets in (data.train, data.validation))
    run = Run(folder, {"arm": arm, "training": to_mapping(training)}) if folder else None
    history = Trainer(model.to(default_device()), FlowGeneration(), *batches, training, run).fit()
    made = generate_like_v2(model, data.reference, config=replace(chosen.sampler, seed=seed))
    scores = generation_scores(_summed(data.reference), made, config=chosen.scores)
    return FlowResult(scores, history, len(data.train), len(made))
