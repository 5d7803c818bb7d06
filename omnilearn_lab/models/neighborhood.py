"""The neighbourhood block of PET v2: each particle seen through its K nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnilearn_lab.models.edges import Neighbors
from omnilearn_lab.models.kernels import FORBIDDEN, at_least_float32
from omnilearn_lab.models.layers_v2 import MLP, Block, in_chunks
from omnilearn_lab.models.pairs import pair_features

__all__ = ["NeighborhoodBlock"]

CHUNK_EDGES = 2560  # edges at a time on CPU


class NeighborhoodBlock(nn.Module):
    """Embed the edges to the K neighbours, let them attend to each other, and average them.

    h_ij = MLP(x_i - x_j [, pair features]), transformer blocks over j for each i, L_i = mean of h_ij over the
    valid neighbours (zero without any).

    Parameters
    ----------
    n_features
        Columns of the particles.
    width, n_heads, n_blocks
        Channels d, heads H, blocks.
    ratio
        Hidden width of the MLPs over d.
    use_pairs
        With the pair features ln m^2, ln dR, ln kT.

    Attributes
    ----------
    recompute : bool
        Compute the edges again in the backward pass instead of keeping them (False): a training step takes a
        third longer and needs much less memory.
    """

    def __init__(
        self, n_features: int, width: int, *, n_heads: int, n_blocks: int, ratio: int, use_pairs: bool
    ) -> None:
        super().__init__()
        self.use_pairs = use_pairs
        self.recompute = False
        self.mlp = MLP(n_features + 3 * use_pairs, ratio * width, width, exact_input=True)
        self.blocks = nn.ModuleList(Block(width, n_heads, ratio) for _ in range(n_blocks))

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
        bias = None if is_valid.all() else torch.where(is_valid, 0.0, FORBIDDEN)[:, None, None, :]
        centers = centers[:, None].expand_as(others)
        edges = centers - others  # (T, K, F)
        if self.use_pairs:
            edges = torch.cat([edges, pair_features(centers, others)], -1)
        edges = at_least_float32(self.mlp(edges))
        for block in self.blocks[:-1]:
            edges = block.attend_short(edges, bias)
            edges = edges + block.mlp(edges)
        return self._mean_of_last(self.blocks[-1], edges, bias, share)

    def _mean_of_last(self, block: Block, edges: Tensor, bias: Tensor | None, share: Tensor) -> Tensor:
        """Last block and mean; the last dense layer acts on the mean, with which it commutes."""
        edges = block.attend_short(edges, bias)
        hidden = block.mlp.hidden(edges)
        mean_edges = _weighted_sum(edges, share)
        mean_hidden = _weighted_sum(hidden, share)
        total = share.sum(1, keepdim=True).round()  # one, or zero for a particle without neighbours
        return mean_edges + block.mlp.output(mean_hidden) * total


def _weighted_sum(values: Tensor, share: Tensor) -> Tensor:
    """Sum over the second axis: (T, K, d) with weights (T, K) to (T, d)."""
    return torch.bmm(share.to(values.dtype)[:, None], values)[:, 0]
