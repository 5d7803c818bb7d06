"""How the particles of B jets are laid out for what looks at pairs of them: attention and neighbour search.

Shape letters used in all of ``models``: B jets, T particles (rows) in all, F particle features,
J jet features, C classes, d width, H heads, K neighbours, S slots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

LENGTH_STEP = 8  # on a CPU jets are grouped by multiplicity rounded up to a multiple of this
PADDED_LENGTHS = (16, 32, 48, 64, 96, 128, 160, 192, 256)  # on an accelerator, then multiples
MOST_SLOTS = 4  # per particle, in one block; beyond, two blocks cost less than the padding
LONG_STEP = 128  # ... of this


def padded_length(n_particles: int) -> int:
    """Length of the block that holds jets of up to ``n_particles``: few lengths mean few compiled programs.

    Examples
    --------
    >>> padded_length(3), padded_length(100), padded_length(300)
    (16, 128, 384)
    """
    fitting = [length for length in PADDED_LENGTHS if length >= n_particles]
    return fitting[0] if fitting else -(-n_particles // LONG_STEP) * LONG_STEP


class cached:  # noqa: N801
    """A property that is computed once; anew where a compiler traces it, which sees through repetitions."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self.function(instance)
        if not torch.compiler.is_compiling():
            instance.__dict__[self.function.__name__] = value
        return value


class Group(NamedTuple):
    """A block of jets of similar multiplicity, each padded to the same length.

    ``start`` is the first slot of the block, ``first`` its first jet in block order; ``is_full`` says that
    every slot holds a particle; ``n_pairs`` counts the unordered pairs of particles in its jets.
    """

    start: int
    first: int
    n_jets: int
    length: int
    is_full: bool
    n_pairs: int

    @property
    def n_slots(self) -> int:
        """Slots of the block."""
        return self.n_jets * self.length


class Pairs(NamedTuple):
    """The P unordered pairs of different particles in the jets of a block.

    ``first`` and ``second`` are their rows, shape (P,); ``places`` the place of each in the flattened
    (G, m, m) matrices, and ``table`` (G, m, m) the pair in each place, P on the diagonal and in empty slots.
    """

    first: Tensor
    second: Tensor
    places: Tensor
    table: Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the particles of each jet are, and the blocks that pairwise operations work on.

    Most layers act on rows (T, d). Attention and neighbour search gather the rows into slots. A CPU takes
    many small blocks of jets of similar multiplicity, which waste few slots; an accelerator takes one block,
    as every block costs it as many launches as the whole batch. The plan is made from plain integers on the
    host; nothing here asks a device for a value.

    Parameters
    ----------
    multiplicities
        Rows of each jet, plain integers on the host, shape (B,).
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
    order
        The jets in block order, shape (B,); None where that is their own order.
    places
        Place of each jet in block order, shape (B,), the inverse of ``order``.
    groups
        The blocks.
    one_block
        The layout for accelerators: one block, or two where a few jets are much longer than the others.
    in_slots
        Rows are slots: layers that get rows (S, d) gather nothing (see `slotted`).
    row_weight
        Number of particles that a row stands for, shape (T,) or (S,); None for one each.
    """

    multiplicities: np.ndarray
    jet: Tensor
    counts: Tensor
    slot_rows: Tensor
    slot_mask: Tensor
    row_slots: Tensor
    order: Tensor | None
    places: Tensor | None
    groups: tuple[Group, ...]
    one_block: bool = False
    in_slots: bool = False
    row_weight: Tensor | None = None

    @classmethod
    def build(cls, offsets: Tensor, *, one_block: bool = False) -> Packing:
        """Plan the blocks of jets whose rows are ``offsets[i]:offsets[i + 1]``, shape (B + 1,).

        Offsets that lie on a device are copied from it, which waits: plan before the batch goes there.
        """
        return cls.plan(np.diff(offsets.cpu().numpy()), one_block=one_block)

    @classmethod
    def plan(cls, multiplicities: np.ndarray | Sequence[int], *, one_block: bool = False) -> Packing:
        """Plan the blocks of jets with these numbers of rows, each at least one."""
        counts = np.asarray(multiplicities, dtype=np.int64)
        lengths = -(-counts // LENGTH_STEP) * LENGTH_STEP
        if one_block:
            lengths = _block_lengths(counts)
        order = np.argsort(lengths, kind="stable")
        places = np.argsort(order)
        first_slots = _starts(lengths[order])[places]
        first_rows, rows = _starts(counts), np.arange(counts.sum())
        row_slots = rows + np.repeat(first_slots - first_rows, counts)
        slot_rows = np.repeat(first_rows[order], lengths[order])
        slot_rows[row_slots] = rows
        slot_mask = np.zeros(len(slot_rows), dtype=bool)
        slot_mask[row_slots] = True
        is_sorted = bool((order[1:] > order[:-1]).all())
        arrays = (np.repeat(np.arange(len(counts)), counts), counts.astype(np.float32), slot_rows, slot_mask)
        return cls(
            counts,
            *(torch.from_numpy(array) for array in (*arrays, row_slots)),
            *((None, None) if is_sorted else (torch.from_numpy(order), torch.from_numpy(places))),
            tuple(_groups(counts[order], lengths[order])),
            one_block,
        )

    @classmethod
    def stack(cls, packings: Sequence[Packing]) -> Packing:
        """Plan of several batches one behind the other."""
        first = packings[0]
        counts = np.concatenate([packing.multiplicities for packing in packings])
        is_alike = all(p.groups == first.groups and p.one_block and p.row_weight is None for p in packings)
        if not is_alike or len(first.groups) > 1:  # planned anew on the host
            return cls.plan(counts, one_block=first.one_block).to(first.jet.device)
        shifts = [
            (i * first.n_jets, i * first.n_rows, i * len(first.slot_rows)) for i in range(len(packings))
        ]
        columns = [
            (p.jet + jets, p.counts, p.slot_rows + rows, p.slot_mask, p.row_slots + slots)
            for p, (jets, rows, slots) in zip(packings, shifts, strict=True)
        ]
        group, n = first.groups[0], len(packings)
        whole = group._replace(n_jets=n * group.n_jets, n_pairs=n * group.n_pairs)
        return cls(counts, *map(torch.cat, zip(*columns, strict=True)), None, None, (whole,), True)

    @property
    def n_jets(self) -> int:
        """Number of jets B."""
        return len(self.multiplicities)

    @property
    def n_rows(self) -> int:
        """Number of rows: T, or S where rows are slots."""
        return len(self.slot_mask if self.in_slots else self.jet)

    @cached
    def slotted(self) -> Packing:
        """The same jets with their slots taken for rows, (S, d): `to_slots` and `from_slots` do nothing."""
        if self.in_slots:
            return self
        weight = None if self.row_weight is None else self.row_weight.index_select(0, self.slot_rows)
        return dataclasses.replace(self, in_slots=True, row_weight=weight)

    @property
    def inner(self) -> Packing:
        """The layout of the rows inside a network: slots on an accelerator, particles on a CPU."""
        return self.slotted if self.one_block else self

    def enter(self, rows: Tensor) -> Tensor:
        """Lay rows (T, ...) out for the inside of a network."""
        return self.to_slots(rows) if self.one_block else rows

    def leave(self, rows: Tensor) -> Tensor:
        """Return the particles' rows (T, ...) from the inside of a network."""
        return self.from_slots(rows) if self.one_block else rows

    def with_leads(self, n_leads: int) -> Packing:
        """The same jets with ``n_leads`` slots in front of each; rows are slots there (see `join_leads`)."""
        n, shapes = n_leads, self.groups
        groups = [g._replace(start=g.start + n * g.first, length=g.length + n) for g in shapes]
        mask = self.join_leads(self.slot_mask.new_ones(self.n_jets, n), self.slot_mask)
        weight = self.slotted.row_weight
        if weight is not None:
            weight = self.join_leads(weight.new_ones(self.n_jets, n), weight)
        changes = {
            "groups": tuple(groups),
            "slot_mask": mask,
            "counts": self.counts + n,
            "row_weight": weight,
        }
        return dataclasses.replace(self, in_slots=True, **changes)

    def join_leads(self, leads: Tensor, slots: Tensor) -> Tensor:
        """Put ``leads`` (B, n, ...) in front of each jet's slots (S, ...)."""
        pairs = zip(self.by_group(leads), self.split(slots), strict=True)
        return self.join([torch.cat(pair, 1) for pair in pairs])

    @cached
    def with_token(self) -> Packing:
        """The same jets with one more row each (a class token): in front, or as rows T to T + B - 1."""
        if self.in_slots:
            return self.with_leads(1)
        tokens = torch.arange(self.n_jets, device=self.jet.device)
        wider = self.with_leads(1)
        places = tokens if self.places is None else self.places
        starts = self.row_slots.index_select(0, self.first_rows)  # of each jet
        slot_rows = self.join_leads(self.n_rows + tokens[:, None], self.slot_rows)
        row_slots = torch.cat([self.row_slots + 1 + self.to_rows(places), starts + places])
        weight = self.row_weight
        if weight is not None:
            weight = torch.cat([weight, weight.new_ones(self.n_jets)])
        changes = {"jet": torch.cat([self.jet, tokens]), "slot_rows": slot_rows, "row_slots": row_slots}
        return dataclasses.replace(wider, in_slots=False, row_weight=weight, **changes)

    def join_token(self, rows: Tensor, token: Tensor) -> Tensor:
        """Rows of `with_token` from rows and tokens (B, d)."""
        return self.join_leads(token[:, None], rows) if self.in_slots else torch.cat([rows, token])

    @cached
    def first_rows(self) -> Tensor:
        """First row of each jet, shape (B,)."""
        return self.in_jet_order(join([part[:, 0] for part in self.split(self.slot_rows)]))

    def firsts(self, rows: Tensor) -> Tensor:
        """Row in the first slot of each jet, in block order: (rows, d) to (B, d)."""
        if self.in_slots:
            return join([part[:, 0] for part in self.split(rows)])
        return rows.index_select(0, self.in_block_order(self.first_rows))

    def in_block_order(self, values: Tensor) -> Tensor:
        """Sort values of the jets (B, ...) as the blocks do."""
        return values if self.order is None else values.index_select(0, self.order)

    def in_jet_order(self, values: Tensor) -> Tensor:
        """Undo `in_block_order`."""
        return values if self.places is None else values.index_select(0, self.places)

    def by_group(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of the jets (B, ...) for each block, (G, ...)."""
        values = self.in_block_order(values)
        return values.split([g.n_jets for g in self.groups]) if len(self.groups) > 1 else (values,)

    def split(self, slots: Tensor) -> list[Tensor]:
        """Cut an array over slots, (S, ...), into the blocks (G, m, ...)."""
        parts = slots.split([g.n_slots for g in self.groups]) if len(self.groups) > 1 else [slots]
        return [p.unflatten(0, (g.n_jets, g.length)) for p, g in zip(parts, self.groups, strict=True)]

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """Undo `split`."""
        return join([block.flatten(0, 1) for block in blocks])

    @cached
    def masks(self) -> list[Tensor]:
        """True where a slot holds a row, (G, m) for each block."""
        return self.split(self.slot_mask)

    @cached
    def key_biases(self) -> list[Tensor | None]:
        """Additive attention logits (G, 1, 1, m) of each block: -inf in empty slots, ln of a row's weight.

        None where nothing is to be added.
        """
        if self.row_weight is not None:
            weight = self.row_weight if self.in_slots else self.row_weight.index_select(0, self.slot_rows)
            logarithm = weight.log().masked_fill(~self.slot_mask, -torch.inf)
            return [bias[:, None, None] for bias in self.split(logarithm)]
        zero = torch.zeros((), device=self.slot_mask.device)
        pairs = zip(self.groups, self.masks, strict=True)
        return [None if g.is_full else torch.where(m, zero, -torch.inf)[:, None, None] for g, m in pairs]

    @cached
    def pairs(self) -> list[Pairs]:
        """The pairs of particles in each block."""
        starts = (self.by_group(values) for values in (self.first_rows, self.counts.long()))
        return [_pairs(group, *of_jets) for group, *of_jets in zip(self.groups, *starts, strict=True)]

    def edges(self, n_neighbors: int) -> Tensor:
        """Used places of the flattened (T, K) neighbours, nearest first: the first n - 1 of each row."""
        used = np.minimum(np.repeat(self.multiplicities, self.multiplicities) - 1, n_neighbors)
        places = np.flatnonzero(np.arange(n_neighbors) < used[:, None])
        return torch.from_numpy(places).to(self.jet.device, non_blocking=True)

    @cached
    def shares(self) -> Tensor:
        """Share of each slot in the mean over its jet, shape (S,): zero in empty slots."""
        weight = self.slot_mask if self.row_weight is None else self.row_weight * self.slot_mask
        return weight / self.to_rows(self.counts)

    def shares_of(self, width: int) -> Tensor:
        """Share of each number of a slot in the mean over all of its jet, and its root, shape (S, 2)."""
        made = {} if torch.compiler.is_compiling() else self.__dict__.setdefault("_shares", {})
        if width not in made:
            share = self.shares / width
            made[width] = torch.stack([share, share.sqrt()], 1)
        return made[width]

    def sum_rows(self, values: Tensor) -> Tensor:
        """Add the rows of each jet: (rows, ...) to (B, ...)."""
        if not self.in_slots:
            return values.new_zeros(self.n_jets, *values.shape[1:]).index_add_(0, self.jet, values)
        values = values * self.slot_mask.view(-1, *[1] * (values.dim() - 1))
        return self.in_jet_order(join([part.sum(1) for part in self.split(values)]))

    def to_rows(self, values: Tensor) -> Tensor:
        """Repeat each jet's value for its rows: (B, ...) to (rows, ...)."""
        if not self.in_slots:
            return values.index_select(0, self.jet)
        pairs = zip(self.by_group(values), self.groups, strict=True)
        return self.join([v[:, None].expand(-1, g.length, *v.shape[1:]) for v, g in pairs])

    def to_slots(self, values: Tensor) -> Tensor:
        """Lay rows out in slots: (T, ...) to (S, ...); empty slots repeat a row of their jet."""
        return values if self.in_slots else _ToSlots.apply(values, self.slot_rows, self.row_slots)

    def from_slots(self, values: Tensor) -> Tensor:
        """Collect rows from slots: (S, ...) to (T, ...)."""
        if self.in_slots:
            return values
        return _FromSlots.apply(values, self.slot_rows, self.row_slots, self.slot_mask)

    def pin_memory(self) -> Packing:
        """Copy to page-locked memory, from where a device fetches without stopping the host."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Packing:
        """Copy to a device."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def _each(self, change: Any) -> Packing:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **changed)


class Sequences:
    """The layout of G sequences of one length, rows (G, m, ...): one block, and nothing to gather."""

    def to_slots(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows

    from_slots = to_slots

    def split(self, rows: Tensor) -> list[Tensor]:
        """Return the one block."""
        return [rows]

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """Undo `split`."""
        return blocks[0]


def join(parts: Sequence[Tensor]) -> Tensor:
    """Put tensors one behind the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _pairs(group: Group, first_rows: Tensor, counts: Tensor) -> Pairs:
    """Pair p of a jet is (i, j) with p = i (i - 1) / 2 + j, j < i: the same numbers for every length."""
    device, length = counts.device, group.length
    n_each = counts * (counts - 1) // 2
    starts = n_each.cumsum(0) - n_each
    jet = torch.repeat_interleave(n_each, output_size=group.n_pairs)
    number = torch.arange(group.n_pairs, device=device) - starts.index_select(0, jet)
    row, column = (i.index_select(0, number) for i in torch.tril_indices(length, length, -1, device=device))
    first = first_rows.index_select(0, jet)
    place = torch.arange(length, device=device)
    high, low = torch.maximum(place, place[:, None]), torch.minimum(place, place[:, None])
    is_pair = (high < counts[:, None, None]) & (high != low)
    table = torch.where(is_pair, starts[:, None, None] + (high * (high - 1) // 2 + low), group.n_pairs)
    return Pairs(first + row, first + column, (jet * length + row) * length + column, table)


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where pieces of these sizes begin."""
    return np.cumsum(sizes) - sizes


def _block_lengths(counts: np.ndarray) -> np.ndarray:
    """Length of each jet's block on an accelerator: the same for all, or two where a few are much longer."""
    longest = padded_length(int(counts.max(initial=1)))
    lengths = np.full_like(counts, longest)
    if lengths.sum() > MOST_SLOTS * counts.sum():
        shorter = [length for length in PADDED_LENGTHS if length < longest]
        cuts = [np.where(counts <= length, length, longest) for length in shorter]
        lengths = min([lengths, *cuts], key=np.sum)
    return lengths


def _groups(counts: np.ndarray, lengths: np.ndarray) -> list[Group]:
    """Blocks of jets that are sorted by length."""
    cuts = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    groups, start = [], 0
    for first, last in zip(cuts, cuts[1:], strict=False):
        held, length = counts[first:last], int(lengths[first])
        n_pairs = int((held * (held - 1) // 2).sum())
        groups.append(Group(start, first, last - first, length, bool((held == length).all()), n_pairs))
        start += groups[-1].n_slots
    return groups


class _ToSlots(torch.autograd.Function):
    """Gather rows into slots; backward gathers too, as every row has exactly one slot."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, slot_rows: Tensor, row_slots: Tensor) -> Tensor:
        ctx.save_for_backward(row_slots)
        return values.index_select(0, slot_rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None


class _FromSlots(torch.autograd.Function):
    """Gather slots into rows; backward leaves zero in empty slots."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, slot_rows: Tensor, row_slots: Tensor, slot_mask: Tensor) -> Tensor:
        ctx.save_for_backward(slot_rows, slot_mask)
        return values.index_select(0, row_slots)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slot_rows, slot_mask = ctx.saved_tensors
        mask = slot_mask.view(-1, *[1] * (gradient.dim() - 1))
        return gradient.index_select(0, slot_rows) * mask, None, None, None
