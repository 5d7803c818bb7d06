"""What the means of a loss are divided by, when a batch is only a part of what one update sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from omnilearn_lab.models import Batch

__all__ = ["Whole", "jet_weights"]


@dataclass(frozen=True, eq=False)
class Whole:
    """Sums over all jets of an update, of which a batch may be one part.

    Loss terms are weighted means. A part divides its sums by those of the whole, so that the terms and the
    gradients of all parts (micro-batches, ranks, validation batches) simply add up to those of the whole.

    Parameters
    ----------
    weight
        Sum of the weights w of the jets; jets without weights count one each.
    particle_weight, labelled_weight
        Sum of w over all particles, and over those with a class.
    class_weight : float64 Tensor, shape (C,)
        Sum of w of each class, on the CPU; C is the largest label plus one, or more.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> whole = Whole.of(jets) + Whole.of(jets)
    >>> whole.weight, whole.particle_weight, whole.class_weight.tolist()
    (4.0, 6.0, [2.0, 2.0])
    """

    weight: float
    particle_weight: float
    labelled_weight: float
    class_weight: Tensor

    @classmethod
    def of(cls, jets: Batch) -> Whole:
        """Add up a batch; on the CPU this is cheap, on a GPU it waits for the device."""
        weight = jet_weights(jets).double()
        counts = jets.counts
        labelled = 0.0
        if jets.particle_label is not None:
            rows = torch.repeat_interleave(weight, counts)
            labelled = float(rows[jets.particle_label >= 0].sum())
        by_class = weight.new_zeros(0)
        if jets.label is not None and not jets.label.is_floating_point():
            by_class = torch.bincount(jets.label, weight)
        return cls(float(weight.sum()), float(weight @ counts.double()), labelled, by_class.cpu())

    def __add__(self, other: Whole) -> Whole:
        size = max(len(self.class_weight), len(other.class_weight))
        by_class = sum(
            torch.nn.functional.pad(w.class_weight, (0, size - len(w.class_weight))) for w in (self, other)
        )
        return Whole(
            self.weight + other.weight,
            self.particle_weight + other.particle_weight,
            self.labelled_weight + other.labelled_weight,
            by_class,
        )

    @cached_property
    def balance(self) -> Tensor:
        """Factor of each class that gives those present the same sum of weights; mean one, float32, (C,)."""
        share = self.weight / (self.class_weight.clamp_min(1e-30) * (self.class_weight > 0).sum())
        return torch.where(self.class_weight > 0, share, 0.0).float()

    def kind_weights(self, n_jet_classes: int) -> Tensor:
        """Sum of weights of jet classes and of event classes, float32, shape (2,)."""
        kinds = self.class_weight[:n_jet_classes].sum(), self.class_weight[n_jet_classes:].sum()
        return torch.stack(kinds).float()

    def mean(self, values: Tensor, jets: Batch) -> Tensor:
        """Return sum(w x) of a part over the whole's sum(w); x has shape (B,)."""
        weighted = values if jets.weight is None else values * jets.weight
        return weighted.sum() / self.weight

    def mean_of_particles(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over all particles, each with its jet's weight; x has shape (T,)."""
        weighted = values if jets.weight is None else values * jets.packing.to_rows(jets.weight)
        return weighted.sum() / self.particle_weight

    def mean_of_labelled(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over the particles with a class, 0 when there is none; x has shape (T,)."""
        rows = jets.packing.to_rows(jet_weights(jets)) * (jets.particle_label >= 0)
        return (values * rows).sum() / max(self.labelled_weight, 1e-30)


def jet_weights(jets: Batch) -> Tensor:
    """Return the weights of jets, ones when they have none, float32, shape (B,).

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jet_weights(Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0)))
    tensor([1., 1.])
    """
    return torch.ones(len(jets), device=jets.features.device) if jets.weight is None else jets.weight
