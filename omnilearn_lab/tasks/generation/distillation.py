"""Distil a generator: a student that needs a few evaluations of the network where its teacher needs many."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, Batch, SamplerConfig
from omnilearn_lab.models.diffusion.distillation import distillation_pair
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.generation.kinematics import labelled
from omnilearn_lab.tasks.generation.two_stage import JetGeneration
from omnilearn_lab.training import TrainConfig, Trainer, Whole


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
    generator: JetGeneration, jets: Jets, validation: Jets, *, config: DistillConfig | None = None
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
    config = config or DistillConfig()
    student = generator.with_config(replace(generator.config, sampler=config.sampler))
    teacher = copy.deepcopy(generator.particles).eval()
    scale = generator.config.standardization
    batches = (pet_batch(labelled(part), standardization=scale) for part in (jets, validation))
    trainer = Trainer(student.particles, Distillation(teacher, config), *batches, config.training)
    student.histories["particles"] = trainer.fit()
    student.particles.eval()
    return student
