"""A plain transformer: particles attend to one another, then a mean over them; no edges, no pair features.

References
----------
H. Qu, C. Li, S. Qian, Particle Transformer for jet tagging, arXiv:2202.03772 (its "plain" variant has no
pairwise interactions); A. Vaswani et al., Attention is all you need, arXiv:1706.03762.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.baselines.common import Baseline, NamedSizes
from omnilearn_lab.models.layers import Attention, FeedForward, check_heads
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.packing import Packing



@dataclass(frozen=True)
class PlainTransformerConfig(NamedSizes):
    """Sizes of a `PlainTransformer`; the defaults are those of the plain Particle Transformer.

    Parameters
    ----------
    n_features, n_classes
        Particle inputs F, classes C.
    width, n_layers, n_heads
        Channels d, blocks, heads.
    ratio
        Hidden width of the feed-forward layers over d.
    dropout
        Dropout in the feed-forward layers.

    Raises
    ------
    ConfigError
        When the heads do not divide the width, or the dropout is no probability below one.

    Examples
    --------
    >>> PlainTransformerConfig.named("tiny", n_classes=5).width
    64
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "n_layers": 5, "n_heads": 4},
        "paper": {},
    }

    n_features: int = 13
    n_classes: int = 2
    width: int = 128
    n_layers: int = 8
    n_heads: int = 8
    ratio: int = 4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_heads(self.width, self.n_heads)
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout} is not a probability below one")


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: PlainTransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.n_heads)
        self.forward_layer = FeedForward(width, config.ratio * width, width, dropout=config.dropout)

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Map (T, d) to (T, d)."""
        rows = rows + self.attention(self.norm_attention(rows), packing)
        return rows + self.forward_layer(self.norm_forward(rows))


class PlainTransformer(Baseline):
    """Embed each particle, let the particles of a jet attend to one another, average them, classify.

    Parameters
    ----------
    config
        Sizes; None for the defaults.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> PlainTransformer(PlainTransformerConfig.named("tiny", n_classes=5)).classify(batch).logits.shape
    torch.Size([2, 5])
    """

    def __init__(self, config: PlainTransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PlainTransformerConfig()
        self.embedding = FeedForward(config.n_features, 2 * config.width, config.width)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.n_classes)

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        packing = batch.packing
        rows = self.embedding(batch.features).float()
        for block in self.blocks:
            rows = block(rows, packing)
        mean = packing.sum_rows(self.norm(rows).float()) / packing.counts[:, None]
        return self.out(mean)
