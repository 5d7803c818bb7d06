"""Packed batches: the particles of B jets one after the other, and no padding.

Shape letters used in all of ``models``: B jets, T particles (rows) in all, F particle features,
J jet features, C classes, d width, H heads, K neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnilearn_lab.errors import JetsError

__all__ = ["Batch", "Group", "Packing"]

LENGTH_STEP = 8  # jets are grouped by multiplicity rounded up to a multiple of this


class Group(NamedTuple):
    """Jets of similar multiplicity, laid out as a small padded block for attention and neighbour search.

    ``start`` is the first slot of the block; ``mask`` (jets, length) is True where a slot holds a particle;
    ``is_full`` says that every slot does; ``key_bias`` (jets, length) is added to the attention logits of a
    slot (None: nothing, minus infinity in empty slots).
    """

    start: int
    mask: Tensor
    is_full: bool
    key_bias: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of jets and slots per jet."""
        return self.mask.shape[0], self.mask.shape[1]

    def take(self, slots: Tensor) -> Tensor:
        """Return this block's part of an array over slots: (S, ...) to (jets, length, ...)."""
        n_jets, length = self.shape
        return slots[self.start : self.start + n_jets * length].view(n_jets, length, *slots.shape[1:])


@dataclass(frozen=True)
class Packing:
    """Where the particles of each jet are, and how jets are grouped for pairwise operations.

    Most layers act on rows (T, d). Pairwise operations (attention, neighbour search) gather the rows into
    slots: jets are grouped by multiplicity, rounded up to a multiple of eight, so that a block wastes few
    slots and a jet's arithmetic does not depend on the other jets.

    Parameters
    ----------
    jet
        Jet of each row, shape (T,).
    counts
        Rows of each jet, shape (B,); float32.
    slot_rows
        Row in each slot, shape (S,); empty slots repeat the first row of their jet.
    slot_mask
        True where a slot holds a row, shape (S,).
    row_slots
        Slot of each row, shape (T,).
    groups
        The blocks.
    row_weight
        Number of particles that a row stands for, shape (T,); None for one each.
    """

    jet: Tensor
    counts: Tensor
    slot_rows: Tensor
    slot_mask: Tensor
    row_slots: Tensor
    groups: tuple[Group, ...]
    row_weight: Tensor | None = None

    @classmethod
    def build(cls, offsets: Tensor) -> Packing:
        """Plan the blocks of jets whose rows are ``offsets[i]:offsets[i + 1]``, shape (B + 1,)."""
        counts = offsets.diff()
        jet = torch.repeat_interleave(torch.arange(len(counts), device=offsets.device), counts)
        lengths = (counts + LENGTH_STEP - 1) // LENGTH_STEP * LENGTH_STEP
        blocks = []
        for length in torch.unique(lengths).tolist():
            jets = torch.nonzero(lengths == length)[:, 0]
            place = torch.arange(length, device=offsets.device)
            mask = place < counts[jets, None]
            blocks.append((offsets[jets, None] + place * mask, mask))
        return cls._from_blocks(jet, counts.float(), blocks)

    @classmethod
    def _from_blocks(cls, jet: Tensor, counts: Tensor, blocks: Sequence[tuple[Tensor, Tensor]]) -> Packing:
        slot_rows = torch.cat([rows.flatten() for rows, _ in blocks])
        slot_mask = torch.cat([mask.flatten() for _, mask in blocks])
        row_slots = torch.empty_like(jet)
        row_slots[slot_rows[slot_mask]] = torch.nonzero(slot_mask)[:, 0]
        groups, start = [], 0
        for _, mask in blocks:
            groups.append(Group(start, mask, bool(mask.all())))
            start += mask.numel()
        return cls(jet, counts, slot_rows, slot_mask, row_slots, tuple(groups))

    @property
    def n_jets(self) -> int:
        """Number of jets B."""
        return len(self.counts)

    @property
    def n_rows(self) -> int:
        """Number of rows T."""
        return len(self.jet)

    @cached_property
    def with_token(self) -> Packing:
        """The same jets with one more row each, rows T to T + B - 1 (a class token)."""
        tokens = torch.arange(self.n_jets, device=self.jet.device)
        blocks = []
        for group in self.groups:
            rows = group.take(self.slot_rows)
            token = self.n_rows + self.jet[rows[:, :1]]
            mask = torch.cat([torch.ones_like(group.mask[:, :1]), group.mask], 1)
            blocks.append((torch.cat([token, rows], 1), mask))
        return self._from_blocks(torch.cat([self.jet, tokens]), self.counts + 1, blocks)

    def with_leads(self, n_leads: int) -> Packing:
        """The same jets with rows of their own in front: row ``T + jet * n_leads + i`` is lead i of a jet."""
        places = torch.arange(n_leads, device=self.jet.device)
        blocks = []
        for group in self.groups:
            rows = group.take(self.slot_rows)
            leads = self.n_rows + self.jet[rows[:, :1]] * n_leads + places
            mask = torch.cat([torch.ones_like(leads, dtype=torch.bool), group.mask], 1)
            blocks.append((torch.cat([leads, rows], 1), mask))
        lead_jets = torch.arange(self.n_jets, device=self.jet.device).repeat_interleave(n_leads)
        return self._from_blocks(torch.cat([self.jet, lead_jets]), self.counts + n_leads, blocks)

    @cached_property
    def token_slots(self) -> Tensor:
        """Jet of each jet-slot, in block order, shape (B,): undoes the grouping of per-jet results."""
        return torch.cat([self.jet[group.take(self.slot_rows)[:, 0]] for group in self.groups])

    @cached_property
    def jet_slots(self) -> Tensor:
        """Place of each jet in block order, shape (B,); the inverse of ``token_slots``."""
        return torch.argsort(self.token_slots)

    def sum_rows(self, values: Tensor) -> Tensor:
        """Add the rows of each jet: (T, ...) to (B, ...)."""
        return values.new_zeros(self.n_jets, *values.shape[1:]).index_add_(0, self.jet, values)

    def split(self, slots: Tensor) -> list[Tensor]:
        """Cut an array over slots, (S, ...), into the blocks (jets, length, ...)."""
        parts = slots.split([group.mask.numel() for group in self.groups])
        return [part.unflatten(0, group.shape) for part, group in zip(parts, self.groups, strict=True)]

    def to_rows(self, values: Tensor) -> Tensor:
        """Repeat each jet's value for its rows: (B, ...) to (T, ...)."""
        return values.index_select(0, self.jet)

    def to_slots(self, values: Tensor) -> Tensor:
        """Lay rows out in slots: (T, ...) to (S, ...); empty slots repeat a row of their jet."""
        return _ToSlots.apply(values, self)

    def from_slots(self, values: Tensor) -> Tensor:
        """Collect rows from slots: (S, ...) to (T, ...)."""
        return _FromSlots.apply(values, self)

    def to(self, device: torch.device | str) -> Packing:
        """Copy to a device."""
        moved = {
            field.name: _move(getattr(self, field.name), device)
            for field in dataclasses.fields(self)
            if field.name != "groups"
        }
        groups = tuple(Group(*(_move(part, device) for part in group)) for group in self.groups)
        return Packing(groups=groups, **moved)


def _move(value: Any, device: torch.device | str) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


class _ToSlots(torch.autograd.Function):
    """Gather rows into slots; backward gathers too, as every row has exactly one slot."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return values.index_select(0, packing.slot_rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.packing.row_slots), None


class _FromSlots(torch.autograd.Function):
    """Gather slots into rows; backward leaves zero in empty slots."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return values.index_select(0, packing.row_slots)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        packing = ctx.packing
        mask = packing.slot_mask.view(-1, *[1] * (gradient.dim() - 1))
        return gradient.index_select(0, packing.slot_rows) * mask, None


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

    def __post_init__(self) -> None:
        n_rows, n_jets = len(self.features), len(self.offsets) - 1
        of_particles = ("points", "pid", "extra", "particle_label")
        of_jets = ("jet", "label", "weight", "condition")
        for name, size in [(n, n_rows) for n in of_particles] + [(n, n_jets) for n in of_jets]:
            value = getattr(self, name)
            if value is not None and len(value) != size:
                asked = f"{n_jets} jets with {n_rows} particles need {size}"
                raise JetsError(f"{name} has {len(value)} entries; {asked}")
        if self.offsets.device.type == "cpu":
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
        fields = {"offsets": torch.cat([batches[0].offsets[:1], counts.cumsum(0)])}
        for name in (field.name for field in dataclasses.fields(cls) if field.name != "offsets"):
            parts = [getattr(batch, name) for batch in batches]
            fields[name] = None if any(part is None for part in parts) else torch.cat(parts)
        return cls(**fields)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def packing(self) -> Packing:
        """The plan of this batch's blocks (made once)."""
        return Packing.build(self.offsets)

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
        size = int(self.counts.max()) if length is None else length
        first = self.packing.to_rows(self.offsets[:-1])
        place = torch.arange(len(values), device=values.device) - first
        padded = values.new_full((len(self), size, *values.shape[1:]), fill)
        padded[self.jet_index, place] = values
        return padded

    def replace(self, **changes: Tensor | None) -> Batch:
        """Return a copy with other values on the same particles (the plan of blocks is kept)."""
        copy = dataclasses.replace(self, **changes)
        if "packing" in self.__dict__ and "offsets" not in changes:
            copy.__dict__["packing"] = self.packing
        return copy

    def to(self, device: torch.device | str) -> Batch:
        """Copy to a device; the plan of blocks is made before, where integers are cheap."""
        packing = self.packing.to(device)
        fields = {field.name: _move(getattr(self, field.name), device) for field in dataclasses.fields(self)}
        copy = Batch(**fields)
        copy.__dict__["packing"] = packing
        return copy
