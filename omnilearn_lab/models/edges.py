"""Neighbour search and edge convolution on packed jets."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models.kernels import is_plain
from omnilearn_lab.models.packing import Group, Packing

CHUNK_NUMBERS = 1 << 18  # numbers per intermediate on CPU: about a core's second-level cache


class Space(NamedTuple):
    """Where points lie: the number of leading features that are coordinates, and the length of their period.

    With a period the space is a torus, and the difference of two points is that of their nearest images.
    """

    n_coordinates: int = 2
    period: float | None = None

    def difference(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``first - second``, shape (..., F); coordinates by minimum image.

        Examples
        --------
        >>> import torch
        >>> one, other = torch.tensor([0.9, 0.0, 5.0]), torch.tensor([-0.9, 0.0, 1.0])
        >>> [round(x, 4) for x in Space(2, period=2.0).difference(one, other).tolist()]
        [-0.2, 0.0, 4.0]
        """
        step = first - second
        if self.period is None:
            return step
        inner, rest = step[..., : self.n_coordinates], step[..., self.n_coordinates :]
        return torch.cat([_nearest_image(inner, self.period), rest], -1)

    def distance(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances, one for points in the same place (with a gradient of zero), and where they are.

        Shapes (...,), the second one bool.
        """
        step = self.difference(first[..., : self.n_coordinates], second[..., : self.n_coordinates])
        square = step.square().sum(-1)
        is_same = square <= 0
        return square.masked_fill(is_same, 1.0).sqrt(), is_same


def _nearest_image(step: Tensor, period: float) -> Tensor:
    return step - period * torch.round(step / period)


PLANE = Space()
"""Of eta and phi."""


class Neighbors(NamedTuple):
    """Row of each neighbour, int64 (T, K), and its share in the mean, float32 (T, K), summing to one.

    Unused places (jets with fewer than K + 1 particles) point to the particle itself with share zero.
    """

    rows: Tensor
    share: Tensor


@torch.no_grad()
def nearest_neighbors(
    points: Tensor,
    packing: Packing,
    *,
    n_neighbors: int,
    in_order: bool = False,
    period: float | None = None,
) -> Neighbors:
    """Find the nearest other particles of the same jet by Euclidean distance.

    A particle is never its own neighbour. In a jet with n <= K particles all n - 1 others are neighbours
    and the mean runs over those; a single particle has none, and its mean is zero. Between neighbours at
    exactly the same distance the choice is arbitrary.

    Parameters
    ----------
    points
        Coordinates, shape (T, D); the search is done in float32 whatever the autocast mode.
    packing
        The jets.
    n_neighbors
        K.
    in_order
        The nearest first, and unused places last.
    period
        Length of the periodic box; None for endless space.

    Returns
    -------
    Neighbors
        Rows and shares, shapes (T, K).

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models.packing import Packing
    >>> points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    >>> nearest_neighbors(points, Packing.build(torch.tensor([0, 3])), n_neighbors=1).rows.flatten().tolist()
    [1, 0, 1]
    """
    with torch.autocast(points.device.type, enabled=False):
        slots = packing.to_slots(points.float())
        distances = [_squared_distance(block, period) for block in packing.split(slots)]
        blocks = zip(packing.groups, distances, packing.masks, strict=True)
        searched = [_search(*block, n_neighbors, in_order) for block in blocks]
    rows, share = (
        torch.cat(column).index_select(0, packing.row_slots) for column in zip(*searched, strict=True)
    )
    return Neighbors(packing.slot_rows.index_select(0, rows.flatten()).view_as(rows), share)


def _search(
    group: Group, distance: Tensor, mask: Tensor, n_neighbors: int, in_order: bool
) -> tuple[Tensor, Tensor]:
    """Return slots of the neighbours and their shares for each slot of a block."""
    if torch.compiler.is_compiling():  # which wants functions without views
        distance = distance.masked_fill(torch.eye(group.length, dtype=torch.bool), torch.inf)
    else:
        distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    if not group.is_full:
        distance.masked_fill_(~mask[:, None, :], torch.inf)
    n_found = min(n_neighbors, group.length)
    nearest = distance.topk(n_found, largest=False, sorted=in_order)
    itself = torch.arange(group.start, group.start + group.n_slots, device=distance.device)
    itself = itself.view(group.n_jets, group.length, 1)
    is_real = nearest.values < torch.inf
    slots = torch.where(is_real, itself[:, :1] + nearest.indices, itself).flatten(0, 1)
    share = (is_real / is_real.sum(-1, keepdim=True).clamp(min=1)).flatten(0, 1)
    missing = n_neighbors - n_found
    if not missing:
        return slots, share
    return torch.cat([slots, itself.flatten(0, 1).expand(-1, missing)], 1), functional.pad(
        share, (0, missing)
    )


def _squared_distance(points: Tensor, period: float | None) -> Tensor:
    """Squared distances, (G, m, D) to (G, m, m); from differences in plane and space, from products above."""
    if points.shape[-1] <= 3 or period is not None:
        steps = (c[:, :, None] - c[:, None, :] for c in points.unbind(-1))
        if period is not None:
            steps = (_nearest_image(step, period) for step in steps)
        return reduce(add, (step.square() for step in steps))
    points = points - points.mean(1, keepdim=True)
    norm = points.square().sum(-1)
    return torch.baddbmm(norm[:, :, None] + norm[:, None, :], points, points.transpose(1, 2), alpha=-2)


class EdgeConvolution(nn.Module):
    """Mean over the K nearest neighbours j of a two-layer network of [x_j - x_i, x_i].

    The first layer acts on every particle once, not on every edge: with W = [W_a, W_b],
    W [x_j - x_i, x_i] + b = W_a x_j + (W_b - W_a) x_i + b.

    Parameters
    ----------
    n_in, n_out
        Columns of input and output; the hidden width is ``2 * n_out``.
    exact_input
        Keep the first layer in float32 under autocast (for coordinates, where differences matter).
    """

    def __init__(self, n_in: int, n_out: int, *, exact_input: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(2 * n_in, 2 * n_out)
        self.second = nn.Linear(2 * n_out, n_out)
        self.exact_input = exact_input

    def forward(self, rows: Tensor, neighbors: Neighbors) -> Tensor:
        """Map (T, n_in) to (T, n_out)."""
        enabled = torch.is_autocast_enabled(rows.device.type) and not self.exact_input
        with torch.autocast(rows.device.type, enabled=enabled):
            difference, center = self.first.weight.chunk(2, 1)
            sent = functional.linear(rows, difference)  # (T, 2 n_out)
            kept = functional.linear(rows, center - difference, self.first.bias)
        if is_plain(rows):
            edges = sent.index_select(0, neighbors.rows.flatten()).view(*neighbors.rows.shape, -1)
            edges = functional.gelu(self.second(functional.gelu(edges + kept[:, None])))
            return (edges * neighbors.share[..., None]).sum(1)
        return _EdgeMean.apply(sent, kept, self.second.weight, self.second.bias, neighbors)


def _compute_dtype(rows: Tensor) -> torch.dtype:
    device = rows.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else rows.dtype


class _EdgeMean(torch.autograd.Function):
    """y_i = sum_j share_ij GELU(W GELU(sent_j + kept_i) + b), in chunks of rows that stay in cache.

    The hidden layer is recomputed in the backward pass; only the second pre-activation is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, sent: Tensor, kept: Tensor, weight: Tensor, bias: Tensor, neighbors: Neighbors
    ) -> Tensor:
        dtype = _compute_dtype(weight)
        weight_c, bias_c = weight.to(dtype), bias.to(dtype)
        out = sent.new_empty(len(sent), len(weight), dtype=torch.promote_types(weight.dtype, dtype))
        saved = []
        for rows in _chunks(sent, neighbors):
            hidden = functional.gelu(_hidden(sent, kept, neighbors, rows).to(dtype))
            before = functional.linear(hidden, weight_c, bias_c)
            share = neighbors.share[rows].to(dtype)
            edges = functional.gelu(before).view(*share.shape, -1).mul_(share[..., None])
            torch.sum(edges, 1, dtype=out.dtype, out=out[rows])
            saved.append(before)
        ctx.save_for_backward(sent, kept, weight, *saved)
        ctx.neighbors, ctx.dtype = neighbors, dtype
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sent, kept, weight, *saved = ctx.saved_tensors
        neighbors, dtype = ctx.neighbors, ctx.dtype
        weight_c, gradient = weight.to(dtype), gradient.to(dtype)
        d_sent, d_kept = torch.zeros_like(sent, dtype=weight.dtype), torch.empty_like(kept)
        d_weight: Tensor | None = None
        d_bias: Tensor | None = None
        for rows, before in zip(_chunks(sent, neighbors), saved, strict=True):
            before_hidden = _hidden(sent, kept, neighbors, rows).to(dtype)
            share = neighbors.share[rows].to(dtype)
            d_edges = (gradient[rows, None] * share[..., None]).flatten(0, 1)
            d_before = torch.ops.aten.gelu_backward(d_edges, before)
            d_weight = _plus(d_weight, (d_before.t() @ functional.gelu(before_hidden)).to(weight.dtype))
            d_bias = _plus(d_bias, d_before.sum(0, dtype=weight.dtype))
            d_hidden = torch.ops.aten.gelu_backward(d_before @ weight_c, before_hidden)
            torch.sum(d_hidden.view(*share.shape, -1), 1, dtype=kept.dtype, out=d_kept[rows])
            d_sent.index_add_(0, neighbors.rows[rows].flatten(), d_hidden.to(d_sent.dtype))
        return d_sent.to(sent.dtype), d_kept, d_weight, d_bias, None


def _plus(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total.add_(part)


def _hidden(sent: Tensor, kept: Tensor, neighbors: Neighbors, rows: slice) -> Tensor:
    """First-layer pre-activation of the edges of some rows, (rows K, width)."""
    index = neighbors.rows[rows]
    edges = sent.index_select(0, index.flatten())
    edges.view(*index.shape, -1).add_(kept[rows, None])
    return edges


def _chunks(sent: Tensor, neighbors: Neighbors) -> list[slice]:
    n_rows, width = sent.shape
    if sent.device.type != "cpu":
        return [slice(0, n_rows)]
    size = max(1, CHUNK_NUMBERS // (width * neighbors.rows.shape[1]))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
