"""Pretrain PET or PET v2: classify and generate jets of many classes at once, and keep it with its card."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omnilearn_lab.catalog import load
from omnilearn_lab.config import to_mapping
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, save_checkpoint
from omnilearn_lab.tasks.networks import network_batch
from omnilearn_lab.tasks.pretraining_card import held_out, tried_half
from omnilearn_lab.training import (
    FlowPretraining,
    JointPretraining,
    Objective,
    Run,
    TrainConfig,
    Trainer,
    default_device,
    describe_environment,
)

__all__ = ["PretrainConfig", "pretrain"]

log = logging.getLogger(__name__)

_TRAINING = {
    "pet": TrainConfig(
        epochs=2.5,
        batch_size=128,
        learning_rate=5e-4,
        warmup_epochs=0.1,
        ema_decay=0.999,
        precision="bf16",
        validations_per_epoch=5,
    ),
    "pet_v2": TrainConfig(
        epochs=2.0,
        batch_size=128,
        learning_rate=5e-4,
        betas=(0.95, 0.98),
        weight_decay=0.0,
        warmup_epochs=0.1,
        ema_decay=0.999,
        precision="bf16",
        validations_per_epoch=5,
    ),
}
_PAPERS = {"pet": "arXiv:2404.16091", "pet_v2": "arXiv:2510.24066"}
_V2_INPUTS = {"n_species": 9, "n_extra": 4, "feature_drop": 0.2}


@dataclass(frozen=True)
class PretrainConfig:
    """What to pretrain on, and how.

    Parameters
    ----------
    size
        Named size of the network.
    dataset, source
        An entry of the catalogue, and "auto", "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    seed
        Seed of the data; the training has its own.
    training : TrainConfig, optional
        Left out, settings that suit the network: Lion with the papers' moments, and a learning rate ten
        times OmniLearned's, for trainings of ten thousand updates rather than half a million.
    network : {"pet", "pet_v2"}
        PET v2 reads species and impact parameters and drops each for one jet in five (twice the published
        rate), as it has fewer jets to learn to do without.

    Raises
    ------
    ConfigError
        For an unknown network.

    Examples
    --------
    >>> PretrainConfig(network="pet_v2").training.betas
    (0.95, 0.98)
    """

    size: str = "tiny"
    dataset: str = "jetclass"
    source: str = "auto"
    n_train: int = 300_000
    n_validation: int = 5_000
    n_test: int = 20_000
    seed: int = 1
    training: TrainConfig | None = None
    network: str = "pet"

    def __post_init__(self) -> None:
        if self.network not in _TRAINING:
            raise ConfigError(f"cannot pretrain a '{self.network}'; {nearest(self.network, _TRAINING)}")
        if self.training is None:
            object.__setattr__(self, "training", _TRAINING[self.network])

    @property
    def file_name(self) -> str:
        """Name of the checkpoint in the run directory."""
        return f"{self.network}_{self.size}.safetensors"

    def model(self, n_classes: int) -> nn.Module:
        """Return a new network; its weights come from the seed of the training."""
        torch.manual_seed(self.training.seed)
        if self.network == "pet":
            return PET(PETConfig.named(self.size, n_classes=n_classes))
        return PETv2(PETv2Config.named(self.size, mode="pretrain", n_classes=n_classes, **_V2_INPUTS))

    def objective(self) -> Objective:
        """Return the joint loss of the network's paper."""
        return JointPretraining() if self.network == "pet" else FlowPretraining()

    def inputs(self, jets: Jets) -> Batch:
        """Return jets as the network reads them."""
        return network_batch(jets, inputs=self.network, use_extra=self.network == "pet_v2")


def pretrain(
    config: PretrainConfig,
    directory: str | os.PathLike[str],
    *,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Pretrain with the joint loss of the paper, and write the averaged weights as a checkpoint with card.

    Parameters
    ----------
    config : PretrainConfig
    directory
        Run directory; a pretraining that was stopped goes on from it.
    on_record
        Called with every new record of the history.

    Returns
    -------
    Path
        ``<network>_<size>.safetensors`` in ``directory``, with its card ``.json`` beside it.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section III; OmniLearned, arXiv:2510.24066.
    """
    directory = Path(directory)
    train, validation, test = (_load(config, split) for split in ("train", "val", "test"))
    model = config.model(len(train.class_names)).to(default_device())
    run = Run(directory, to_mapping(config))
    batches = (config.inputs(train), config.inputs(validation))
    trainer = Trainer(model, config.objective(), *batches, config.training, run)
    start = time.perf_counter()
    trainer.fit(on_record)
    log.info("pretraining took %.0f s in this process", time.perf_counter() - start)
    card = _card(config, train, trainer) | _measured(model, test, config.network)
    is_lossless = card["half_precision"]["is_lossless"]
    path = directory / config.file_name
    return save_checkpoint(model, path, card=json.loads(json.dumps(card)), half=is_lossless)


def _load(config: PretrainConfig, split: str) -> Jets:
    n_jets = {"train": config.n_train, "val": config.n_validation, "test": config.n_test}[split]
    return load(config.dataset, split, source=config.source, max_jets=n_jets, seed=config.seed)


def _measured(model: nn.Module, test: Jets, network: str) -> dict[str, Any]:
    """Held-out classification: all inputs seen, momenta only, and with rounded weights."""
    seen = held_out(model, test, inputs=network)
    return {
        "held_out": seen,
        "held_out_hidden": held_out(model, test, inputs=network, hidden=True),
        "half_precision": tried_half(model, test, seen, inputs=network),
    }


def _card(config: PretrainConfig, train: Jets, trainer: Trainer) -> dict[str, Any]:
    return {
        "task": "joint pretraining: classification, generation, classification of noised jets",
        "paper": _PAPERS[config.network],
        "made_with": f"omnilearn-lab pretrain --network {config.network} --size {config.size}",
        "date": date.today().isoformat(),
        "settings": to_mapping(config),
        "data": {
            "provenance": dict(train.provenance),
            "class_names": list(train.class_names),
            "n_train": len(train),
            "jets_seen": trainer.state.step * trainer.batches.batch_size,
        },
        "seconds": round(trainer.state.seconds, 1),
        "environment": describe_environment(),
        "history": [r for r in trainer.history.records if r["kind"] == "validation"],
    }
