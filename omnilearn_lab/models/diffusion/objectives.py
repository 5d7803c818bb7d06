"""The loss terms of OmniLearned, jet by jet, as pure functions of outputs and targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.models.packing import Packing

CONTRASTIVE_SCALE = 2.74
NO_LABEL = -1


def class_entropy(logits: Tensor, label: Tensor, *, n_jet_classes: int | None = None) -> Tensor:
    """Cross-entropy of each jet; with ``n_jet_classes``, jet and event classes compete among their own kind.

    Parameters
    ----------
    logits
        Shape (B, C).
    label
        Shape (B,).
    n_jet_classes
        Number of jet classes, the first of the C; None: one kind.

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> class_entropy(torch.zeros(2, 5), torch.tensor([0, 4]), n_jet_classes=2).exp().round().tolist()
    [2.0, 3.0]
    """
    if n_jet_classes is not None:
        is_event_class = torch.arange(logits.shape[1], device=logits.device) >= n_jet_classes
        other_kind = (label >= n_jet_classes)[:, None] != is_event_class
        logits = logits.masked_fill(other_kind, -torch.inf)
    return functional.cross_entropy(logits, label, reduction="none")


def velocity_error(velocity: Tensor, target: Tensor, packing: Packing) -> Tensor:
    """Squared error of the velocity of each jet, summed over features, mean over its particles: shape (B,).

    Parameters
    ----------
    velocity, target
        Shapes (T, F).
    packing
        The jets.

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> packing = Packing.build(torch.tensor([0, 1, 3]))
    >>> velocity_error(torch.ones(3, 4), torch.zeros(3, 4), packing).tolist()
    [4.0, 4.0]
    """
    return packing.sum_rows((velocity - target).square().sum(1)) / packing.counts


def contrastive_entropy(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Mean of the two cross-entropies of 2.74 A B', A and B the embeddings at unit length, of each jet.

    Parameters
    ----------
    clean, perturbed
        One embedding per jet, shapes (B, D).

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> contrastive_entropy(torch.ones(4, 3), torch.ones(4, 3)).exp().round().tolist()
    [4.0, 4.0, 4.0, 4.0]
    """
    first, second = (functional.normalize(part, dim=-1, eps=1e-3) for part in (clean, perturbed))
    logits = CONTRASTIVE_SCALE * first @ second.T
    target = torch.arange(len(logits), device=logits.device)
    losses = functional.cross_entropy(logits, target, reduction="none")
    return (losses + functional.cross_entropy(logits.T, target, reduction="none")) / 2
