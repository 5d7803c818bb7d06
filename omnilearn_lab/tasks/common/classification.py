"""Jet classifiers: the packed jets, one training, the same over seeds, and the scores of any network."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import atomic_path
from omnilearn_lab.metrics import ClassificationMetrics, classification_metrics, pair_score
from omnilearn_lab.models import Batch
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.common.networks import ClassifierSettings, complete_batch, make_model, network_batch
from omnilearn_lab.training import Batches, Classification, History, Objective, Run, Trainer, default_device

_EVALUATION_BATCH = 256  # larger ones are not faster and need more memory


@dataclass(frozen=True)
class ClassifierData:
    """Packed jets for training, early stopping and the final measurement.

    Parameters
    ----------
    train, validation, test : Batch
        Disjoint; all with labels. Weights of jets count in losses and metrics.
    class_names
        Names of the classes, for the metrics of more than two classes.
    others : mapping of str to Batch
        Further jets to measure the trained network on, by name: another generator, another detector.
    """

    train: Batch
    validation: Batch
    test: Batch
    class_names: tuple[str, ...] = ()
    others: Mapping[str, Batch] = field(default_factory=dict)

    @classmethod
    def from_jets(cls, jets: Mapping[str, Jets], **options: Any) -> ClassifierData:
        """Turn the splits "train", "val" and "test" into network inputs; what else there is into ``others``.

        Parameters
        ----------
        jets : mapping of split to Jets
        **options
            For `omnilearn_lab.tasks.common.network_batch`: ``inputs``, ``use_pid``, ``use_extra``,
            ``standardization``.

        Raises
        ------
        ConfigError
            When a split is missing.
        """
        missing = {"train", "val", "test"} - set(jets)
        if missing:
            raise ConfigError(f"no jets for {sorted(missing)}; given: {sorted(jets)}")
        batches = {name: network_batch(part, **options) for name, part in jets.items()}
        splits = (batches.pop(split) for split in ("train", "val", "test"))
        return cls(*splits, class_names=tuple(jets["test"].class_names), others=batches)

    @property
    def n_classes(self) -> int:
        """Number of classes: of the names, or else of the training jets' labels; at least two."""
        return len(self.class_names) or max(2, int(self.train.label.max()) + 1)

    @property
    def parts(self) -> dict[str, Batch]:
        """All batches by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test, **self.others}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one safetensors file, in one atomic step."""
        tensors = {
            f"{part}/{name}": value.contiguous()
            for part, batch in self.parts.items()
            for name, value in vars(batch).items()
            if isinstance(value, torch.Tensor)
        }
        with atomic_path(path) as new:
            save_file(tensors, new, metadata={"class_names": json.dumps(self.class_names)})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassifierData:
        """Map such a file into memory: processes that do so share its pages.

        Raises
        ------
        DataFileError
            When the file is missing or damaged.
        """
        parts: dict[str, dict[str, torch.Tensor]] = {}
        try:
            with safe_open(path, framework="pt") as file:
                names = tuple(json.loads(file.metadata()["class_names"]))
            for key, value in load_file(path).items():
                part, name = key.rsplit("/", 1)
                parts.setdefault(part, {})[name] = value
            batches = {part: Batch(**tensors) for part, tensors in parts.items()}
            splits = {part: batches.pop(part) for part in ("train", "validation", "test")}
            return cls(**splits, class_names=names, others=batches)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataFileError(
                f"'{path}' does not hold jets for a classifier ({error}): make it again"
            ) from error


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
    label : array, shape (N,)
        Of the test jets.
    weight : array, shape (N,), optional
        Of the test jets.
    seconds_training, seconds_evaluation
    n_train
        Training jets used.
    others : mapping of str to ClassificationMetrics
        On the further jets of `ClassifierData`.
    """

    history: History
    probabilities: np.ndarray
    metrics: ClassificationMetrics
    label: np.ndarray
    weight: np.ndarray | None
    seconds_training: float
    seconds_evaluation: float
    n_train: int
    others: Mapping[str, ClassificationMetrics] = field(default_factory=dict)

    smaller_is_better = ("best_val_loss", "epochs")

    @property
    def n_test(self) -> int:
        """Test jets."""
        return len(self.label)

    def values(self) -> dict[str, float]:
        """Return the metrics of the test jets, the best validation loss, and the epochs trained."""
        epochs = float(self.history.column("epoch")[-1])
        return self.metrics.to_dict() | {"best_val_loss": self.history.best()["loss"], "epochs": epochs}

    def errors(self) -> dict[str, float]:
        """Return the statistical errors of the metrics from the numbers of test jets."""
        return self.metrics.errors()

    def limits(self) -> tuple[str, ...]:
        """Return the names of the rejections that are only lower limits."""
        return self.metrics.limits()

    def scores(self, *, signal: int = 1, background: int = 0) -> tuple[np.ndarray, ...]:
        """Return (score, is signal) of the test jets of two classes, and their weights if they have any.

        The score is p_signal / (p_signal + p_background), the plain probability for two classes.
        """
        used = (self.label == signal) | (self.label == background)
        weight = () if self.weight is None else (self.weight[used],)
        score = pair_score(self.probabilities, signal, background)[used]
        return (score, (self.label[used] == signal).astype(np.int64), *weight)


def train_classifier(
    data: ClassifierData,
    settings: ClassifierSettings,
    *,
    model: nn.Module | None = None,
    objective: Objective | None = None,
    run_directory: str | os.PathLike[str] | None = None,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> ClassifierResult:
    """Train a classifier and measure it on the test jets.

    Parameters
    ----------
    data : ClassifierData
    settings : ClassifierSettings
    model : torch.nn.Module, optional
        The network to train; by default what ``settings`` say.
    objective
        The loss; by default the cross-entropy of the classes.
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
    model = (make_model(settings) if model is None else model).to(default_device())
    train = _first(data.train, settings.n_train)
    about = to_mapping(settings) | ({} if objective is None else {"objective": to_mapping(objective)})
    run = Run(run_directory, about) if run_directory else None
    parts = (complete_batch(part, model) for part in (train, data.validation))
    trainer = Trainer(model, objective or Classification(), *parts, settings.training, run)
    history = trainer.fit(on_record)
    start = time.perf_counter()
    precision = settings.training.precision
    probabilities = predict(model, data.test, precision=precision)
    metrics = _measure(probabilities, data.test, data, settings)
    others = {
        name: _measure(predict(model, jets, precision=precision), jets, data, settings)
        for name, jets in data.others.items()
    }
    seconds = time.perf_counter() - start
    label, weight = data.test.label, data.test.weight
    return ClassifierResult(
        history,
        probabilities,
        metrics,
        label.numpy().copy(),  # the file of the jets may go
        None if weight is None else weight.numpy().copy(),
        trainer.state.seconds,
        seconds,
        len(train),
        others,
    )


@settings
class ClassifierComparisonSettings(ComparisonSettings):
    """Scratch against fine-tuned classifiers: what `ComparisonSettings` holds, jets and what to measure.

    Parameters
    ----------
    n_train
        Use only the first jets of the training set; None uses all.
    signal_efficiencies
        Where background rejections are measured.
    """

    n_train: Annotated[int, Field(gt=0)] | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)

    def classifiers(self, n_classes: int = 2) -> dict[str, ClassifierSettings]:
        """Return the settings of each kind of training."""
        measured = {"n_train": self.n_train, "signal_efficiencies": self.signal_efficiencies}
        return {kind: ClassifierSettings.of(arm, n_classes, **measured) for kind, arm in self.arms().items()}


def compare_classifiers(
    data: ClassifierData, settings: ClassifierComparisonSettings, **options: Any
) -> Comparison[ClassifierResult]:
    """Train from scratch and from a checkpoint, with every seed, and measure all on the same test jets.

    The network trained from scratch has the sizes of the checkpoint's.

    Parameters
    ----------
    data : ClassifierData
        Made for the checkpoint's kind of network: ``ClassifierData.from_jets(jets, inputs=...)``.
    settings : ClassifierComparisonSettings
    **options
        ``workers``, ``directory``, ``progress`` of `train_classifiers`.

    Returns
    -------
    Comparison of ClassifierResult
    """
    return train_classifiers(data, settings.classifiers(data.n_classes), seeds=settings.seeds, **options)


def train_classifiers(
    data: ClassifierData | Mapping[str, ClassifierData],
    arms: Mapping[str, ClassifierSettings],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    **options: Any,
) -> Comparison[ClassifierResult]:
    """Train several classifiers with every seed and measure all of them on the same test jets.

    On a CPU, trainings run side by side in processes with one thread each, which share the jets as one
    mapped file.

    Parameters
    ----------
    data : ClassifierData, or mapping of "pet" and "pet_v2" to ClassifierData
        The mapping serves networks that read different inputs; see `ClassifierSettings.inputs`.
    arms : mapping of name to ClassifierSettings
        The seed of their ``training`` is replaced by each of ``seeds``.
    seeds
        A seed fixes initial weights and the order of jets.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ClassifierResult

    Raises
    ------
    ConfigError
        For no or repeated seeds, or when a network's kind of inputs is missing.
    """
    sets = {"": data} if isinstance(data, ClassifierData) else dict(data)
    for chosen in arms.values():
        if "" not in sets and chosen.inputs not in sets:
            raise ConfigError(
                f"this network reads '{chosen.inputs}' inputs; data was given for {sorted(sets)}"
            )
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: part.save(Path(folder) / f"{kind}.jets") for kind, part in sets.items()}
        return compare(partial(_train_from_files, paths), arms, seeds=seeds, **options)


def _train_from_files(
    paths: Mapping[str, Path], settings: ClassifierSettings, seed: int, run_directory: Path | None
) -> ClassifierResult:
    data = ClassifierData.load(paths[""] if "" in paths else paths[settings.inputs])
    return train_classifier(data, settings.with_seed(seed), run_directory=run_directory)


def predict(model: nn.Module, jets: Batch, *, precision: str = "fp32") -> np.ndarray:
    """Return class probabilities, float64, shape (N, C); a single output gives two columns.

    Parameters
    ----------
    model
    jets : Batch
    precision : {"fp32", "bf16"}
        As in `omnilearn_lab.training.TrainConfig`.
    """
    logits = network_outputs(model, jets, precision=precision)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return torch.from_numpy(logits).softmax(dim=1).numpy()


@torch.no_grad()
def network_outputs(model: nn.Module, jets: Batch, *, precision: str = "fp32") -> np.ndarray:
    """Return what the classifier head gives, logits or regressed numbers, float64, shape (N, C)."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    together = getattr(getattr(model, "config", None), "n_jets", 1)  # the jets of an event
    batches = Batches(complete_batch(jets, model), _EVALUATION_BATCH // together * together).in_order()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = torch.cat([model.classify(batch.to(device)).logits.double() for batch in batches])
    model.train(was_training)
    return logits.cpu().numpy()


def _measure(
    probabilities: np.ndarray, jets: Batch, data: ClassifierData, settings: ClassifierSettings
) -> ClassificationMetrics:
    return classification_metrics(
        probabilities,
        jets.label.numpy(),
        weights=None if jets.weight is None else jets.weight.numpy(),
        signal_efficiencies=settings.signal_efficiencies,
        class_names=data.class_names,
    )


def _check_labels(data: ClassifierData, n_classes: int) -> None:
    for name, part in data.parts.items():
        if part.label is None:
            raise ConfigError(f"the {name} jets have no labels; a classifier cannot be trained on them")
        top = int(part.label.max())
        if top >= max(n_classes, 2):
            raise ConfigError(f"the {name} jets have label {top}; n_classes is {n_classes}")


def _first(jets: Batch, n_jets: int | None) -> Batch:
    """The first jets of a batch, as views."""
    if n_jets is None:
        return jets
    if n_jets > len(jets):
        raise ConfigError(f"n_train is {n_jets} and there are {len(jets)} training jets; load more")
    ends = {len(jets.features): int(jets.offsets[n_jets]), len(jets): n_jets, len(jets) + 1: n_jets + 1}
    return Batch(**{k: v[: ends[len(v)]] for k, v in vars(jets).items() if isinstance(v, torch.Tensor)})
