"""Pairs of particles: neighbour search, edge convolution, and the pair features and biases of PET v2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models import kernels
from omnilearn_lab.models.attention import FORBIDDEN
from omnilearn_lab.models.layers import MLP, Block, in_chunks
from omnilearn_lab.models.packing import Group, Packing, Pairs, Sequences

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
    points: Tensor, packing: Packing, *, n_neighbors: int, in_order: bool = False, period: float | None = None
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
            sent = kernels.linear(rows, difference)  # (T, 2 n_out)
            kept = kernels.linear(rows, center - difference, self.first.bias)
        if kernels.is_plain(rows):
            edges = sent.index_select(0, neighbors.rows.flatten()).view(*neighbors.rows.shape, -1)
            edges = functional.gelu(self.second(functional.gelu(edges + kept[:, None])))
            return (edges * neighbors.share[..., None]).sum(1)
        return _EdgeMean.apply(sent, kept, self.second.weight, self.second.bias, neighbors)


class _EdgeMean(torch.autograd.Function):
    """y_i = sum_j share_ij GELU(W GELU(sent_j + kept_i) + b), in chunks of rows that stay in cache.

    The hidden layer is recomputed in the backward pass; only the second pre-activation is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, sent: Tensor, kept: Tensor, weight: Tensor, bias: Tensor, neighbors: Neighbors
    ) -> Tensor:
        dtype = kernels.compute_dtype(weight)
        weight_c, bias_c = weight.to(dtype), bias.to(dtype)
        out = sent.new_empty(len(sent), len(weight), dtype=torch.promote_types(weight.dtype, dtype))
        saved = []
        for rows in _chunks(sent, neighbors):
            hidden = functional.gelu(_hidden(sent, kept, neighbors, rows).to(dtype))
            before = kernels.product(hidden, weight_c, bias_c)
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
            of_weight = kernels.weight_gradient(functional.gelu(before_hidden), d_before)
            d_weight = _plus(d_weight, of_weight.to(weight.dtype))
            d_bias = _plus(d_bias, d_before.sum(0, dtype=weight.dtype))
            d_hidden = torch.ops.aten.gelu_backward(kernels.product(d_before, weight_c.t()), before_hidden)
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


RADII = (0.5, 5.0, 16)  # first and last centre of the radial functions of atoms [Angstrom], and their number
Z_UNIT = 8.0  # of the nuclear charges in the features of atoms: oxygen's


class PairFeatures(NamedTuple):
    """Symmetric numbers of two particles, zero for a particle with itself: how many, and how to get them."""

    n_features: int
    of: Callable[[Tensor, Tensor, Space], Tensor]


def space_features(first: Tensor, second: Tensor, space: Space) -> Tensor:
    """Return the logarithm of the distance of points, shape (..., 1).

    Examples
    --------
    >>> import torch
    >>> one, other = torch.tensor([0.9, 0.0, 0.0]), torch.tensor([-0.9, 0.0, 0.0])
    >>> round(space_features(one, other, Space(3, period=2.0)).exp().item(), 4)
    0.2
    """
    return space.distance(first, second)[0].log()[..., None]


def molecule_features(first: Tensor, second: Tensor, space: Space) -> Tensor:
    """Return ln r, r / (R + R'), Z Z' / r and sixteen radial Gaussians of atoms, shape (..., 19).

    The two columns after the coordinates [Angstrom] are the covalent radius R [Angstrom] and Z / 8.
    """
    distance, is_same = space.distance(first, second)
    radius, charge = space.n_coordinates, space.n_coordinates + 1
    reduced = distance / (first[..., radius] + second[..., radius])
    repulsion = first[..., charge] * second[..., charge] / distance
    centres = torch.linspace(*RADII, dtype=distance.dtype, device=distance.device)
    width = (RADII[1] - RADII[0]) / (RADII[2] - 1)
    waves = torch.exp(-0.5 * ((distance[..., None] - centres) / width).square())
    values = torch.cat([torch.stack([distance.log(), reduced, repulsion], -1), waves], -1)
    return values.masked_fill(is_same[..., None], 0.0)


def pair_features(first: Tensor, second: Tensor, space: Space = PLANE) -> Tensor:
    """Return ln m^2, ln dR and ln kT of particle pairs; zero where the logarithm has no argument.

    m^2 = 2 pt_a pt_b (cosh(deta) - cos(dphi)), dR^2 = deta^2 + dphi^2, kT = min(pt_a, pt_b) dR.

    The difference of cosh and cos loses digits for close particles in float32 (a few percent of ln m^2 at
    dR = 0.001, and zero below 0.0003). The published weights were trained with these values, so they are
    computed in float32 and in this order whatever the autocast mode.

    Parameters
    ----------
    first, second
        deta, dphi, ln(pt / GeV), ln(energy / GeV) of the two particles, shapes (..., 4).
    space
        Of eta and phi.

    Returns
    -------
    Tensor
        Shape (..., 3), symmetric in the two particles.

    References
    ----------
    H. Qu, C. Li, S. Qian, Particle Transformer for Jet Tagging, arXiv:2202.03772, section 4.

    Examples
    --------
    >>> import torch
    >>> one, other = torch.tensor([0.0, 0.0, 0.0, 0.0]), torch.tensor([0.3, 0.4, 1.0, 1.1])
    >>> [round(value, 4) for value in pair_features(one, other).tolist()]
    [-0.3921, -0.6931, -0.6931]
    """
    deta, dphi = space.difference(first[..., :2], second[..., :2]).unbind(-1)
    pt_first, pt_second = torch.exp(first[..., 2]), torch.exp(second[..., 2])
    mass_squared = 2 * pt_first * pt_second * (torch.cosh(deta) - torch.cos(dphi))
    distance_squared = deta.square() + dphi.square()
    is_one = distance_squared <= 0  # kT is taken for one there: its logarithm is zero
    distance = torch.sqrt(distance_squared.masked_fill(is_one, 1.0))
    kt = (torch.minimum(pt_first, pt_second) * distance).masked_fill(is_one, 1.0)
    return torch.stack([_log(mass_squared), 0.5 * _log(distance_squared), _log(kt)], -1)


def _log(values: Tensor) -> Tensor:
    """Logarithm of positive values, zero for the others; the gradient is finite everywhere."""
    return values.masked_fill(values <= 0, 1.0).log()


PAIRS: Mapping[str, PairFeatures] = MappingProxyType(
    {
        "collider": PairFeatures(3, pair_features),
        "space": PairFeatures(1, space_features),
        "molecule": PairFeatures(3 + RADII[2], molecule_features),
    }
)
"""Pair features by the name that a configuration gives them."""


class PairBias(nn.Module):
    """Additive attention logits from an MLP on pair features, one per head; the same for all blocks.

    The features are symmetric and vanish for a particle with itself, so the MLP runs on each unordered pair
    once, and once for all diagonals.

    Parameters
    ----------
    n_hidden
        Hidden width.
    n_heads
        Heads H.
    pairs
        A key of `PAIRS`.
    space
        Where the particles lie.
    """

    def __init__(self, n_hidden: int, n_heads: int, *, pairs: str = "collider", space: Space = PLANE) -> None:
        super().__init__()
        self.features, self.space = PAIRS[pairs], space
        self.mlp = MLP(self.features.n_features, n_hidden, n_heads, norms="none", exact_input=True)

    def forward(self, features: Tensor, packing: Packing) -> list[Tensor]:
        """Return a bias (G, H, m, m) for each block of ``packing``, from raw particles (T, F)."""
        features = kernels.at_least_float32(features)
        return [self._bias(features, pairs) for pairs in packing.pairs]

    def _bias(self, features: Tensor, pairs: Pairs) -> Tensor:
        first, second = (features.index_select(0, rows) for rows in (pairs.first, pairs.second))
        itself = features.new_zeros(1, self.features.n_features)
        values = torch.cat([self.features.of(first, second, self.space), itself])
        recompute = not kernels.is_plain(values)  # its hidden layer is wide, its input narrow
        values = kernels.at_least_float32(in_chunks(self.mlp, values, recompute=recompute))
        if kernels.is_plain(values):
            return _spread(values, pairs.table)
        return _Symmetric.apply(values, pairs.places, pairs.table)


def _spread(values: Tensor, table: Tensor) -> Tensor:
    """Value of each place, (P + 1, H) to (G, H, m, m)."""
    return values.t().contiguous().index_select(1, table.flatten()).unflatten(1, table.shape).transpose(0, 1)


class _Symmetric(torch.autograd.Function):
    """Spread values of unordered pairs over both halves of a matrix, and one value over everything else.

    The backward pass gathers too, as each pair has two places; nothing flows back from empty slots.
    Input (P + 1, H): the pairs, then the value of all diagonals. Output (G, H, m, m).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return _spread(values, table)

    @staticmethod
    @kernels.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        diagonal = gradient.diagonal(dim1=2, dim2=3).sum((0, 2))
        both = (gradient + gradient.transpose(2, 3)).transpose(0, 1).flatten(1)
        return torch.cat([both.index_select(1, places).t(), diagonal[None]]), None, None


def key_bias(mask: Tensor) -> Tensor:
    """Additive logits (G, 1, 1, m) that leave out the keys where ``mask`` (G, m) is False.

    Examples
    --------
    >>> import torch
    >>> key_bias(torch.tensor([[True, False]])).flatten().tolist()
    [-0.0, -1000000000.0]
    """
    return torch.mul(~mask, FORBIDDEN)[:, None, None, :]


class NeighborhoodBlock(nn.Module):
    """Embed the edges to the K neighbours, let them attend to each other, and average them.

    h_ij = MLP(x_i - x_j [, pair features]), transformer blocks over j for each i, L_i = mean of h_ij over the
    valid neighbours (zero without any).

    Parameters
    ----------
    n_features
        Columns of the particles.
    blocks
        Transformer blocks, at least one; their widths are those of the embedding, too.
    pairs
        Which pair features, a key of `PAIRS`; None for none.
    space
        Where the particles lie.
    use_directions
        Without, the differences of coordinates are zero.

    Attributes
    ----------
    recompute : bool
        Compute the edges again in the backward pass instead of keeping them (False): a training step takes a
        third longer and needs much less memory.
    """

    def __init__(
        self,
        n_features: int,
        blocks: Sequence[Block],
        *,
        pairs: str | None,
        space: Space = PLANE,
        use_directions: bool = True,
    ) -> None:
        super().__init__()
        self.use_directions = use_directions
        self.pairs, self.space = None if pairs is None else PAIRS[pairs], space
        self.recompute = False
        n_hidden, width = blocks[0].mlp.first.weight.shape
        n_pairs = 0 if self.pairs is None else self.pairs.n_features
        self.mlp = MLP(n_features + n_pairs, n_hidden, width, exact_input=True)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Tensor, neighbors: Neighbors) -> Tensor:
        """Map raw particles (T, F) to (T, d)."""
        others = features.index_select(0, neighbors.rows.flatten()).view(*neighbors.rows.shape, -1)
        size = max(1, kernels.CHUNK_ROWS // neighbors.rows.shape[1])
        return in_chunks(
            self._particles, features, others, neighbors.share, size=size, recompute=self.recompute
        )

    def _particles(self, centers: Tensor, others: Tensor, share: Tensor) -> Tensor:
        """Particles (T, F) with neighbours (T, K, F) and their shares in the mean (T, K), to (T, d)."""
        is_valid = share > 0
        is_full = share.device.type == "cpu" and not torch.compiler.is_compiling() and bool(is_valid.all())
        biases = [None if is_full else key_bias(is_valid)]
        centers = centers[:, None].expand_as(others)
        edges = self.space.difference(centers, others)  # (T, K, F)
        if not self.use_directions:
            n_hidden = self.space.n_coordinates
            edges = functional.pad(edges[..., n_hidden:], (n_hidden, 0))
        if self.pairs is not None:
            edges = torch.cat([edges, self.pairs.of(centers, others, self.space)], -1)
        edges = kernels.at_least_float32(self.mlp(edges))
        for block in self.blocks[:-1]:
            edges = block(edges, Sequences(), biases)
        return self._mean_of_last(self.blocks[-1], edges, biases, share)

    def _mean_of_last(
        self, block: Block, edges: Tensor, biases: Sequence[Tensor | None], share: Tensor
    ) -> Tensor:
        """Last block and mean; the last dense layer acts on the mean, with which it commutes."""
        edges = block.attend(edges, Sequences(), biases)
        hidden = block.mlp.hidden(edges)
        mean_edges = _weighted_sum(edges, share)
        mean_hidden = _weighted_sum(hidden, share)
        total = share.sum(1, keepdim=True).round()  # one, or zero for a particle without neighbours
        return mean_edges + block.mlp.output(mean_hidden) * total


def _weighted_sum(values: Tensor, share: Tensor) -> Tensor:
    """Sum over the second axis: (T, K, d) with weights (T, K) to (T, d)."""
    return torch.bmm(share.to(values.dtype)[:, None], values)[:, 0]
