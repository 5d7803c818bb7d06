"""Trainings on whole events that share one file: which network, which events in which role."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import PET, Batch, DijetClassifier, DijetConfig
from omnilearn_lab.settings import to_mapping
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.common.networks import ClassifierSettings, make_model
from omnilearn_lab.tasks.search.dijets import EventClassification, event_batch, event_rows
from omnilearn_lab.training import Batches, History, Run, TrainConfig, Trainer, default_device, select

__all__ = ["EventJob", "EventNetwork", "EventTraining", "train_event_network", "train_events"]


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
        2: a `omnilearn_lab.models.DijetClassifier` over the particles of both jets. 1: a PET.
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
    batches = Batches(train, job.training.batch_size, jets_per_event=n, seed=job.training.seed)
    settings = to_mapping(job.network) | {"training": to_mapping(job.training)}
    run = Run(job.run_directory, settings) if job.run_directory else None
    history = Trainer(model, EventClassification(n), batches, validation, job.training, run).fit()
    return EventTraining(predict(model, score)[:, 1], history)
