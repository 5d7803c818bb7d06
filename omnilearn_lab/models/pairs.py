"""Pairs of particles in PET v2: their features, the attention bias made from them, and neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models.attention import FORBIDDEN
from omnilearn_lab.models.edges import PLANE, Neighbors, Space
from omnilearn_lab.models.kernels import at_least_float32, is_plain, once_differentiable
from omnilearn_lab.models.layers import MLP, Block, in_chunks
from omnilearn_lab.models.packing import Packing, Pairs, Sequences

CHUNK_EDGES = 2560  # edges at a time on CPU
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


def pair_features(first: Tensor, second: Tensor) -> Tensor:
    """Return ln m^2, ln dR and ln kT of particle pairs; zero where the logarithm has no argument.

    m^2 = 2 pt_a pt_b (cosh(deta) - cos(dphi)), dR^2 = deta^2 + dphi^2, kT = min(pt_a, pt_b) dR.

    The difference of cosh and cos loses digits for close particles in float32 (a few percent of ln m^2 at
    dR = 0.001, and zero below 0.0003). The published weights were trained with these values, so they are
    computed in float32 and in this order whatever the autocast mode.

    Parameters
    ----------
    first, second
        deta, dphi, ln(pt / GeV), ln(energy / GeV) of the two particles, shapes (..., 4).

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
    deta, dphi = first[..., 0] - second[..., 0], first[..., 1] - second[..., 1]
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


def _collider(first: Tensor, second: Tensor, space: Space) -> Tensor:
    return pair_features(first, second)


PAIRS: Mapping[str, PairFeatures] = MappingProxyType(
    {
        "collider": PairFeatures(3, _collider),
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
        features = at_least_float32(features)
        return [self._bias(features, pairs) for pairs in packing.pairs]

    def _bias(self, features: Tensor, pairs: Pairs) -> Tensor:
        first, second = (features.index_select(0, rows) for rows in (pairs.first, pairs.second))
        itself = features.new_zeros(1, self.features.n_features)
        values = torch.cat([self.features.of(first, second, self.space), itself])
        recompute = not is_plain(values)  # its hidden layer is wide, its input narrow
        values = at_least_float32(in_chunks(self.mlp, values, recompute=recompute))
        if is_plain(values):
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
    @once_differentiable
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


def with_leads(bias: Tensor, n_leads: int) -> Tensor:
    """Add ``n_leads`` rows and columns of zeros in front of a bias (G, H, m, m).

    Examples
    --------
    >>> import torch
    >>> with_leads(torch.ones(1, 1, 2, 2), 1).sum((0, 1)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    return functional.pad(bias, (n_leads, 0, n_leads, 0))


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

    Attributes
    ----------
    recompute : bool
        Compute the edges again in the backward pass instead of keeping them (False): a training step takes a
        third longer and needs much less memory.
    """

    def __init__(
        self, n_features: int, blocks: Sequence[Block], *, pairs: str | None, space: Space = PLANE
    ) -> None:
        super().__init__()
        self.pairs, self.space = None if pairs is None else PAIRS[pairs], space
        self.recompute = False
        n_hidden, width = blocks[0].mlp.first.weight.shape
        n_pairs = 0 if self.pairs is None else self.pairs.n_features
        self.mlp = MLP(n_features + n_pairs, n_hidden, width, exact_input=True)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Tensor, neighbors: Neighbors) -> Tensor:
        """Map raw particles (T, F) to (T, d)."""
        others = features.index_select(0, neighbors.rows.flatten()).view(*neighbors.rows.shape, -1)
        size = max(1, CHUNK_EDGES // neighbors.rows.shape[1])
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
        if self.pairs is not None:
            edges = torch.cat([edges, self.pairs.of(centers, others, self.space)], -1)
        edges = at_least_float32(self.mlp(edges))
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
