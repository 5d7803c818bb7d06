"""The loss terms of OmniLearned, as pure functions of outputs and targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.models.packing import Packing

__all__ = [
    "balance_weights",
    "class_entropy",
    "contrastive_entropy",
    "contrastive_loss",
    "grouped_class_loss",
    "particle_class_loss",
    "velocity_error",
    "velocity_loss",
]

N_JET_CLASSES = 200  # of the 210 pretraining classes; the others tell the kind of event
TINY_COUNT = 1e-6
CONTRASTIVE_SCALE = 2.74
NO_LABEL = -1


def balance_weights(label: Tensor, n_classes: int) -> Tensor:
    """Weights that give all classes of a batch the same say: 1 / (count of the class), mean one.

    Parameters
    ----------
    label
        Class of each jet, shape (B,).
    n_classes
        C.

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> [round(w, 3) for w in balance_weights(torch.tensor([0, 0, 1]), 2).tolist()]
    [0.75, 0.75, 1.5]
    """
    counts = torch.bincount(label, minlength=n_classes).float()
    weights = (1.0 / (counts + TINY_COUNT))[label]
    return weights / weights.mean()


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


def grouped_class_loss(
    logits: Tensor, label: Tensor, weight: Tensor, *, n_jet_classes: int | None = None
) -> Tensor:
    """Weighted cross-entropy, mean over jets; jet classes and event classes apart where asked.

    With ``n_jet_classes``, jets of a class below it compete among the first logits, the others among the
    rest; each kind is averaged over its own jets and the two means are added. The weight of perturbed jets is
    their balance weight times alpha^2 = (1 - t)^2, jet by jet.

    Parameters
    ----------
    logits
        Shape (B, C).
    label, weight
        Shapes (B,).
    n_jet_classes
        Number of jet classes, `N_JET_CLASSES` in the published pretraining; None: one kind.

    Returns
    -------
    Tensor
        A number.

    Examples
    --------
    >>> import torch
    >>> label = torch.tensor([0, 3])
    >>> grouped_class_loss(torch.zeros(2, 4), label, torch.ones(2), n_jet_classes=2).exp().round().item()
    4.0
    """
    losses = weight * class_entropy(logits, label, n_jet_classes=n_jet_classes)
    if n_jet_classes is None:
        return losses.mean()
    is_event = label >= n_jet_classes
    return torch.stack([losses[kind].mean() for kind in (~is_event, is_event) if kind.any()]).sum()


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


def velocity_loss(velocity: Tensor, target: Tensor, packing: Packing) -> Tensor:
    """Squared error of the velocity, summed over features, mean over the particles of a jet, mean over jets.

    Parameters
    ----------
    velocity, target
        Shapes (T, F).
    packing
        The jets.

    Returns
    -------
    Tensor
        A number.

    Examples
    --------
    >>> import torch
    >>> packing = Packing.build(torch.tensor([0, 1, 3]))
    >>> velocity_loss(torch.ones(3, 4), torch.zeros(3, 4), packing).item()
    4.0
    """
    return velocity_error(velocity, target, packing).mean()


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


def contrastive_loss(clean: Tensor, perturbed: Tensor, alpha: Tensor, *, published: bool = False) -> Tensor:
    """Bring the embeddings of a jet and of its perturbed self together, and those of different jets apart.

    Mean over jets of alpha^2 times the two cross-entropies of 2.74 A B', A and B the embeddings at unit
    length.

    Parameters
    ----------
    clean, perturbed
        One embedding per jet, shapes (B, D). The published program takes all rows of the padded body output.
    alpha
        Share of signal 1 - t, shape (B,).
    published
        Multiply the mean loss by the mean of alpha^2, as the published program does by broadcasting.

    Returns
    -------
    Tensor
        A number.

    Examples
    --------
    >>> import torch
    >>> contrastive_loss(torch.ones(1, 3), torch.ones(1, 3), torch.ones(1)).item()
    0.0
    """
    losses = contrastive_entropy(clean, perturbed)
    weight = alpha.square()
    return weight.mean() * losses.mean() if published else (weight * losses).mean()


def particle_class_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the particle classes, mean over the particles that have one.

    Parameters
    ----------
    logits
        Shape (T, particle classes).
    label
        Shape (T,), -1 for particles without class.

    Returns
    -------
    Tensor
        A number.

    Examples
    --------
    >>> import torch
    >>> particle_class_loss(torch.zeros(2, 4), torch.tensor([1, -1])).exp().round().item()
    4.0
    """
    return functional.cross_entropy(logits, label, ignore_index=NO_LABEL)
