"""What a pretrained network is worth: jets never seen, rounded weights, and other tasks on its card."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from omnilearn_lab.display import label, signed
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import classification_metrics
from omnilearn_lab.models import read_card
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common.comparison import KINDS
from omnilearn_lab.tasks.common.networks import complete_batch

_ENTRY = "downstream"
_SHARE_OF_ERROR = 0.25  # a change below this share of the statistical error is nothing


def held_out(model: nn.Module, test: Jets, *, inputs: str = "pet", hidden: bool = False) -> dict[str, Any]:
    """Classify jets never seen, without noise.

    Parameters
    ----------
    model
    test : Jets
        With labels.
    inputs : {"pet", "pet_v2"}
        What the network reads.
    hidden
        Hide the particle species, and for PET v2 the impact parameters: momenta only.

    Returns
    -------
    dict
        Number of jets, accuracy, area under the ROC curve one class against another (mean over pairs),
        and by class against the rest.
    """
    use_extra = inputs == "pet_v2" and not hidden and "d0" in test.particles
    jets = common.network_batch(test, inputs=inputs, use_pid=not hidden, use_extra=use_extra)
    scores = common.predict(model, complete_batch(jets, model))
    metrics = classification_metrics(scores, test.label, class_names=test.class_names)
    return {
        "n_jets": metrics.n_jets,
        "accuracy": metrics.accuracy,
        "auc_one_vs_one": metrics.auc,
        "auc_by_class": dict(metrics.auc_by_class),
    }


def tried_half(
    model: nn.Module, test: Jets, exact: Mapping[str, Any], *, inputs: str = "pet"
) -> dict[str, Any]:
    """Measure what rounding the weights to float16 does to the held-out classification.

    Parameters
    ----------
    model, test, inputs
        As for `held_out`.
    exact
        What `held_out` says of the weights as they are.

    Returns
    -------
    dict
        Accuracy and AUC of the rounded weights, and ``is_lossless``; see `rounding_loss`.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for weight in rounded.parameters():
            weight.copy_(weight.half())
    found = held_out(rounded, test, inputs=inputs)
    numbers = {name: found[name] for name in ("accuracy", "auc_one_vs_one")}
    return {"dtype": "float16", **numbers, "is_lossless": rounding_loss(exact, numbers) < _SHARE_OF_ERROR}


def measured(model: nn.Module, test: Jets, network: str) -> dict[str, Any]:
    """Held-out classification: all inputs seen, momenta only, and with rounded weights."""
    seen = held_out(model, test, inputs=network)
    return {
        "held_out": seen,
        "held_out_hidden": held_out(model, test, inputs=network, hidden=True),
        "half_precision": tried_half(model, test, seen, inputs=network),
    }


def rounding_loss(exact: Mapping[str, Any], rounded: Mapping[str, Any]) -> float:
    """Return the largest change of accuracy and AUC in units of the accuracy's statistical error.

    The error of an accuracy p measured on n jets is sqrt(p (1 - p) / n).

    Examples
    --------
    >>> exact = {"n_jets": 10_000, "accuracy": 0.5, "auc_one_vs_one": 0.9}
    >>> round(rounding_loss(exact, {"accuracy": 0.499, "auc_one_vs_one": 0.9}), 2)
    0.2
    """
    p = exact["accuracy"]
    error = max((p * (1 - p) / exact["n_jets"]) ** 0.5, 1 / exact["n_jets"])
    return max(abs(exact[name] - rounded[name]) for name in ("accuracy", "auc_one_vs_one")) / error


class DownstreamRecord(common.ComparisonRecord):
    """Scratch against fine-tuned from one checkpoint, for one task and one number of training jets."""

    checkpoint: str
    task: str
    epochs: float
    batch_size: int
    learning_rate: float


def downstream_records(checkpoint: str | Path) -> list[DownstreamRecord]:
    """Return what a checkpoint's card says about other tasks; nothing if nobody measured it.

    Parameters
    ----------
    checkpoint
        Name of a shipped checkpoint, or a file.

    Examples
    --------
    >>> sorted({record.task for record in downstream_records("tiny")})
    ['quark_gluon', 'top_tagging']
    """
    return [DownstreamRecord(**values) for values in read_card(checkpoint).get(_ENTRY, ())]


def downstream_table(records: Iterable[DownstreamRecord]) -> pd.DataFrame:
    """Return scratch beside fine-tuned, mean and standard deviation over seeds, with the verdict.

    Parameters
    ----------
    records
        Of `downstream_records`.

    Returns
    -------
    DataFrame
        One row per checkpoint, task, number of training jets and metric. A rejection for which fewer than
        ten background jets passed, in any seed, is a lower limit and marked so. Networks may have had
        different budgets: compare within a row.
    """
    rows = {}
    for record in sorted(records, key=lambda r: (r.checkpoint, r.task, r.n_train)):
        for metric in record.metrics:
            cells = {label(kind): record.mean_and_spread(metric, kind) for kind in KINDS}
            gain = record.gains[metric]
            cells |= {"gain": signed(gain.difference, gain.error), "verdict": gain.verdict}
            about = {
                "epochs": f"{record.epochs:g}",
                "peak rate": f"{record.learning_rate:g}",
                "seeds": len(record.seeds),
            }
            rows[record.checkpoint, record.task, record.n_train, label(metric)] = about | cells
    names = ["checkpoint", "task", "training jets", "metric"]
    return pd.DataFrame(
        list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names) if rows else None
    )
