"""Several classifiers on the same jets over seeds and sizes: scratch, fine-tuned, a head on a frozen body."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import nn

from omnilearn_lab.catalog import open_store
from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.machine import make_folder, run_jobs
from omnilearn_lab.metrics import Gain
from omnilearn_lab.models import Batch
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common import classification, networks
from omnilearn_lab.tasks.common.comparison import KINDS, Arm, Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.common.heads import HeadKind, Rows, fit_head
from omnilearn_lab.training import TrainConfig, default_device, embed_jets

_CACHE = "embeddings"  # in the data folder


@settings
class FrozenSettings:
    """A small head on the embedding that a pretrained network makes of jets.

    Parameters
    ----------
    n_classes
    checkpoint
        Name or path of the pretrained network, which stays as it is.
    head : {"logistic", "mlp", "trees"}
    n_train
        Use only the first jets of the training set; None uses all.
    signal_efficiencies
        Where background rejections are measured.
    """

    n_classes: Annotated[int, Field(gt=0)]
    checkpoint: str = "tiny"
    head: HeadKind = "logistic"
    n_train: Annotated[int, Field(gt=0)] | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)

    @property
    def inputs(self) -> str:
        """The kind of batch the network reads: "pet" or "pet_v2"."""
        return networks.inputs_of(self.checkpoint)

    def model(self) -> nn.Module:
        """Return the pretrained network, with the classes of its pretraining."""
        return networks.load_classifier(self.checkpoint).to(default_device())


@settings
class ClassifierComparisonSettings(ComparisonSettings):
    """Classifiers from scratch, fine-tuned, and on a frozen body, on the same jets.

    Parameters
    ----------
    n_train
        Use only the first jets of the training set; None uses all.
    signal_efficiencies
        Where background rejections are measured.
    head : {"logistic", "mlp", "trees"}, optional
        What learns from the frozen body's embedding, as a third arm; None leaves that arm out.
    converged : TrainConfig, optional
        A longer training from scratch, as a fourth arm: what is left of a gain once scratch has converged?
    """

    n_train: Annotated[int, Field(gt=0)] | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)
    head: HeadKind | None = "logistic"
    converged: TrainConfig | None = None

    def arms(self) -> dict[str, Arm]:
        """Return every way to train a network, by kind."""
        arms = super().arms()
        return arms | (
            {"converged": replace(arms["scratch"], training=self.converged)} if self.converged else {}
        )

    def classifiers(self, n_classes: int = 2) -> dict[str, networks.ClassifierSettings | FrozenSettings]:
        """Return the settings of each kind of training: "scratch", "finetuned", "converged" and "frozen"."""
        measured = {"n_train": self.n_train, "signal_efficiencies": self.signal_efficiencies}
        arms = {
            kind: networks.ClassifierSettings.of(arm, n_classes, **measured)
            for kind, arm in self.arms().items()
        }
        if self.head is None:
            return arms
        return arms | {"frozen": FrozenSettings(n_classes, self.checkpoint, self.head, **measured)}


def compare_classifiers(
    data: classification.ClassifierData, settings: ClassifierComparisonSettings, **options: Any
) -> Comparison[classification.ClassifierResult]:
    """Train from scratch, from a checkpoint, and on its frozen body; measure all on the same test jets.

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
    data: classification.ClassifierData | Mapping[str, classification.ClassifierData],
    arms: Mapping[str, networks.ClassifierSettings | FrozenSettings],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    **options: Any,
) -> Comparison[classification.ClassifierResult]:
    """Train several classifiers with every seed and measure all of them on the same test jets.

    On a CPU, trainings run side by side in processes with one thread each, which share the jets as one
    mapped file.

    Parameters
    ----------
    data : ClassifierData, or mapping of "pet" and "pet_v2" to ClassifierData
        The mapping serves networks that read different inputs; see `ClassifierSettings.inputs`.
    arms : mapping of name to ClassifierSettings or FrozenSettings
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
    sets = {"": data} if isinstance(data, classification.ClassifierData) else dict(data)
    for chosen in arms.values():
        if "" not in sets and chosen.inputs not in sets:
            raise ConfigError(
                f"this network reads '{chosen.inputs}' inputs; data was given for {sorted(sets)}"
            )
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: part.save(Path(folder) / f"{kind}.jets") for kind, part in sets.items()}
        _embed_all(sets, paths, arms, options.get("workers"))
        return compare(partial(_train_from_files, paths), arms, seeds=seeds, **options)


def train_frozen(
    data: classification.ClassifierData, settings: FrozenSettings, *, seed: int = 1
) -> classification.ClassifierResult:
    """Train a small head on the embedding that a checkpoint makes of the jets; the network stays as it is.

    Embeddings are kept in the data folder, by the weights of the network and the jets.

    Parameters
    ----------
    data : ClassifierData
        Made for the checkpoint's kind of network.
    settings : FrozenSettings
    seed
        Of the head's initial weights, where it has any: a logistic regression and boosted trees do not
        depend on it.
    """
    model = settings.model()
    classification.check_labels(data, settings.n_classes)
    start = time.perf_counter()
    train, validation = (_rows(model, jets) for jets in (data.train, data.validation))
    train = train.first(settings.n_train)
    head = fit_head(train, validation, kind=settings.head, n_classes=settings.n_classes, seed=seed)
    return classification.measure(
        data.tested,
        lambda name: head.predict(_embedding(model, data.tested[name])),
        data.class_names,
        settings.signal_efficiencies,
        best_val_loss=head.val_loss,
        n_train=len(train.label),
        seconds_training=time.perf_counter() - start,
    )


def _embed_all(
    sets: Mapping[str, classification.ClassifierData],
    paths: Mapping[str, Path],
    arms: Mapping[str, networks.ClassifierSettings | FrozenSettings],
    workers: int | None,
) -> None:
    """Fill the cache of embeddings, all parts side by side, before heads are trained on them."""
    jobs = {}
    for chosen in arms.values():
        if isinstance(chosen, FrozenSettings):
            kind = "" if "" in sets else chosen.inputs
            jobs |= {(chosen.checkpoint, part): (paths[kind], part, chosen) for part in sets[kind].parts}
    if jobs:
        run_jobs(_embed_part, jobs, workers=workers, progress=False)


def _embed_part(path: Path, part: str, settings: FrozenSettings) -> None:
    _embedding(settings.model(), classification.ClassifierData.load(path).parts[part])


def _embedding(model: nn.Module, jets: Batch) -> np.ndarray:
    cache = make_folder(open_store().target(_CACHE))
    return embed_jets(model, networks.complete_batch(jets, model), cache=cache)


def _rows(model: nn.Module, jets: Batch) -> Rows:
    weight = None if jets.weight is None else jets.weight.numpy()
    return Rows(_embedding(model, jets), jets.label.numpy(), weight)


def _train_from_files(
    paths: Mapping[str, Path],
    settings: networks.ClassifierSettings | FrozenSettings,
    seed: int,
    run_directory: Path | None,
) -> classification.ClassifierResult:
    data = classification.ClassifierData.load(paths[""] if "" in paths else paths[settings.inputs])
    if isinstance(settings, FrozenSettings):
        return train_frozen(data, settings, seed=seed)
    return classification.train_classifier(data, settings.with_seed(seed), run_directory=run_directory)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Scratch against fine-tuned at several sizes of the training set.

    Parameters
    ----------
    comparisons : tuple of Comparison
        In order of their number of training jets, all with the same arms, seeds and test jets.

    Raises
    ------
    ConfigError
        For no comparisons, or different arms or seeds.
    """

    comparisons: tuple[Comparison[classification.ClassifierResult], ...]

    def __post_init__(self) -> None:
        if len({(tuple(each.results), each.seeds) for each in self.comparisons}) != 1:
            raise ConfigError("a learning curve needs comparisons, all with the same arms and seeds")

    @classmethod
    def of(cls, trained: Comparison[Any], arms: Iterable[str], sizes: Iterable[int]) -> LearningCurve:
        """Return what was trained together, every arm with every size as an arm of the name "arm-size"."""
        arms = tuple(arms)
        return cls(tuple(trained.select({arm: f"{arm}-{n}" for arm in arms}) for n in sorted(sizes)))

    @property
    def sizes(self) -> np.ndarray:
        """Training jets, shape (K,)."""
        return np.array([comparison.n_train for comparison in self.comparisons])

    def values(self, arm: str, metric: str) -> np.ndarray:
        """Return a metric of an arm, shape (seeds, K)."""
        return np.array([comparison.values(arm, metric) for comparison in self.comparisons]).T

    def curves(self, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what `omnilearn_lab.plotting.scaling_curve` draws."""
        return {label(arm): (self.sizes, self.values(arm, metric)) for arm in self.comparisons[0].results}

    def gains(self, metric: str) -> dict[int, Gain]:
        """Return the paired gain at each size."""
        return {comparison.n_train: comparison.gain(metric) for comparison in self.comparisons}

    def joined(self, comparison: Comparison[classification.ClassifierResult]) -> LearningCurve:
        """Return the curve with one more point, measured already, of the arms that the curve has."""
        point = comparison.select({arm: arm for arm in self.comparisons[0].results})
        return LearningCurve(tuple(sorted((*self.comparisons, point), key=lambda each: each.n_train)))


def train_learning_curve(
    data: classification.ClassifierData,
    settings: ClassifierComparisonSettings,
    sizes: Mapping[int, float] | Sequence[int],
    **options: Any,
) -> LearningCurve:
    """Train from scratch and from a checkpoint on the first jets of the training set, at several sizes.

    Parameters
    ----------
    data : ClassifierData
    settings : ClassifierComparisonSettings
    sizes : sequence of int, or mapping of int to float
        Training jets; with a mapping, the epochs at each size. Small sets need more epochs for as many
        updates; scratch and fine-tuned always get the same.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ConfigError
        For no sizes, or more jets than there are.
    """
    if not isinstance(sizes, Mapping):
        sizes = dict.fromkeys(sizes, settings.scratch.epochs)
    arms = {
        (kind, n): replace(chosen, n_train=n)
        for n, epochs in sorted(sizes.items())
        for kind, chosen in _with_epochs(settings, epochs).classifiers(data.n_classes).items()
    }
    named = {f"{kind}-{n}": chosen for (kind, n), chosen in arms.items()}
    trained = train_classifiers(data, named, seeds=settings.seeds, **options)
    return LearningCurve.of(trained, dict.fromkeys(kind for kind, _ in arms), sizes)


def _with_epochs(settings: ClassifierComparisonSettings, epochs: float) -> ClassifierComparisonSettings:
    """The same with other epochs, about as many validations in all, and no longer training from scratch."""
    per_epoch = settings.scratch.validations_per_epoch * settings.scratch.epochs / epochs
    changes = {"epochs": epochs, "validations_per_epoch": max(1, round(per_epoch))}
    kinds = {kind: replace(getattr(settings, kind), **changes) for kind in KINDS}
    return replace(settings, converged=None, **kinds)
