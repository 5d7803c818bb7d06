"""Train one jet classifier, from scratch or from a pretrained checkpoint, and apply it to held-out jets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from omnilearn_lab.config import to_mapping
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import ClassificationMetrics, classification_metrics
from omnilearn_lab.models import PET, Batch, PETConfig, load_checkpoint, load_published, read_card
from omnilearn_lab.training import Batches, Classification, History, Run, TrainConfig, Trainer, default_device

__all__ = [
    "ClassifierData",
    "ClassifierResult",
    "ClassifierSettings",
    "describe_checkpoint",
    "make_model",
    "predict",
    "train_classifier",
]

_EVALUATION_BATCH = 1024


@dataclass(frozen=True)
class ClassifierData:
    """Packed jets for training, early stopping and the final measurement.

    Parameters
    ----------
    train, validation, test : Batch
        Disjoint; all with labels.
    """

    train: Batch
    validation: Batch
    test: Batch


@dataclass(frozen=True)
class ClassifierSettings:
    """Which network to train and how.

    Parameters
    ----------
    n_classes
    init
        "scratch", or the name or path of a checkpoint whose body to start from.
    size
        Named size of a network trained from scratch.
    training : TrainConfig
        Its ``seed`` also fixes the initial weights.
    """

    n_classes: int
    init: str = "scratch"
    size: str = "tiny"
    training: TrainConfig = TrainConfig()


@dataclass(frozen=True, eq=False)
class ClassifierResult:
    """What a training gave.

    Parameters
    ----------
    history : History
    probabilities : array, shape (N, C)
        Class probabilities of the test jets.
    metrics : ClassificationMetrics
        On the test jets.
    seconds_training, seconds_evaluation
    """

    history: History
    probabilities: np.ndarray
    metrics: ClassificationMetrics
    seconds_training: float
    seconds_evaluation: float


def make_model(settings: ClassifierSettings) -> PET:
    """Return the network to train: new weights from the seed, or a checkpoint's with new heads.

    Published weights (``.h5``, ``.pt``) are read as well as ours.
    """
    torch.manual_seed(settings.training.seed)
    if settings.init == "scratch":
        return PET(PETConfig.named(settings.size, n_classes=settings.n_classes))
    read = load_published if _is_published(settings.init) else load_checkpoint
    return read(settings.init, n_classes=settings.n_classes)


def describe_checkpoint(source: str) -> str:
    """Return one sentence on what a checkpoint was pretrained on; published weights carry no card.

    Examples
    --------
    >>> describe_checkpoint("OmniLearn.weights.h5")
    'published weights OmniLearn.weights.h5: see the paper for how they were trained'
    """
    if _is_published(source):
        return f"published weights {source}: see the paper for how they were trained"
    card = read_card(source)
    data, held_out = card["data"], card["held_out"]
    return (
        f"{data['n_train']:,} {data['provenance']['source']} jets of {len(data['class_names'])} classes, "
        f"{data['jets_seen']:,} seen; held-out accuracy {held_out['accuracy']:.3f}, "
        f"AUC (one vs one) {held_out['auc_one_vs_one']:.3f}"
    )


def _is_published(source: str) -> bool:
    return source.endswith((".h5", ".pt"))


def train_classifier(
    data: ClassifierData,
    settings: ClassifierSettings,
    *,
    run_directory: str | None = None,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> ClassifierResult:
    """Train a classifier and measure it on the test jets.

    Parameters
    ----------
    data : ClassifierData
    settings : ClassifierSettings
    run_directory
        Keep metrics and checkpoints there, and go on from them when they exist.
    on_record
        Called with every new record of the history.

    Returns
    -------
    ClassifierResult

    Raises
    ------
    ConfigError
        When labels do not fit the number of classes.
    """
    _check_labels(data, settings.n_classes)
    model = make_model(settings).to(default_device())
    run = Run(run_directory, to_mapping(settings)) if run_directory else None
    trainer = Trainer(model, Classification(), data.train, data.validation, settings.training, run)
    history = trainer.fit(on_record)
    start = time.perf_counter()
    probabilities = predict(model, data.test)
    metrics = classification_metrics(probabilities, data.test.label.numpy(), weights=_weights(data.test))
    seconds = time.perf_counter() - start
    return ClassifierResult(history, probabilities, metrics, trainer.state.seconds, seconds)


@torch.no_grad()
def predict(model: nn.Module, jets: Batch) -> np.ndarray:
    """Return class probabilities, float64, shape (N, C); a single output gives two columns."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    parts = [
        model.classify(b.to(device)).logits.double() for b in Batches(jets, _EVALUATION_BATCH).in_order()
    ]
    model.train(was_training)
    logits = torch.cat(parts)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.softmax(dim=1).cpu().numpy()


def _check_labels(data: ClassifierData, n_classes: int) -> None:
    for name, part in vars(data).items():
        if part.label is None:
            raise ConfigError(f"the {name} jets have no labels; a classifier cannot be trained on them")
        top = int(part.label.max())
        if top >= max(n_classes, 2):
            raise ConfigError(f"the {name} jets have label {top}; n_classes is {n_classes}")


def _weights(jets: Batch) -> np.ndarray | None:
    return None if jets.weight is None else jets.weight.numpy()
