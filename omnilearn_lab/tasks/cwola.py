"""Classification without labels: a network that tells data from background finds what only the data hold."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from omnilearn_lab.config import from_mapping, to_mapping
from omnilearn_lab.errors import ConfigError, DataFileError, JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.models import PET, Batch, DijetClassifier, DijetConfig
from omnilearn_lab.tasks.classification import predict
from omnilearn_lab.tasks.dijets import (
    EventBatches,
    EventClassification,
    check_events,
    event_batch,
    event_rows,
    without_labels,
)
from omnilearn_lab.tasks.networks import ClassifierSettings, make_model
from omnilearn_lab.tasks.parallel import run_jobs
from omnilearn_lab.tasks.ratios import check_weights
from omnilearn_lab.training import History, Run, TrainConfig, Trainer, default_device
from omnilearn_lab.training.batches import select

__all__ = [
    "EventJob",
    "EventNetwork",
    "EventTraining",
    "WeakSupervisionConfig",
    "WeakSupervisionResult",
    "train_event_network",
    "train_events",
    "weak_supervision",
]

_MIN_EVENTS_PER_FOLD = 10
_TRAINING = TrainConfig(epochs=3, batch_size=50, learning_rate=1e-3, body_lr_factor=0.1)


@dataclass(frozen=True)
class EventNetwork:
    """Which network reads an event.

    Parameters
    ----------
    init
        "scratch", or the name or path of a checkpoint whose body (and classifier, where it fits) to
        start from.
    size
        Named size of a network trained from scratch.
    like
        From scratch: take the sizes of this checkpoint instead of ``size``.
    jets_per_event
        2: a :class:`omnilearn_lab.models.DijetClassifier` over the particles of both jets. 1: a PET.
    n_jet_layers
        Transformer blocks over the jets of an event; 6 in the publication.
    use_pid
        Show the network the particle species; the LHC Olympics events have none.

    Examples
    --------
    >>> type(EventNetwork().build(1)).__name__, type(EventNetwork(jets_per_event=1).build(1)).__name__
    ('DijetClassifier', 'PET')
    """

    init: str = "scratch"
    size: str = "tiny"
    like: str = ""
    jets_per_event: int = 2
    n_jet_layers: int = 2
    use_pid: bool = False

    def __post_init__(self) -> None:
        if self.jets_per_event < 1:
            raise ConfigError(f"jets_per_event is {self.jets_per_event}: an event has at least one jet")

    def build(self, seed: int) -> nn.Module:
        """Return the network: new weights from the seed, pretrained ones where there are any."""
        training = TrainConfig(seed=seed)
        pet = make_model(ClassifierSettings(1, self.init, self.size, training, like=self.like))
        if not isinstance(pet, PET):
            raise ConfigError(f"'{self.init}' holds a {type(pet).__name__}; weak supervision needs a PET")
        if self.jets_per_event == 1:
            return pet
        config = replace(pet.config, n_jet_features=5)
        torch.manual_seed(seed)
        model = DijetClassifier(DijetConfig(config, self.jets_per_event, self.n_jet_layers))
        if self.init != "scratch":
            model.take(pet)
        return model

    def batch(self, jets: Jets) -> Batch:
        """Return jets as inputs of this network."""
        return event_batch(jets, jets_per_event=self.jets_per_event, use_pid=self.use_pid)


@dataclass(frozen=True)
class WeakSupervisionConfig:
    """How to look for what data have and background has not.

    Parameters
    ----------
    network : EventNetwork
    n_folds
        Every event is scored by a network that was trained on the other folds.
    validation_fraction
        Share of the training folds on which the best epoch is chosen.
    training : TrainConfig
        ``batch_size`` counts events; ``seed`` also fixes folds and initial weights.

    Raises
    ------
    ConfigError
        For fewer than two folds, or a share outside (0, 1).
    """

    network: EventNetwork = EventNetwork()
    n_folds: int = 2
    validation_fraction: float = 0.2
    training: TrainConfig = _TRAINING

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise ConfigError(f"n_folds is {self.n_folds}; with fewer than 2 events score themselves")
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(f"validation_fraction is {self.validation_fraction}; it must lie in (0, 1)")


@dataclass(frozen=True, eq=False)
class WeakSupervisionResult:
    """Scores of events by networks that did not see them.

    Parameters
    ----------
    config : WeakSupervisionConfig
    data_scores, background_scores : array, shape (n_data,), (n_background,)
        Out-of-fold probability of being data; background stands for the reference sample.
    data_folds, background_folds : int array
        The fold of each event.
    test_scores : array, shape (n_folds, n_test)
        Further events, by each of the networks.
    background_weights : array, shape (n_background,)
        Scaled to the number of data events.
    histories : tuple of History
        One per fold; empty after :meth:`load`.
    """

    config: WeakSupervisionConfig
    data_scores: np.ndarray
    background_scores: np.ndarray
    data_folds: np.ndarray
    background_folds: np.ndarray
    test_scores: np.ndarray
    background_weights: np.ndarray
    histories: tuple[History, ...] = ()

    @property
    def auc(self) -> float:
        """Area under the ROC curve of data against background, out of fold; 0.5 when nothing differs."""
        scores = np.concatenate([self.data_scores, self.background_scores])
        is_data = np.arange(len(scores)) < len(self.data_scores)
        weights = np.concatenate([np.ones(len(self.data_scores)), self.background_weights])
        return roc(scores, is_data, weights=weights).auc

    def thresholds(self, background_efficiency: float) -> np.ndarray:
        """Return, per fold, the score that a share of the background exceeds, shape (n_folds,).

        Raises
        ------
        MetricError
            When a fold has no background event above the threshold.
        """
        if not 0 < background_efficiency <= 1:
            raise MetricError(f"background_efficiency is {background_efficiency}; it must lie in (0, 1]")
        found = []
        for fold in range(self.config.n_folds):
            mine = self.background_folds == fold
            scores, weights = self.background_scores[mine], self.background_weights[mine]
            if background_efficiency * len(scores) < 1:
                raise MetricError(
                    f"fold {fold} has {len(scores)} background events: none is left at efficiency "
                    f"{background_efficiency:g}; raise the efficiency or add background"
                )
            order = np.argsort(-scores)
            passed = np.cumsum(weights[order]) / weights.sum()
            found.append(scores[order][np.searchsorted(passed, background_efficiency * (1 - 1e-12))])
        return np.array(found)

    def select(self, background_efficiency: float) -> tuple[np.ndarray, np.ndarray]:
        """Return which data and which test events pass at a background efficiency, two bool arrays.

        Each data event is judged by the network of its fold; test events take turns, so that both
        samples are judged alike.
        """
        cut = self.thresholds(background_efficiency)
        turn = np.arange(self.test_scores.shape[1]) % self.config.n_folds
        test = self.test_scores[turn, np.arange(len(turn))]
        return self.data_scores >= cut[self.data_folds], test >= cut[turn]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write scores, folds and settings to one ``.npz`` file, in one step."""
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        path, settings = Path(path), json.dumps(to_mapping(self.config))
        partial = path.with_suffix(".part.npz")
        np.savez_compressed(partial, config=np.array(settings), **arrays)
        return partial.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeakSupervisionResult:
        """Read what :meth:`save` wrote.

        Raises
        ------
        DataFileError
            When the file is missing or another kind of file.
        """
        try:
            with np.load(path) as file:
                values: dict[str, Any] = dict(file)
            config = from_mapping(WeakSupervisionConfig, json.loads(str(values.pop("config"))))
            return cls(config=config, **values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFileError(f"'{path}' does not hold scores of weak_supervision ({error})") from error


class EventJob(NamedTuple):
    """One training: event numbers in the shared file, their roles, and the settings.

    Attributes
    ----------
    train, validation, score : int array
        Event numbers.
    is_data : bool array, shape (M,)
    weight : array, shape (M,)
        Of all M events of the file.
    network, training
    run_directory
    """

    train: np.ndarray
    validation: np.ndarray
    score: np.ndarray
    is_data: np.ndarray
    weight: np.ndarray
    network: EventNetwork
    training: TrainConfig
    run_directory: str | None = None


class EventTraining(NamedTuple):
    """Scores of the events a job asked for, and the history of its training."""

    scores: np.ndarray
    history: History


def weak_supervision(
    data: Jets,
    background: Jets,
    config: WeakSupervisionConfig | None = None,
    *,
    test: Jets | None = None,
    directory: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> WeakSupervisionResult:
    r"""Train a network to tell data from background, without knowing which data events are signal.

    With signal fraction f the optimal score is a rising function of :math:`p_S/p_B`, whatever f > 0
    is; without a signal, data and background are alike and no network can tell them apart. The background
    must describe the data's background: the idealised study takes further events of the same kind, the
    realistic one generates them from the sidebands (:class:`omnilearn_lab.tasks.SidebandGenerator`).

    Parameters
    ----------
    data, background : Jets
        Events of the signal region; the jets of an event are rows one after the other. A column
        ``weight`` of the background is used, scaled so that both samples weigh the same.
    config : WeakSupervisionConfig
    test : Jets, optional
        Further events to score, such as sidebands or labelled events; they must be in neither sample.
    directory
        Keep each fold's run there, and go on from what is there.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    WeakSupervisionResult

    Raises
    ------
    JetsError
        For too few events, rows that do not form events, or weights that are negative or sum to zero.

    References
    ----------
    Metodiev, Nachman, Thaler, arXiv:1708.02949 (classification without labels); Collins, Howe, Nachman,
    arXiv:1805.02664 (cross-validation over folds); OmniLearn, arXiv:2404.16091, section VIII.
    """
    config = config or WeakSupervisionConfig()
    samples = {"data": data, "background": background} | ({} if test is None else {"test": test})
    numbers = _numbers(samples, config)
    n_data, n_background = len(numbers["data"]), len(numbers["background"])
    given = background.jet["weight"][:: config.network.jets_per_event] if "weight" in background.jet else None
    weight = check_weights("background", given, n_background)
    weight = weight * (n_data / weight.sum())
    rng = np.random.default_rng(config.training.seed)
    folds = [rng.permutation(n) % config.n_folds for n in (n_data, n_background)]
    fold = np.concatenate([*folds, np.full(len(numbers.get("test", ())), -1)])
    all_weights = np.concatenate([np.ones(n_data), weight, np.ones((fold < 0).sum())])
    jobs = {k: _fold_job(k, fold, n_data, all_weights, config, directory) for k in range(config.n_folds)}
    done = train_events(Jets.concatenate(map(without_labels, samples.values())), jobs, workers=workers)
    scores = np.zeros(len(fold))
    for k, found in done.items():
        scores[jobs[k].score[fold[jobs[k].score] == k]] = found.scores[fold[jobs[k].score] == k]
    return WeakSupervisionResult(
        config,
        data_scores=scores[:n_data],
        background_scores=scores[n_data : n_data + n_background],
        data_folds=folds[0],
        background_folds=folds[1],
        test_scores=np.stack([done[k].scores[fold[jobs[k].score] < 0] for k in done]),
        background_weights=weight,
        histories=tuple(found.history for found in done.values()),
    )


def _numbers(samples: Mapping[str, Jets], config: WeakSupervisionConfig) -> dict[str, np.ndarray]:
    """Event numbers of the samples, one sample after the other."""
    counts = {n: check_events(jets, config.network.jets_per_event, n) for n, jets in samples.items()}
    needed = _MIN_EVENTS_PER_FOLD * config.n_folds
    for name in ("data", "background"):
        if counts[name] < needed:
            raise JetsError(
                f"{name} has {counts[name]} events; at least {needed} are needed for {config.n_folds} folds: "
                "widen the signal region, or load more events"
            )
    ends = np.cumsum(list(counts.values()))
    return {n: np.arange(end - counts[n], end) for (n, end) in zip(counts, ends, strict=True)}


def _fold_job(
    k: int,
    fold: np.ndarray,
    n_data: int,
    weight: np.ndarray,
    config: WeakSupervisionConfig,
    directory: str | os.PathLike[str] | None,
) -> EventJob:
    seed = 1000 * config.training.seed + k
    others = np.random.default_rng(seed).permutation(np.flatnonzero((fold >= 0) & (fold != k)))
    n_validation = max(1, round(config.validation_fraction * len(others)))
    return EventJob(
        train=others[n_validation:],
        validation=others[:n_validation],
        score=np.flatnonzero((fold == k) | (fold < 0)),
        is_data=np.arange(len(fold)) < n_data,
        weight=weight,
        network=config.network,
        training=replace(config.training, seed=seed),
        run_directory=None if directory is None else str(Path(directory) / f"fold{k}"),
    )


def train_events(jets: Jets, jobs: Mapping[Any, EventJob], *, workers: int | None = None) -> dict[Any, Any]:
    """Run trainings that share events, side by side; the processes map one file.

    Parameters
    ----------
    jets : Jets
        All events; the jobs number them.
    jobs : mapping of name to EventJob
    workers

    Returns
    -------
    dict of name to EventTraining
    """
    batch = next(iter(jobs.values())).network.batch(jets)
    tensors = {name: value.contiguous() for name, value in vars(batch).items() if torch.is_tensor(value)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "events.safetensors")
        save_file(tensors, path)
        return run_jobs(train_event_network, {key: (path, job) for key, job in jobs.items()}, workers=workers)


def train_event_network(path: str, job: EventJob) -> EventTraining:
    """Do one job on the events of a file; runs in a process of its own."""
    n = job.network.jets_per_event
    label = torch.from_numpy(job.is_data.astype(np.int64)).repeat_interleave(n)
    weight = torch.from_numpy(job.weight.astype(np.float32)).repeat_interleave(n)
    batch = Batch(**load_file(path), label=label, weight=weight)
    train, validation, score = (
        select(batch, torch.from_numpy(event_rows(events, n)))
        for events in (job.train, job.validation, job.score)
    )
    model = job.network.build(job.training.seed).to(default_device())
    batches = EventBatches(train, job.training.batch_size, jets_per_event=n, seed=job.training.seed)
    settings = to_mapping(job.network) | {"training": to_mapping(job.training), "n_train": len(train)}
    run = Run(job.run_directory, settings) if job.run_directory else None
    history = Trainer(model, EventClassification(n), batches, validation, job.training, run).fit()
    return EventTraining(predict(model, score)[:, 1], history)
