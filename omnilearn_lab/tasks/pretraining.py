"""Pretrain a PET: classify and generate jets of many classes at once, and keep it with its card."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from omnilearn_lab.catalog import load
from omnilearn_lab.config import to_mapping
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import classification_metrics
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.classification import predict
from omnilearn_lab.training import (
    JointPretraining,
    Run,
    TrainConfig,
    Trainer,
    default_device,
    describe_environment,
)

__all__ = ["PretrainConfig", "pretrain"]

log = logging.getLogger(__name__)


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
    training : TrainConfig
    """

    size: str = "tiny"
    dataset: str = "jetclass"
    source: str = "auto"
    n_train: int = 300_000
    n_validation: int = 5_000
    n_test: int = 20_000
    seed: int = 1
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            epochs=2.5,
            batch_size=128,
            learning_rate=5e-4,
            warmup_epochs=0.1,
            ema_decay=0.999,
            precision="bf16",
            validations_per_epoch=5,
        )
    )


def pretrain(
    config: PretrainConfig,
    directory: str | os.PathLike[str],
    *,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Pretrain with OmniLearn's joint loss, and write the averaged weights as a checkpoint with its card.

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
        ``pet_<size>.safetensors`` in ``directory``, with its card ``.json`` beside it.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section III.
    """
    directory = Path(directory)
    train, validation, test = (_load(config, split) for split in ("train", "val", "test"))
    torch.manual_seed(config.training.seed)
    model = PET(PETConfig.named(config.size, n_classes=len(train.class_names))).to(default_device())
    run = Run(directory, to_mapping(config))
    batches = (pet_batch(train), pet_batch(validation))
    trainer = Trainer(model, JointPretraining(), *batches, config.training, run)
    start = time.perf_counter()
    history = trainer.fit(on_record)
    log.info("pretraining took %.0f s in this process", time.perf_counter() - start)
    card = _card(config, train, trainer) | {"held_out": _held_out(model, test)}
    card["history"] = [r for r in history.records if r["kind"] == "validation"]
    path = directory / f"pet_{config.size}.safetensors"
    save_checkpoint(model, path, card=json.loads(json.dumps(card)))
    return path


def _load(config: PretrainConfig, split: str) -> Jets:
    n_jets = {"train": config.n_train, "val": config.n_validation, "test": config.n_test}[split]
    return load(config.dataset, split, source=config.source, max_jets=n_jets, seed=config.seed)


def _held_out(model: PET, test: Jets) -> dict[str, Any]:
    """Classification of jets never seen, without noise."""
    metrics = classification_metrics(
        predict(model, pet_batch(test)), test.label, class_names=test.class_names
    )
    return {
        "n_jets": metrics.n_jets,
        "accuracy": metrics.accuracy,
        "auc_one_vs_one": metrics.auc,
        "auc_by_class": dict(metrics.auc_by_class),
    }


def _card(config: PretrainConfig, train: Jets, trainer: Trainer) -> dict[str, Any]:
    return {
        "task": "joint pretraining: classification, generation, classification of noised jets",
        "paper": "arXiv:2404.16091",
        "made_with": f"omnilearn-lab pretrain --size {config.size}",
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
    }
