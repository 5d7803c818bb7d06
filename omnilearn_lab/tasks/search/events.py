"""Events of several jets: network inputs that keep an event together, and trainings that share a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from scipy.special import ndtr, ndtri
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.features import STANDARDIZATIONS, jet_features
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import PET, Batch, DijetClassifier, DijetConfig
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks import common
from omnilearn_lab.training import Batches, History, Run, TrainConfig, Trainer, default_device, select

_EDGE = 1e-6  # keeps phi = +-pi at a finite quantile
_FOUR = STANDARDIZATIONS["lhco"]
_MIN_MULTIPLICITY = 2
_JETS_AT_ONCE = 5000


def check_events(jets: Jets, jets_per_event: int, name: str) -> int:
    """Return the number of events of a sample, after checking that the jets of each stand together.

    Raises
    ------
    JetsError
        When the rows do not form events.

    Examples
    --------
    >>> jet = {"pt": [9.0] * 2, "eta": [0.0] * 2, "phi": [0.0] * 2, "mass": [1.0] * 2, "event": [4, 5]}
    >>> cloud = {"deta": [0.0] * 2, "dphi": [0.0] * 2, "pt": [9.0] * 2, "energy": [9.0] * 2}
    >>> check_events(Jets.build(cloud, [0, 1, 2], jet), 2, "data")
    Traceback (most recent call last):
    omnilearn_lab.errors.JetsError: rows 0 to 1 of data belong to different events ...
    """
    if len(jets) % jets_per_event:
        raise JetsError(f"{name} has {len(jets)} jets, which do not form events of {jets_per_event}")
    if jets_per_event > 1 and "event" in jets.jet:
        event = jets.jet["event"].reshape(-1, jets_per_event)
        broken = np.flatnonzero((event != event[:, :1]).any(axis=1))
        if len(broken):
            first = int(broken[0]) * jets_per_event
            raise JetsError(
                f"rows {first} to {first + jets_per_event - 1} of {name} belong to different events "
                f"(column 'event'); {jets_per_event} rows in a row must form one: select whole events"
            )
    return len(jets) // jets_per_event


def event_column(jets: Jets, name: str, jets_per_event: int = 2) -> np.ndarray:
    """Return one number per event, that of its first jet, float64.

    Raises
    ------
    JetsError
        When there is no such column.
    """
    if name not in jets.jet:
        raise JetsError(f"these jets have no column '{name}'; found {sorted(jets.jet)}")
    return jets.jet[name][::jets_per_event].astype(np.float64)


def select_events(jets: Jets, chosen: np.ndarray, jets_per_event: int = 2) -> Jets:
    """Return the jets of some events, given by a mask or by numbers."""
    rows = np.arange(len(jets)).reshape(-1, jets_per_event)
    return jets[rows[chosen].ravel()]


def without_labels(jets: Jets) -> Jets:
    """Return the same jets without labels, class names and weights, which data do not have."""
    columns = {name: values for name, values in jets.jet.items() if name not in ("label", "weight")}
    return replace(jets, jet=columns, class_names=())


def dijet_features(jets: Jets) -> np.ndarray:
    r"""Return standardised pt, eta, phi, mass and multiplicity of each jet, float32, shape (N, 5).

    The azimuth enters as the normal quantile of :math:`(1 + \phi/\pi)/2`; means and widths are those
    of the LHC Olympics events.

    References
    ----------
    OmniLearn, arXiv:2404.16091; loader of the published program.
    """
    pt, eta, mass, multiplicity = _FOUR.jets(jet_features(jets)).T
    turn = np.clip((1 + jets.jet["phi"].astype(np.float64) / np.pi) / 2, _EDGE, 1 - _EDGE)
    return np.stack([pt, eta, ndtri(turn), mass, multiplicity], axis=1).astype(np.float32)


def kinematics_from_features(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi, mass [GeV] and multiplicity: the inverse of `dijet_features`.

    Masses and transverse momenta are kept positive, multiplicities rounded and at least 2.

    Examples
    --------
    >>> found = kinematics_from_features(np.zeros((1, 5)))
    >>> round(float(found["pt"][0])), int(found["multiplicity"][0])
    (1287, 57)
    """
    values = np.asarray(features, dtype=np.float64)
    pt, eta, mass, multiplicity = (
        values[:, column] * _FOUR.jet_std[i] + _FOUR.jet_mean[i] for i, column in enumerate((0, 1, 3, 4))
    )
    return {
        "pt": np.maximum(pt, 1.0),
        "eta": eta,
        "phi": np.pi * (2 * ndtr(values[:, 2]) - 1),
        "mass": np.maximum(mass, 0.1),
        "multiplicity": np.maximum(np.rint(multiplicity), _MIN_MULTIPLICITY),
    }


def event_batch(jets: Jets, *, jets_per_event: int = 2, use_pid: bool = False) -> Batch:
    """Return jets as network inputs without labels and weights.

    Particles are standardised as in pretraining. Events of several jets get the five jet quantities of
    `dijet_features`, single jets the four that PET reads.
    """
    batch = replace(common.network_batch(jets, use_pid=use_pid), label=None, weight=None)
    if jets_per_event == 1:
        return batch
    return batch.replace(jet=torch.from_numpy(dijet_features(jets)))


def event_rows(events: np.ndarray, jets_per_event: int) -> np.ndarray:
    """Return the rows of the jets of some events."""
    return (np.asarray(events)[:, None] * jets_per_event + np.arange(jets_per_event)).ravel()


@dataclass(frozen=True)
class EventClassification:
    """Binary cross-entropy of whole events: label and weight are those of an event's first jet.

    Parameters
    ----------
    jets_per_event
    """

    jets_per_event: int = 2

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model.classify(batch).logits[:, 0]
        label, weight = (values[:: self.jets_per_event] for values in (batch.label, batch.weight))
        entropy = functional.binary_cross_entropy_with_logits(logits, label.float(), reduction="none")
        correct = ((logits.detach() > 0) == (label > 0)).float()
        share = weight / weight.sum()
        loss = (share * entropy).sum()
        return {"loss": loss, "classification": loss, "accuracy": (share * correct).sum()}


@settings
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
    jets_per_event: Annotated[int, Field(ge=1)] = 2
    n_jet_layers: Annotated[int, Field(ge=1)] = 2
    use_pid: bool = False

    def build(self, seed: int) -> nn.Module:
        """Return the network: new weights from the seed, pretrained ones where there are any."""
        training = TrainConfig(seed=seed)
        pet = common.make_model(common.ClassifierSettings(1, self.init, self.size, training, like=self.like))
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


def embed_events(
    jets: Jets,
    checkpoint: str = "tiny",
    *,
    jets_per_event: int = 2,
    use_pid: bool = False,
    workers: int | None = None,
) -> np.ndarray:
    """Return what a pretrained network makes of events: the embeddings of their jets, by falling jet mass.

    Parameters
    ----------
    jets : Jets
    checkpoint
        Name or path of a PET.
    jets_per_event
    use_pid
        Show the network the particle species.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    float32 array, shape (events, jets_per_event * d)
    """
    check_events(jets, jets_per_event, "the sample")
    rows = common.embed(jets, checkpoint, use_pid=use_pid, workers=workers)
    return _of_events(rows, jets, jets_per_event)


def event_observables(jets: Jets, *, jets_per_event: int = 2, workers: int | None = None) -> np.ndarray:
    """Return what is known of events without any network: pt and six observables of their jets, as there.

    Parameters
    ----------
    jets : Jets
    jets_per_event
    workers
        Processes; all usable cores by default.

    Returns
    -------
    float64 array, shape (events, jets_per_event * 7)
        Undefined values, such as ln rho of an ungroomed jet, are NaN or infinite, which trees take.
    """
    check_events(jets, jets_per_event, "the sample")
    slices = {i: (jets[i : i + _JETS_AT_ONCE],) for i in range(0, len(jets), _JETS_AT_ONCE)}
    tables = run_jobs(_observables, slices, workers=workers, progress=False).values()
    return _of_events(np.concatenate(list(tables)), jets, jets_per_event)


def _observables(jets: Jets) -> np.ndarray:
    columns = observables(jets, SIX, jet_radius=1.0).values()  # trees do not care for the unit of distances
    return np.stack([jets.jet["pt"], *columns], axis=1)


def _of_events(rows: np.ndarray, jets: Jets, jets_per_event: int) -> np.ndarray:
    """Rows of jets, shape (N, d), side by side for each event, by falling jet mass."""
    rows = rows.reshape(len(jets) // jets_per_event, jets_per_event, -1)
    order = np.argsort(-jets.jet["mass"].reshape(-1, jets_per_event), axis=1, kind="stable")
    return np.take_along_axis(rows, order[:, :, None], axis=1).reshape(len(rows), -1)


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
    run_directory: Path | None = None


class EventTraining(NamedTuple):
    """Scores of the events a job asked for, and the history of its training."""

    scores: np.ndarray
    history: History


@contextmanager
def shared_events(jets: Jets, network: EventNetwork) -> Iterator[Path]:
    """Write events as network inputs to a file that lives as long as the block; processes map it into memory.

    Parameters
    ----------
    jets : Jets
        All events; jobs number them.
    network : EventNetwork
        One of those that will read them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.safetensors"
        save_file({name: v.contiguous() for name, v in network.batch(jets).tensors().items()}, path)
        yield path


def train_event_network(path: Path, job: EventJob) -> EventTraining:
    """Do one job on the events of a file that `shared_events` wrote."""
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
    return EventTraining(common.predict(model, score)[:, 1], history)


def train_event_head(rows: np.ndarray, job: EventJob, kind: common.HeadKind) -> EventTraining:
    """Do one job with a head on the embeddings of events, shape (N, d).

    Chosen with caution, and fitted to the validation events, too: of a rare signal every event counts.
    """
    rows = rows.astype(np.float64)
    train, validation = (
        common.Rows(rows[part], job.is_data[part].astype(np.int64), job.weight[part])
        for part in (job.train, job.validation)
    )
    head = common.fit_head(train, validation, kind=kind, seed=job.training.seed, cautious=True)
    return EventTraining(head.predict(rows[job.score])[:, 1], History())
