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
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import JetsError
from omnilearn_lab.models.edges import Neighbors
from omnilearn_lab.models.layers import modulate
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.packing import Packing
from omnilearn_lab.models.pet import PET, Block, ClassifierOutput, JointOutput, PETConfig


FAR_AWAY = 999.0  # added to the coordinates of padded rows
DISTANCE_OFFSET = 1e-5


class _Ghosts(NamedTuple):
    """Jets with one more row each where there is padding (the last row of the jet)."""

    batch: Batch  # rows T + number of padded jets
    real: Tensor  # (rows, 1): 1.0 for particles, 0.0 for ghosts
    particles: Tensor  # (T,): rows of the particles
    search: Packing  # jets with as many copies of the ghost as a neighbour search can meet
    copies: Tensor  # (search rows,): the row that each search row stands for
    firsts: Tensor  # (rows,): first search row of each row


class PublishedPET(nn.Module):
    """Run the weights of a `PET` the way the published program does, padded rows included.

    Same calls and results as `PET` (rows are particles; padding is never returned).

    Parameters
    ----------
    network
        The weights; its class token should be ``"zero"``, as in the published program.
    padded_length
        P, at least K + 1 and at least the largest multiplicity.

    Examples
    --------
    >>> import torch
    >>> network = PET(PETConfig(width=8, n_layers=1, n_heads=2, class_token="zero"))
    >>> batch = Batch.from_padded(torch.randn(1, 3, 13), torch.ones(1, 3), jet=torch.zeros(1, 4))
    >>> PublishedPET(network, padded_length=20).classify(batch).logits.shape
    torch.Size([1, 10])
    """

    def __init__(self, network: PET, *, padded_length: int = 150) -> None:
        super().__init__()
        least = network.config.n_neighbors + 1
        if padded_length < least:
            raise JetsError(f"padded length {padded_length}: the neighbour search needs {least} or more")
        self.network = network
        self.padded_length = padded_length

    @property
    def config(self) -> PETConfig:
        """Configuration of the network."""
        return self.network.config

    def body(self, batch: Batch, time: Tensor | None = None) -> Tensor:
        """Particle embeddings, (T, d)."""
        ghosts = self._with_ghosts(batch)
        return self._body(ghosts, time)[ghosts.particles]

    def classify(self, batch: Batch, time: Tensor | None = None) -> ClassifierOutput:
        """Class logits (B, C) and jet quantities (B, J)."""
        ghosts = self._with_ghosts(batch)
        return self.network.classifier(self._body(ghosts, time), ghosts.batch)

    forward = classify

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity of perturbed jets, (T, n_diffused)."""
        return self.velocity_columns(batch, time, label)[:, : self.config.n_diffused]

    def velocity_columns(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """All output columns of the generator head, (T, F); only the diffused ones are trained."""
        ghosts = self._with_ghosts(batch)
        rows = self._body(ghosts, time)
        return self._generate(rows, ghosts, time, label)[ghosts.particles]

    def joint(self, clean: Batch, perturbed: Batch, time: Tensor, label: Tensor | None = None) -> JointOutput:
        """Both heads for pretraining, in two passes."""
        ghosts = self._with_ghosts(perturbed)
        rows = self._body(ghosts, time)
        velocity = self._generate(rows, ghosts, time, label)[ghosts.particles, : self.config.n_diffused]
        return JointOutput(self.classify(clean), self.network.classifier(rows, ghosts.batch), velocity)

    def _body(self, ghosts: _Ghosts, time: Tensor | None) -> Tensor:
        body, packing = self.network.body, ghosts.batch.packing
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
            rows = _masked_block(block, rows, ghosts, 0.0)
        return rows + start

    def _generate(self, rows: Tensor, ghosts: _Ghosts, time: Tensor, label: Tensor | None) -> Tensor:
        head, batch = self.network.generator, ghosts.batch
        condition = head.conditioning(batch.jet, time, self.network.one_hot(label))
        stream = batch.packing.to_rows(condition) * ghosts.real
        for block in head.blocks:
            stream = _masked_block(block, stream, ghosts, rows)
        return head.out(head.norm(stream + rows, batch.packing)).float()

    def _with_ghosts(self, batch: Batch) -> _Ghosts:
        counts = batch.counts
        n_padded = self.padded_length - counts
        if int(n_padded.min()) < 0:
            raise JetsError(f"{int(counts.max())} particles do not fit padded length {self.padded_length}")
        offsets = _offsets(counts + n_padded.clamp(max=1))
        plain = Packing.build(offsets)
        real = torch.ones_like(plain.jet, dtype=torch.bool)
        real[(offsets[1:] - 1)[n_padded > 0]] = False
        weight = torch.where(real, 1.0, plain.to_rows(n_padded).float())
        packing = _weigh(plain, weight)
        token_weight = torch.cat([weight, weight.new_ones(len(batch))])
        packing.__dict__["with_token"] = _weigh(plain.with_token, token_weight)
        particles = torch.nonzero(real)[:, 0]
        features, points = (
            value.new_zeros(len(real), value.shape[1]).index_copy(0, particles, value)
            for value in (batch.features, batch.points)
        )
        extended = Batch(features, points, offsets, batch.jet, batch.label, batch.weight)
        extended.__dict__["packing"] = packing
        n_copies = n_padded.clamp(max=self.config.n_neighbors + 1)
        return _Ghosts(extended, real[:, None].float(), particles, *_search_rows(offsets, counts, n_copies))


def _masked_block(block: Block, rows: Tensor, ghosts: _Ghosts, context: Tensor | float) -> Tensor:
    """The transformer block with ghosts as keys and in the norms, but never updated, and zero afterwards."""
    packing = ghosts.batch.packing
    seen = block.norm_attention(rows + context, packing)
    rows = rows + block.scale_attention(block.attention(seen, packing)) * ghosts.real
    return (rows + block.scale_forward(block.forward_layer(block.norm_forward(rows, packing)))) * ghosts.real


def _offsets(counts: Tensor) -> Tensor:
    return functional.pad(counts.cumsum(0), (1, 0))


def _weigh(packing: Packing, weight: Tensor) -> Packing:
    """Let each row stand for ``weight`` (T,) rows."""
    logarithm = weight.log()[packing.slot_rows].masked_fill(~packing.slot_mask, -torch.inf)
    groups = tuple(group._replace(key_bias=group.take(logarithm)) for group in packing.groups)
    return dataclasses.replace(packing, counts=packing.sum_rows(weight), row_weight=weight, groups=groups)


def _search_rows(offsets: Tensor, counts: Tensor, n_copies: Tensor) -> tuple[Packing, Tensor, Tensor]:
    """Jets with ``n_copies`` of the ghost; the row a search row stands for; a row's first search row."""
    search_offsets = _offsets(counts + n_copies)
    search = Packing.build(search_offsets)
    place = torch.arange(search.n_rows) - search.to_rows(search_offsets[:-1])
    copies = search.to_rows(offsets[:-1]) + torch.minimum(place, search.to_rows(counts))
    rows = torch.arange(int(offsets[-1]))
    firsts = torch.searchsorted(copies, rows)
    return search, copies, firsts


@torch.no_grad()
def _neighbors(points: Tensor, ghosts: _Ghosts, n_neighbors: int) -> Neighbors:
    """The K + 1 nearest rows in float32, lower index first, less the first (taken to be the row itself)."""
    search = ghosts.search
    slots = search.to_slots(points.float()[ghosts.copies])
    found = []
    for group in search.groups:
        block = group.take(slots)
        norm = block.square().sum(-1)
        product = block @ block.transpose(1, 2)
        distance = ((norm[:, :, None] - 2 * product) + norm[:, None, :]) + DISTANCE_OFFSET
        distance.masked_fill_(~group.mask[:, None, :], torch.inf)
        order = distance.argsort(dim=-1, stable=True)[:, :, 1 : n_neighbors + 1]
        first = group.start + torch.arange(len(block))[:, None, None] * block.shape[1]
        found.append((order + first).flatten(0, 1))
    nearest = torch.cat(found)[search.row_slots][ghosts.firsts]  # slots, (rows, K)
    rows = ghosts.copies[search.slot_rows[nearest]]
    return Neighbors(rows, points.new_full(rows.shape, 1 / n_neighbors))
