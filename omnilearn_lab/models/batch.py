"""What goes into a network, and what comes out: packed jets, particles one after the other, no padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.errors import JetsError
from omnilearn_lab.models.packing import Packing

PER_PARTICLE = ("features", "points", "pid", "extra", "particle_label", "particle_target")
"""Fields of a `Batch` with a row for each particle."""


class ClassifierOutput(NamedTuple):
    """Class logits (B, C) and regressed jet quantities (B, J)."""

    logits: Tensor
    jet: Tensor


class JointOutput(NamedTuple):
    """Both heads on clean and perturbed jets: the terms of the pretraining loss."""

    clean: ClassifierOutput
    perturbed: ClassifierOutput
    velocity: Tensor  # (T, n_diffused)


@dataclass(frozen=True)
class Batch:
    """B jets with T particles in all, packed one after the other.

    Parameters
    ----------
    features
        Standardised particle inputs, float32, shape (T, F).
    points
        Coordinates for the neighbour search (standardised deta, dphi), shape (T, 2).
    offsets
        First particle of each jet, and T at the end; int64, shape (B + 1,).
    jet
        Standardised jet features, shape (B, J).
    label
        Class of each jet, int64, shape (B,).
    weight
        Weight of each jet, shape (B,).
    pid
        Species number of each particle, int64, shape (T,); zero for unknown.
    extra
        Further numbers of each particle (track parameters), shape (T, A).
    condition
        Numbers that the generation of a jet is conditioned on, shape (B, c).
    particle_label
        Class of each particle, int64, shape (T,); -1 for none.
    particle_target
        Numbers of each particle that a network learns, shape (T, R).

    Raises
    ------
    JetsError
        When the shapes do not belong together or a jet has no particle.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> len(batch), batch.jet_index.tolist(), tuple(batch.to_padded(batch.features).shape)
    (2, [0, 1, 1], (2, 2, 13))
    """

    features: Tensor
    points: Tensor
    offsets: Tensor
    jet: Tensor
    label: Tensor | None = None
    weight: Tensor | None = None
    pid: Tensor | None = None
    extra: Tensor | None = None
    condition: Tensor | None = None
    particle_label: Tensor | None = None
    particle_target: Tensor | None = None

    def __post_init__(self) -> None:
        n_rows, n_jets = len(self.features), len(self.offsets) - 1
        of_jets = ("jet", "label", "weight", "condition")
        for name, size in [(n, n_rows) for n in PER_PARTICLE] + [(n, n_jets) for n in of_jets]:
            value = getattr(self, name)
            if value is not None and len(value) != size:
                asked = f"{n_jets} jets with {n_rows} particles need {size}"
                raise JetsError(f"{name} has {len(value)} entries; {asked}")
        if self.offsets.device.type == "cpu" and not torch.compiler.is_compiling():
            self._check_offsets(n_rows)

    def _check_offsets(self, n_rows: int) -> None:
        if len(self.offsets) < 2 or int(self.offsets[0]) != 0 or int(self.offsets[-1]) != n_rows:
            raise JetsError(f"offsets must run from 0 to the number of particles, {n_rows}: one jet at least")
        empty = torch.nonzero(self.offsets.diff() <= 0)[:, 0]
        if len(empty):
            raise JetsError(f"jet {int(empty[0])} has no particle ({len(empty)} such jets): remove them")

    @classmethod
    def from_padded(
        cls,
        features: Tensor,
        mask: Tensor,
        *,
        jet: Tensor,
        label: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Batch:
        """Pack (B, P, F) features with a (B, P) mask, True for real particles; points are columns 0 and 1."""
        mask = mask.bool()
        offsets = torch.zeros(len(mask) + 1, dtype=torch.int64, device=mask.device)
        torch.cumsum(mask.sum(1), 0, out=offsets[1:])
        rows = features[mask]
        return cls(rows, rows[:, :2], offsets, jet, label, weight)

    @classmethod
    def stack(cls, batches: Sequence[Batch]) -> Batch:
        """Put batches one behind the other; optional fields are kept when all batches have them."""
        counts = torch.cat([batch.counts for batch in batches])
        fields: dict[str, Any] = {"offsets": torch.cat([batches[0].offsets[:1], counts.cumsum(0)])}
        for name in (field.name for field in dataclasses.fields(batches[0]) if field.name != "offsets"):
            parts = [getattr(batch, name) for batch in batches]
            fields[name] = None if any(part is None for part in parts) else torch.cat(parts)
        stacked = cls(**fields)
        if batches[0].packing.one_block:
            stacked.keep(Packing.stack([batch.packing for batch in batches]))
        return stacked

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def packing(self) -> Packing:
        """The plan of this batch's blocks (made once)."""
        return Packing.build(self.offsets, one_block=self.offsets.device.type != "cpu")

    @property
    def counts(self) -> Tensor:
        """Multiplicity of each jet, shape (B,)."""
        return self.offsets.diff()

    @property
    def jet_index(self) -> Tensor:
        """Jet of each particle, shape (T,)."""
        return self.packing.jet

    def to_padded(self, values: Tensor, fill: float = 0.0, *, length: int | None = None) -> Tensor:
        """Lay particle values (T, ...) out as (B, P, ...); P is the longest jet or ``length``."""
        size = int(self.packing.multiplicities.max()) if length is None else length
        first = self.packing.to_rows(self.offsets[:-1])
        place = torch.arange(len(values), device=values.device) - first
        padded = values.new_full((len(self), size, *values.shape[1:]), fill)
        padded[self.jet_index, place] = values
        return padded

    def replace(self, **changes: Tensor | None) -> Batch:
        """Return a copy with other values on the same particles (the plan of blocks is kept)."""
        copy = dataclasses.replace(self, **changes)
        return copy.keep(self.packing) if "packing" in self.__dict__ and "offsets" not in changes else copy

    def planned(self, *, one_block: bool) -> Batch:
        """Return the same jets with their blocks planned: one, as accelerators like it, or many."""
        packing = self.packing if "packing" in self.__dict__ else None
        if packing is not None and packing.one_block == one_block:
            return self
        counts = np.diff(self.offsets.numpy()) if packing is None else packing.multiplicities
        packing = Packing.plan(counts, one_block=one_block).to(self.offsets.device)
        return dataclasses.replace(self).keep(packing)

    def pin_memory(self) -> Batch:
        """Copy to page-locked memory, with the plan of an accelerator: from there `to` stops nothing."""
        batch = self.planned(one_block=True)
        return batch._each(Tensor.pin_memory).keep(batch.packing.pin_memory())

    def to(self, device: torch.device | str) -> Batch:
        """Copy to a device; the plan of blocks is made before, where integers are cheap."""
        batch = self.planned(one_block=torch.device(device).type != "cpu")
        return batch._each(lambda v: v.to(device, non_blocking=True)).keep(batch.packing.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there, by name: ``Batch(**batch.tensors())`` is the same batch."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{name: change(value) for name, value in self.tensors().items()})

    def keep(self, packing: Packing) -> Batch:
        """Take this plan of the jets' blocks, and return the batch."""
        self.__dict__["packing"] = packing
        return self


class Hidden(NamedTuple):
    """Jets without some of their particles, and what these were.

    Parameters
    ----------
    visible : Batch
        The same jets, with the particles that are left, in their order.
    places : int64 Tensor, shape (B, M)
        Place of each hidden particle in its whole jet; zero behind the last of a jet.
    slots : int64 Tensor, shape (H,)
        Where the H hidden particles are in the flattened ``places``.
    features : float32 Tensor, shape (H, F)
        What they were.
    """

    visible: Batch
    places: Tensor
    slots: Tensor
    features: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the hidden particles of each jet, (H,) to (B,); zero where none is hidden."""
        sums = values.new_zeros(len(self.places), 2)
        pairs = torch.stack([values, torch.ones_like(values)], 1)
        sums = sums.index_add_(0, self.slots // self.places.shape[1], pairs)
        return sums[:, 0] / sums[:, 1].clamp_min(1)


def hide_particles(batch: Batch, share: float) -> Hidden:
    """Take a share of each jet's particles away at random: at least one, but never the last.

    Examples
    --------
    >>> x = torch.arange(20.0).view(5, 4)
    >>> hidden = hide_particles(Batch(x, x[:, :2], torch.tensor([0, 1, 5]), torch.zeros(2, 0)), 0.5)
    >>> hidden.visible.counts.tolist(), hidden.slots.tolist(), tuple(hidden.features.shape)
    ([1, 2], [2, 3], (2, 4))
    """
    device, counts = batch.features.device, batch.packing.multiplicities
    n_hidden = np.minimum(np.maximum(np.rint(share * counts), 1), counts - 1).astype(np.int64)
    place = np.arange(len(batch.features)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_first = place < np.repeat(n_hidden, counts)
    is_used = np.arange(n_hidden.max(initial=1)) < n_hidden[:, None]
    arrays = (place, *(np.flatnonzero(x) for x in (is_first, ~is_first, is_used)))
    place, first, last, slots = (torch.from_numpy(x).to(device, non_blocking=True) for x in arrays)
    score = batch.jet_index + torch.rand(len(place), device=device).double()
    mixed = score.argsort()  # within each jet
    rows, left = mixed[first], mixed[last].sort().values
    places = torch.zeros(is_used.shape, dtype=torch.int64, device=device)
    places.view(-1)[slots] = place[rows]
    kept = {name: v[left] for name, v in batch.tensors().items() if name in PER_PARTICLE}
    packing = Packing.plan(counts - n_hidden, one_block=batch.packing.one_block).to(device)
    offsets = functional.pad(packing.counts.long().cumsum(0), (1, 0))
    visible = dataclasses.replace(batch, offsets=offsets, **kept).keep(packing)
    return Hidden(visible, places, slots, batch.features[rows])
