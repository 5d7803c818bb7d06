"""PET with the padding of the published program, one weighted row for all padding of a jet.

In the published PET padded rows take part: they are neighbours, keys and values, they count in the norms,
and they leave the body non-zero. An output therefore depends on the padded length P, which belongs to the
weights (150 for the JetClass pretraining). All padded rows of a jet are identical at every stage, so one
*ghost* row that counts P - n times gives the same numbers at the cost of a packed jet: it enters sums with
its weight, attention with the logarithm of its weight, and the neighbour search as often as needed.

References
----------
arXiv:2404.16091 and its published program (weights of 2024).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models.batch import Batch, ClassifierOutput, JointOutput
from omnilearn_lab.models.edges import Neighbors
from omnilearn_lab.models.layers import modulate
from omnilearn_lab.models.packing import Packing
from omnilearn_lab.models.pet import PET, Block, PETConfig
from omnilearn_lab.settings import settings

FAR_AWAY = 999.0  # added to the coordinates of padded rows
DISTANCE_OFFSET = 1e-5


@settings
class PublishedPETConfig(PETConfig):
    """Sizes and choices of a `PublishedPET`: those of a `PET`, and the padded length.

    Parameters
    ----------
    padded_length
        P, at least K + 1 and at least the largest multiplicity; 150 for JetClass.
    """

    padded_length: Annotated[int, Field(gt=0, le=1 << 12)] = 150

    def __post_init__(self) -> None:
        super().__post_init__()
        least = self.n_neighbors + 1
        if self.padded_length < least:
            raise ConfigError(
                f"padded length {self.padded_length}: the neighbour search needs {least} or more"
            )


class _Ghosts(NamedTuple):
    """Jets with one more row each where there is padding (the last row of the jet)."""

    batch: Batch  # rows T + number of padded jets
    real: Tensor  # (rows, 1): 1.0 for particles, 0.0 for ghosts
    particles: Tensor  # (T,): rows of the particles
    search: Packing  # jets with as many copies of the ghost as a neighbour search can meet
    copies: Tensor  # (search rows,): the row that each search row stands for
    firsts: Tensor  # (rows,): first search row of each row


class PublishedPET(PET):
    """A `PET` that works the way the published program does, padded rows included.

    Same parameters, calls and results as `PET` (rows are particles; padding is never returned).

    Parameters
    ----------
    config
        Sizes and padded length; its class token should be ``"zero"``, as in the published program.

    Examples
    --------
    >>> import torch
    >>> config = PublishedPETConfig(width=8, n_layers=1, n_heads=2, class_token="zero", padded_length=20)
    >>> batch = Batch.from_padded(torch.randn(1, 3, 13), torch.ones(1, 3), jet=torch.zeros(1, 4))
    >>> PublishedPET(config).classify(batch).logits.shape
    torch.Size([1, 10])
    """

    def __init__(self, config: PublishedPETConfig | None = None) -> None:
        super().__init__(config or PublishedPETConfig(class_token="zero"))

    @classmethod
    def of(cls, network: PET, *, padded_length: int = 150) -> PublishedPET:
        """Return a network with the weights of another PET (shared, not copied)."""
        sizes = {field.name: getattr(network.config, field.name) for field in dataclasses.fields(PETConfig)}
        made = cls(PublishedPETConfig(**sizes, padded_length=padded_length))
        for name, part in network.named_children():
            setattr(made, name, part)
        return made.train(network.training)

    def embed(self, batch: Batch, time: Tensor | None = None) -> Tensor:
        """Particle embeddings, (T, d)."""
        ghosts = self._with_ghosts(batch)
        return self._body(ghosts, time).index_select(0, ghosts.particles)

    def classify(self, batch: Batch, time: Tensor | None = None) -> ClassifierOutput:
        """Class logits (B, C) and jet quantities (B, J)."""
        ghosts = self._with_ghosts(batch)
        return self.classifier(self._body(ghosts, time), ghosts.batch)

    forward = classify

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity of perturbed jets, (T, n_diffused)."""
        return self.velocity_columns(batch, time, label)[:, : self.config.n_diffused]

    def velocity_columns(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """All output columns of the generator head, (T, F); only the diffused ones are trained."""
        ghosts = self._with_ghosts(batch)
        return self._generate(self._body(ghosts, time), ghosts, time, label)

    def joint(self, clean: Batch, perturbed: Batch, time: Tensor, label: Tensor | None = None) -> JointOutput:
        """Both heads for pretraining, in two passes."""
        ghosts = self._with_ghosts(perturbed)
        rows = self._body(ghosts, time)
        velocity = self._generate(rows, ghosts, time, label)[:, : self.config.n_diffused]
        return JointOutput(self.classify(clean), self.classifier(rows, ghosts.batch), velocity)

    def _body(self, ghosts: _Ghosts, time: Tensor | None) -> Tensor:
        body, packing = self.body, ghosts.batch.packing
        features = body.drop_features(ghosts.batch.features, packing)
        rows = body.embed(features)
        if time is not None:
            moved = modulate(rows, functional.gelu(body.time_modulation(body.time(time))).float(), packing)
            rows = torch.where(ghosts.real > 0, moved, rows)
        local, points = features, ghosts.batch.points
        for layer in body.edges:
            shifted = points + FAR_AWAY * (1 - ghosts.real)
            local = points = layer(local, _neighbors(shifted, ghosts, self.config.n_neighbors))
        start = rows = local + rows
        for block in body.blocks:
            rows = _masked_block(block, rows, ghosts, None)
        return rows + start

    def _generate(self, rows: Tensor, ghosts: _Ghosts, time: Tensor, label: Tensor | None) -> Tensor:
        head, batch = self.generator, ghosts.batch
        condition = head.conditioning(batch.jet, time, self.one_hot(label))
        stream = batch.packing.to_rows(condition) * ghosts.real
        for block in head.blocks:
            stream = _masked_block(block, stream, ghosts, rows)
        return head.out(head.norm(stream + rows, batch.packing)).float().index_select(0, ghosts.particles)

    def _with_ghosts(self, batch: Batch) -> _Ghosts:
        length, counts = self.config.padded_length, batch.packing.multiplicities
        if counts.max() > length:
            raise JetsError(f"{counts.max()} particles do not fit padded length {length}")
        n_padded, device, one_block = length - counts, batch.features.device, batch.packing.one_block
        extended = counts + (n_padded > 0)
        weight = np.ones(extended.sum(), dtype=np.float32)
        last = np.cumsum(extended) - 1
        real = np.ones(len(weight), dtype=bool)
        real[last[n_padded > 0]] = False
        weight[last] = np.maximum(n_padded, 1)
        search, *indices = _search_rows(extended, counts, np.minimum(n_padded, self.config.n_neighbors + 1))
        arrays = (real[:, None].astype(np.float32), weight, np.flatnonzero(real), *indices)
        real_rows, weight, particles, copies, firsts = (
            torch.from_numpy(array).to(device, non_blocking=True) for array in arrays
        )
        packing = dataclasses.replace(
            Packing.plan(extended, one_block=one_block).to(device), row_weight=weight
        )
        packing = dataclasses.replace(packing, counts=torch.full_like(packing.counts, float(length)))
        features, points = (
            value.new_zeros(len(real), value.shape[1]).index_copy(0, particles, value)
            for value in (batch.features, batch.points)
        )
        offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(extended)])).to(device, non_blocking=True)
        with_rows = Batch(features, points, offsets, batch.jet, batch.label, batch.weight).keep(packing)
        search = Packing.plan(search, one_block=one_block).to(device)
        return _Ghosts(with_rows, real_rows, particles, search, copies, firsts)


def _masked_block(block: Block, rows: Tensor, ghosts: _Ghosts, context: Tensor | None) -> Tensor:
    """The transformer block with ghosts as keys and in the norms, but never updated, and zero afterwards."""
    packing = ghosts.batch.packing
    seen = block.norm_attention(rows if context is None else rows + context, packing)
    update = block.attention(seen, packing, packing.key_biases) * ghosts.real
    rows = block.scale_attention(update, rows)
    return block.scale_forward(block.forward_layer(block.norm_forward(rows, packing)), rows) * ghosts.real


def _search_rows(
    extended: np.ndarray, counts: np.ndarray, n_copies: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of jets with copies of the ghost; the row a search row stands for; a row's first search row."""
    n_rows = counts + n_copies
    place = np.arange(n_rows.sum()) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    first = np.repeat(np.cumsum(extended) - extended, n_rows)
    copies = first + np.minimum(place, np.repeat(counts, n_rows))
    return n_rows, copies, np.searchsorted(copies, np.arange(extended.sum()))


@torch.no_grad()
def _neighbors(points: Tensor, ghosts: _Ghosts, n_neighbors: int) -> Neighbors:
    """The K + 1 nearest rows in float32, lower index first, less the first (taken to be the row itself)."""
    search, blocks = ghosts.search, []
    slots = search.to_slots(points.float().index_select(0, ghosts.copies))
    for group, mask, block in zip(search.groups, search.masks, search.split(slots), strict=True):
        norm = block.square().sum(-1)
        product = block @ block.transpose(1, 2)
        distance = ((norm[:, :, None] - 2 * product) + norm[:, None, :]) + DISTANCE_OFFSET
        distance.masked_fill_(~mask[:, None, :], torch.inf)
        order = distance.argsort(dim=-1, stable=True)[:, :, 1 : n_neighbors + 1]
        first = group.start + torch.arange(len(block), device=block.device)[:, None, None] * group.length
        blocks.append((order + first).flatten(0, 1))
    nearest = torch.cat(blocks).index_select(0, search.row_slots).index_select(0, ghosts.firsts)  # (rows, K)
    rows = ghosts.copies.index_select(0, search.slot_rows.index_select(0, nearest.flatten()))
    return Neighbors(rows.view_as(nearest), points.new_full(nearest.shape, 1 / n_neighbors))
