"""The published program's loss terms, as means over a batch: what our objectives are compared with."""

from __future__ import annotations

import torch
from omnilearn_lab.models.diffusion import (
    NO_LABEL,
    class_entropy,
    contrastive_entropy,
    velocity_error,
)
from omnilearn_lab.models.packing import Packing
from torch import Tensor
from torch.nn import functional

__all__ = [
    "balance_weights",
    "contrastive_loss",
    "grouped_class_loss",
    "particle_class_loss",
    "velocity_loss",
]


def balance_weights(label: Tensor, n_classes: int) -> Tensor:
    """1 / (count of the class), mean one."""
    weights = (1.0 / (torch.bincount(label, minlength=n_classes).float() + 1e-6))[label]
    return weights / weights.mean()


def grouped_class_loss(
    logits: Tensor, label: Tensor, weight: Tensor, *, n_jet_classes: int | None = None
) -> Tensor:
    """Weighted cross-entropy; jet classes and event classes are averaged apart, and the means added."""
    losses = weight * class_entropy(logits, label, n_jet_classes=n_jet_classes)
    if n_jet_classes is None:
        return losses.mean()
    is_event = label >= n_jet_classes
    return torch.stack([losses[kind].mean() for kind in (~is_event, is_event) if kind.any()]).sum()


def velocity_loss(velocity: Tensor, target: Tensor, packing: Packing) -> Tensor:
    return velocity_error(velocity, target, packing).mean()


def contrastive_loss(clean: Tensor, perturbed: Tensor, alpha: Tensor, *, published: bool = False) -> Tensor:
    """Mean of alpha^2 times the entropy; the published program multiplies the two means instead."""
    losses, weight = contrastive_entropy(clean, perturbed), alpha.square()
    return weight.mean() * losses.mean() if published else (weight * losses).mean()


def particle_class_loss(logits: Tensor, label: Tensor) -> Tensor:
    return functional.cross_entropy(logits, label, ignore_index=NO_LABEL)
