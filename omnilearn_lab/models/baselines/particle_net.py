"""ParticleNet: edge convolutions over a neighbourhood graph that is found anew in every layer.

References
----------
H. Qu, L. Gouskos, ParticleNet: jet tagging via particle clouds, arXiv:1902.08570.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models.baselines.dense import Baseline, Widths
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.edges import Neighbors, nearest_neighbors
from omnilearn_lab.models.kernels import at_least_float32
from omnilearn_lab.models.sizes import Count, NamedSizes, Probability, Width
from omnilearn_lab.settings import settings


@settings
class ParticleNetConfig(NamedSizes):
    """Sizes of a `ParticleNet`; the defaults are the paper's.

    Parameters
    ----------
    n_features, n_classes
        Particle inputs F, classes C.
    n_neighbors
        Neighbours K of every block.
    widths
        Channels of the blocks; each has ``n_layers`` layers of its width.
    n_layers
        Layers in a block.
    jet_width
        Width of the dense layer before the logits.
    dropout
        Dropout before the logits.

    Examples
    --------
    >>> ParticleNetConfig().widths, ParticleNetConfig.named("tiny").widths  # tiny: the paper's "Lite"
    ((64, 128, 256), (32, 64))
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"n_neighbors": 7, "widths": (32, 64), "jet_width": 128},
        "paper": {},
    }

    n_features: Width = 13
    n_classes: Width = 2
    n_neighbors: Count = 16
    widths: Widths = (64, 128, 256)
    n_layers: Count = 3
    jet_width: Width = 256
    dropout: Probability = 0.1


class EdgeBlock(nn.Module):
    """Mean over the neighbours j of a network h of [x_i, x_j - x_i], and a shortcut.

    x'_i = ReLU( mean_j h(x_i, x_j - x_i) + S x_i ), where h is ``n_layers`` times dense, batch norm, ReLU
    and S is dense and batch norm. The first layer acts on every particle once: with W = [W_a, W_b],
    W [x_i, x_j - x_i] = (W_a - W_b) x_i + W_b x_j. A particle without neighbours has mean zero.

    Parameters
    ----------
    n_in, n_out
        Columns of input and output.
    n_layers
        Layers of h.

    References
    ----------
    arXiv:1902.08570, eq. 1 and figure 1.
    """

    def __init__(self, n_in: int, n_out: int, n_layers: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * n_in, n_out, bias=False)  # the norm that follows has the bias
        self.further = nn.ModuleList(nn.Linear(n_out, n_out, bias=False) for _ in range(n_layers - 1))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for _ in range(n_layers))
        self.shortcut = nn.Linear(n_in, n_out, bias=False)
        self.norm_shortcut = nn.BatchNorm1d(n_out)

    def forward(self, rows: Tensor, neighbors: Neighbors, edges: Tensor) -> Tensor:
        """Map (T, n_in) to (T, n_out); ``edges`` (E,) are the used places of the flattened neighbours."""
        n_neighbors = neighbors.rows.shape[1]
        center, other = edges // n_neighbors, neighbors.rows.flatten().index_select(0, edges)
        share = neighbors.share.flatten().index_select(0, edges)
        with torch.autocast(rows.device.type, enabled=False):  # differences of coordinates need all digits
            own, difference = self.first.weight.chunk(2, 1)
            kept, sent = functional.linear(rows, own - difference), functional.linear(rows, difference)
        hidden = kept.index_select(0, center) + sent.index_select(0, other)  # (E, n_out)
        hidden = functional.relu(self.norms[0](at_least_float32(hidden)))
        for layer, norm in zip(self.further, self.norms[1:], strict=True):
            hidden = functional.relu(norm(at_least_float32(layer(hidden))))
        hidden = hidden * share[:, None]
        mean = hidden.new_zeros(len(rows), hidden.shape[1]).index_add_(0, center, hidden)
        return functional.relu(mean + self.norm_shortcut(at_least_float32(self.shortcut(rows))))


class ParticleNet(Baseline):
    """Dynamic graph network: neighbours in the (eta, phi) plane first, then in the learned channels.

    Batch norms see the real particles and edges of a batch, never padding. In evaluation mode a jet's output
    depends on its own particles alone.

    Parameters
    ----------
    config
        Sizes; None for the paper's.

    Examples
    --------
    >>> batch = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> ParticleNet(ParticleNetConfig.named("tiny", n_classes=5)).eval().classify(batch).logits.shape
    torch.Size([2, 5])
    """

    def __init__(self, config: ParticleNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ParticleNetConfig()
        sizes = (config.n_features, *config.widths)
        self.norm = nn.BatchNorm1d(config.n_features)
        self.blocks = nn.ModuleList(
            EdgeBlock(n_in, n_out, config.n_layers) for n_in, n_out in zip(sizes, config.widths, strict=False)
        )
        self.jet = nn.Linear(config.widths[-1], config.jet_width)
        self.out = nn.Linear(config.jet_width, config.n_classes)

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        packing, n_neighbors = batch.packing, self.config.n_neighbors
        edges = packing.edges(n_neighbors)
        rows, points = self.norm(batch.features), batch.points
        for block in self.blocks:
            neighbors = nearest_neighbors(points, packing, n_neighbors=n_neighbors, in_order=True)
            rows = points = block(rows, neighbors, edges)
        mean = packing.sum_rows(rows) / packing.counts[:, None]
        hidden = functional.relu(self.jet(mean))
        return self.out(functional.dropout(hidden, self.config.dropout, self.training))
