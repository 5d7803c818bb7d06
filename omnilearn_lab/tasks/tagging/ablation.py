"""What each ingredient of PET v2 brings: the complete network against the same with one ingredient less.

Every training here is small: the answers are those of the sizes used, with their spread over seeds.
"""

from __future__ import annotations

import time
from dataclasses import field, replace
from typing import Any

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.metrics import classification_metrics
from omnilearn_lab.models import PET, PETConfig, PETv2, PETv2Config
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, predict
from omnilearn_lab.tasks.common.networks import complete_batch
from omnilearn_lab.training import Classification, TrainConfig, Trainer, default_device

__all__ = [
    "AblationSettings",
    "ablate",
    "take_body",
    "train_network",
]

Weights = dict[str, Tensor]


@settings
class AblationSettings:
    """A complete PET v2 and the same with one ingredient less.

    Parameters
    ----------
    size
        Named size of all networks.
    base
        Fields of `PETv2Config` changed for all of them.
    variants
        Name of each network, and what it changes; the complete one changes nothing.
    pet
        Fields of `PETConfig` changed for the PET of the first paper.
    seeds
    training : TrainConfig
        The same for all.

    Raises
    ------
    ConfigError
        When no network is complete.
    """

    size: str
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: tuple[int, ...]
    pet: dict[str, Any] = field(default_factory=dict)
    training: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if {} not in self.variants.values():
            raise ConfigError("one variant must change nothing: it is what the others are compared with")

    @property
    def complete(self) -> str:
        """Name of the network with all ingredients."""
        return next(name for name, changes in self.variants.items() if not changes)

    def configs(self, n_classes: int) -> dict[str, PETv2Config]:
        """Return the configuration of each variant."""
        return {
            name: PETv2Config.named(self.size, **{**self.base, **changes, "n_classes": n_classes})
            for name, changes in self.variants.items()
        }

    def pet_config(self, n_classes: int) -> PETConfig:
        """Return the configuration of the PET of the first paper."""
        return PETConfig.named(self.size, **{**self.pet, "n_classes": n_classes})


def train_network(
    data: ClassifierData, config: PETConfig | PETv2Config, training: TrainConfig, body: Weights | None = None
) -> ClassifierResult:
    """Train a classifier of a given configuration and measure it on the test jets.

    Parameters
    ----------
    data : ClassifierData
        With the inputs of the network.
    config
        Of a PET or a PET v2.
    training
        Its seed also fixes the initial weights.
    body
        Weights of a pretrained body to start from.
    """
    torch.manual_seed(training.seed)
    model: nn.Module = PETv2(config) if isinstance(config, PETv2Config) else PET(config)
    if body is not None:
        take_body(model, body)
    train, validation = (complete_batch(part, model) for part in (data.train, data.validation))
    trainer = Trainer(model.to(default_device()), Classification(), train, validation, training)
    history = trainer.fit()
    start = time.perf_counter()
    probabilities = predict(model, data.test)
    metrics = classification_metrics(probabilities, data.test.label.numpy(), class_names=data.class_names)
    seconds = time.perf_counter() - start
    return ClassifierResult(history, probabilities, metrics, trainer.state.seconds, seconds, len(train))


def take_body(model: nn.Module, body: Weights) -> list[str]:
    """Copy pretrained weights into the body where name and shape agree; return what starts anew.

    Raises
    ------
    ConfigError
        When nothing agrees.
    """
    own = model.body.state_dict()
    fitting = {name: value for name, value in body.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise ConfigError("no tensor of the pretrained body fits this network; use the same sizes for both")
    model.body.load_state_dict({**own, **fitting})
    return [name for name in own if name not in fitting]


def ablate(
    data: ClassifierData,
    settings: AblationSettings,
    *,
    pet_data: ClassifierData | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, tuple[ClassifierResult, ...]]:
    """Train every variant with every seed on the same jets.

    Parameters
    ----------
    data : ClassifierData
        With the inputs of a PET v2, species and further numbers included.
    settings : AblationSettings
    pet_data
        The same jets with PET's inputs; adds "PET" to the networks.
    workers, progress
        As for `omnilearn_lab.machine.pool.run_jobs`.

    Returns
    -------
    dict of name to ClassifierResult per seed
    """
    n_classes = len(data.class_names)
    jobs = {name: (data, config) for name, config in settings.configs(n_classes).items()}
    if pet_data is not None:
        jobs["PET"] = (pet_data, settings.pet_config(n_classes))
    trainings = {
        (name, seed): (*job, replace(settings.training, seed=seed))
        for seed in settings.seeds
        for name, job in jobs.items()
    }
    found = run_jobs(train_network, trainings, workers=workers, progress=progress)
    return {name: tuple(found[name, seed] for seed in settings.seeds) for name in jobs}
