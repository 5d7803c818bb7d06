"""Sizes and settings of the notebooks on pretraining, on OmniLearned, and on flavour tagging."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated

from pydantic import Field

from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common import ClassifierComparisonSettings, ClassifierSettings
from omnilearn_lab.tasks.flavour import FlavourSettings
from omnilearn_lab.tasks.pretraining import ClassStudySettings, PretrainConfig
from omnilearn_lab.tasks.tagging import AblationSettings
from omnilearn_lab.training import TrainConfig


@settings
class PretrainingProfile:
    """Sizes and settings of the pretraining notebook in one profile.

    Parameters
    ----------
    pretraining : PretrainConfig
        Of every pretraining; ``n_train`` is replaced by each of ``sizes``.
    sizes
        Pretraining jets.
    checkpoint
        The checkpoint to look at and to compare with.
    n_generated
        Jets to generate.
    n_steps
        Steps of the sampler.
    n_train, n_validation, n_test
        Jets of the downstream task.
    seeds
        One downstream training of each kind per seed.
    scratch, finetuned : TrainConfig
        Of the downstream trainings, at equal budgets.
    """

    pretraining: PretrainConfig = field(default_factory=PretrainConfig)
    sizes: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (1000, 10_000)
    checkpoint: str = "tiny"
    n_generated: int = 500
    n_steps: int = 16
    n_train: int = 1000
    n_validation: int = 500
    n_test: int = 2000
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=lambda: TrainConfig(body_lr_factor=0.1))

    def classifiers(self, pretrained: Mapping[str, str | os.PathLike[str]]) -> dict[str, ClassifierSettings]:
        """Return what to train downstream: from scratch, and from each pretrained network by name."""
        like = next(iter(pretrained.values()))
        scratch = ClassifierSettings(2, like=str(like), training=self.scratch)
        tuned = {
            name: ClassifierSettings(2, init=str(source), training=self.finetuned)
            for name, source in pretrained.items()
        }
        return {"scratch": scratch} | tuned


@settings
class OmniLearnedProfile:
    """Sizes and settings of the notebook on OmniLearned in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    max_particles
        The hardest particles kept in ablation and class study; None keeps all.
    n_train, n_validation, n_test
        JetClass jets of the ablation.
    n_data
        Data-like jets (Aspen), one more pretraining class.
    n_top, n_top_test
        Top-tagging jets of the class study: for training, and for validation and test each.
    n_top_table
        Training jets of the top-tagging table.
    table : ClassifierComparisonSettings
        Its trainings.
    sizes
        Named sizes whose cost is measured.
    ablation : AblationSettings
    classes : ClassStudySettings
    """

    source: str
    max_particles: int | None
    n_train: int
    n_validation: int
    n_test: int
    n_data: int
    n_top: int
    n_top_test: int
    n_top_table: int
    ablation: AblationSettings
    classes: ClassStudySettings
    table: ClassifierComparisonSettings
    sizes: tuple[str, ...] = ("tiny", "small")


@settings
class FlavourProfile:
    """Sizes and settings of the flavour-tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    seeds
    size
        Named size of PET v2; the baseline has the same name of its own sizes.
    baseline_size
    checkpoint
        Where fine-tuning starts: a shipped name or a file.
    scratch, finetuned : TrainConfig
        Of both networks trained from scratch, and of fine-tuning.
    """

    source: str
    n_train: int
    n_validation: int
    n_test: int
    seeds: tuple[int, ...]
    size: str = "tiny"
    baseline_size: str = "tiny"
    checkpoint: str = "v2_tiny"
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=TrainConfig)

    def taggers(self, *, has_checkpoint: bool) -> dict[str, FlavourSettings]:
        """Return the taggers to compare, by name."""
        ours = FlavourSettings("pet_v2", self.size, 1.0, "scratch", self.scratch)
        gn2 = FlavourSettings("track_transformer", self.baseline_size, 1.0, "scratch", self.scratch)
        tuned = replace(ours, init=self.checkpoint, training=self.finetuned)
        return {
            "PET v2": replace(ours, origins=0.0),
            "PET v2 + origins": ours,
            "GN2-like": replace(gn2, origins=0.0),
            "GN2-like + origins": gn2,
        } | ({"PET v2 fine-tuned + origins": tuned} if has_checkpoint else {})
