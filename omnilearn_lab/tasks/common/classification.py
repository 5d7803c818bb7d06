"""Jet classifiers: the packed jets, one training, and the scores of any network."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from omnilearn_lab.errors import ConfigError, DataFileError, is_file, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, atomic_path
from omnilearn_lab.metrics import ClassificationMetrics, classification_metrics, pair_score
from omnilearn_lab.models import Batch
from omnilearn_lab.settings import to_mapping
from omnilearn_lab.tasks.common.heads import Rows, fit_head
from omnilearn_lab.tasks.common.networks import ClassifierSettings, complete_batch, make_model, network_batch
from omnilearn_lab.training import Batches, Classification, History, Objective, Run, Trainer, default_device
from omnilearn_lab.training.heads import evaluating
from omnilearn_lab.training.trainer import OnRecord

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

        Classes are matched by name: labels count in the order of the training jets' classes.

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
        JetsError
            When a split has a class that the training jets do not have.
        """
        missing = {"train", "val", "test"} - set(jets)
        if missing:
            raise ConfigError(f"no jets for {sorted(missing)}; given: {sorted(jets)}")
        names = tuple(jets["train"].class_names)
        same = {name: part.with_classes(names) if part.class_names else part for name, part in jets.items()}
        batches = {name: network_batch(part, **options) for name, part in same.items()}
        splits = (batches.pop(split) for split in ("train", "val", "test"))
        return cls(*splits, class_names=names, others=batches)

    @property
    def n_classes(self) -> int:
        """Number of classes: of the names, or else of the training jets' labels; at least two."""
        return len(self.class_names) or max(2, int(self.train.label.max()) + 1)

    @property
    def tested(self) -> dict[str, Batch]:
        """What a trained network is measured on, by name."""
        return {"test": self.test, **self.others}

    @property
    def parts(self) -> dict[str, Batch]:
        """All batches by name."""
        return {"train": self.train, "validation": self.validation, **self.tested}

    def save(self, path: StrPath) -> Path:
        """Write everything to one safetensors file, in one atomic step."""
        parts = ((part, batch.tensors().items()) for part, batch in self.parts.items())
        tensors = {f"{part}/{name}": v.contiguous() for part, fields in parts for name, v in fields}
        with atomic_path(path) as new:
            save_file(tensors, new, metadata={"class_names": json.dumps(self.class_names)})
        return Path(path)

    @classmethod
    def load(cls, path: StrPath) -> ClassifierData:
        """Map such a file into memory: processes that do so share its pages.

        Raises
        ------
        DataFileError
            When the file is missing or damaged.
        """
        parts: dict[str, dict[str, torch.Tensor]] = {}
        with translated(DataFileError, f"'{path}' does not hold jets for a classifier", "make it again"):
            if not is_file(path):  # a pipe would be waited for
                raise FileNotFoundError("there is no such file")
            with safe_open(path, framework="pt") as file:
                names = tuple(json.loads(file.metadata()["class_names"]))
            for key, value in load_file(path).items():
                part, name = key.rsplit("/", 1)
                parts.setdefault(part, {})[name] = value
            batches = {part: Batch(**tensors) for part, tensors in parts.items()}
            splits = {part: batches.pop(part) for part in ("train", "validation", "test")}
            return cls(**splits, class_names=names, others=batches)


@dataclass(frozen=True, eq=False)
class ClassifierResult:
    """What a training gave.

    Parameters
    ----------
    probabilities : array, shape (N, C)
        Class probabilities of the test jets.
    metrics : ClassificationMetrics
        On the test jets.
    label : array, shape (N,)
        Of the test jets.
    weight : array, shape (N,), optional
        Of the test jets.
    best_val_loss
        Smallest loss of the validation jets.
    n_train
        Training jets used.
    seconds_training, seconds_evaluation
    others : mapping of str to ClassificationMetrics
        On the further jets of `ClassifierData`.
    history : History, optional
        Of the training of a network.
    """

    probabilities: np.ndarray
    metrics: ClassificationMetrics
    label: np.ndarray
    weight: np.ndarray | None
    best_val_loss: float
    n_train: int
    seconds_training: float = 0.0
    seconds_evaluation: float = 0.0
    others: Mapping[str, ClassificationMetrics] = field(default_factory=dict)
    history: History | None = None

    smaller_is_better = ("best_val_loss", "epochs")

    @property
    def n_test(self) -> int:
        """Test jets."""
        return len(self.label)

    def values(self) -> dict[str, float]:
        """Return the metrics of the test jets, the best validation loss, and a network's epochs."""
        epochs = {} if self.history is None else {"epochs": float(self.history.column("epoch")[-1])}
        return self.metrics.to_dict() | {"best_val_loss": self.best_val_loss} | epochs

    def errors(self) -> dict[str, float]:
        """Return the statistical errors of the metrics from the numbers of test jets."""
        return self.metrics.errors()

    @property
    def influences(self) -> Mapping[str, np.ndarray]:
        """What every test jet adds to the fluctuation of each metric."""
        return self.metrics.influences

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
    run_directory: StrPath | None = None,
    on_record: OnRecord | None = None,
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
    check_labels(data, settings.n_classes)
    model = (make_model(settings) if model is None else model).to(default_device())
    train = _first(data.train, settings.n_train)
    about = to_mapping(settings) | ({} if objective is None else {"objective": to_mapping(objective)})
    run = Run(run_directory, about) if run_directory else None
    parts = (complete_batch(part, model) for part in (train, data.validation))
    trainer = Trainer(model, objective or Classification(), *parts, settings.training, run)
    history = trainer.fit(on_record)
    precision = settings.training.precision
    return measure(
        data.tested,
        lambda name: predict(model, data.tested[name], precision=precision),
        data.class_names,
        settings.signal_efficiencies,
        best_val_loss=history.best()["loss"],
        n_train=len(train),
        seconds_training=trainer.state.seconds,
        history=history,
    )


def measure(
    tested: Mapping[str, Batch | Rows],
    scores: Callable[[str], np.ndarray],
    class_names: Sequence[str],
    signal_efficiencies: Sequence[float] = (0.5, 0.3),
    **about: Any,
) -> ClassifierResult:
    """Apply a trained classifier to the test jets and to all further ones.

    Parameters
    ----------
    tested : mapping of name to Batch or Rows
        Labels and weights; "test" is what the result is about.
    scores
        Gives the class probabilities of the jets of a name, shape (N, C).
    class_names
    signal_efficiencies
        Where background rejections are measured.
    **about
        Further fields of `ClassifierResult`.
    """
    start = time.perf_counter()
    probabilities = {name: scores(name) for name in tested}
    labels = {name: np.array(jets.label) for name, jets in tested.items()}  # copies: their file may go
    weights = {name: None if jets.weight is None else np.array(jets.weight) for name, jets in tested.items()}
    options = {"signal_efficiencies": signal_efficiencies, "class_names": class_names}
    metrics = {
        name: classification_metrics(probabilities[name], labels[name], weights=weights[name], **options)
        for name in tested
    }
    made = (probabilities["test"], metrics.pop("test"), labels["test"], weights["test"])
    seconds = time.perf_counter() - start
    return ClassifierResult(*made, others=metrics, seconds_evaluation=seconds, **about)


def train_trees(
    rows: Mapping[str, Rows],
    class_names: Sequence[str],
    n_classes: int,
    *,
    start: float,
    signal_efficiencies: Sequence[float] = (0.5, 0.3),
) -> ClassifierResult:
    """Fit boosted trees to the rows "train", tuned on "val", and measure them on all others.

    Parameters
    ----------
    rows : mapping of name to Rows
    class_names, n_classes
    start
        When the work on these rows began, by `time.perf_counter`: training counts from there.
    signal_efficiencies
        Where background rejections are measured.
    """
    trees = fit_head(rows["train"], rows["val"], kind="trees", n_classes=n_classes)
    return measure(
        {name: some for name, some in rows.items() if name not in ("train", "val")},
        lambda name: trees.predict(rows[name].values),
        class_names,
        signal_efficiencies,
        best_val_loss=trees.val_loss,
        n_train=len(rows["train"].label),
        seconds_training=time.perf_counter() - start,
    )


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
    device = next(model.parameters()).device
    together = getattr(getattr(model, "config", None), "n_jets", 1)  # the jets of an event
    batches = Batches(complete_batch(jets, model), _EVALUATION_BATCH // together * together).in_order()
    use_bf16 = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with evaluating(model), use_bf16:
        logits = torch.cat([model.classify(batch.to(device)).logits.double() for batch in batches])
    return logits.cpu().numpy()


def check_labels(data: ClassifierData, n_classes: int) -> None:
    """Refuse jets without labels, and labels beyond the classes."""
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
    return Batch(**{name: values[: ends[len(values)]] for name, values in jets.tensors().items()})
