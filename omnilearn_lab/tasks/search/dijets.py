"""Events of several jets as network inputs: jet quantities, batches that keep an event together, the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import JetsError
from omnilearn_lab.features import STANDARDIZATIONS, jet_features
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch
from omnilearn_lab.tasks.common.networks import network_batch

__all__ = [
    "EventClassification",
    "check_events",
    "dijet_features",
    "event_batch",
    "event_column",
    "event_rows",
    "kinematics_from_features",
    "select_events",
    "without_labels",
]

_EDGE = 1e-6  # keeps phi = +-pi at a finite quantile
_FOUR = STANDARDIZATIONS["lhco"]
_MIN_MULTIPLICITY = 2


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
    batch = replace(network_batch(jets, use_pid=use_pid), label=None, weight=None)
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
