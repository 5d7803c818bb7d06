"""Transformers without edges or pair features: a plain one, and one that tags tracks along with jets.

References
----------
H. Qu, C. Li, S. Qian, Particle Transformer for jet tagging, arXiv:2202.03772 (its "plain" variant has no
pairwise interactions); A. Vaswani et al., Attention is all you need, arXiv:1706.03762.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.attention import Attention
from omnilearn_lab.models.baselines.dense import Baseline
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.layers import FeedForward
from omnilearn_lab.models.packing import Packing
from omnilearn_lab.models.sizes import Count, NamedSizes, Number, Probability, Width, check_heads
from omnilearn_lab.settings import settings

_LARGEST = 30.0  # of the numbers that are exponentiated


@settings
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
        When the heads do not divide the width.

    Examples
    --------
    >>> PlainTransformerConfig.named("tiny", n_classes=5).width
    64
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "n_layers": 5, "n_heads": 4},
        "paper": {},
    }

    n_features: Width = 13
    n_classes: Width = 2
    width: Width = 128
    n_layers: Count = 8
    n_heads: Count = 8
    ratio: Count = 4
    dropout: Probability = 0.1

    def __post_init__(self) -> None:
        check_heads(self.width, self.n_heads)


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
        rows = rows + self.attention(self.norm_attention(rows), packing, packing.key_biases)
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


@settings
class TrackTransformerConfig(NamedSizes):
    """Sizes of a `TrackTransformer`.

    Parameters
    ----------
    n_extra, n_condition
        Further numbers of each track A, and of the jet c.
    n_classes, n_particle_classes
        Classes of jets C, and of tracks; 0 leaves the auxiliary head out.
    width, n_layers, n_heads, dropout
        As in `PlainTransformerConfig`.
    n_features
        Columns of the particles F.

    Raises
    ------
    ConfigError
        When the heads do not divide the width.

    Examples
    --------
    >>> TrackTransformerConfig.named("tiny", n_extra=7).width
    64
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "n_layers": 4, "n_heads": 4},
        "paper": {"width": 256, "n_layers": 4, "n_heads": 8},
    }

    n_extra: Number = 0
    n_condition: Number = 0
    n_classes: Width = 4
    n_particle_classes: Number = 0
    width: Width = 256
    n_layers: Count = 4
    n_heads: Count = 8
    dropout: Probability = 0.0
    n_features: Width = 4

    def __post_init__(self) -> None:
        check_heads(self.width, self.n_heads)


class TrackTransformer(Baseline):
    """A tagger in the manner of GN2: classify jets, and their tracks, from the tracks' parameters.

    Tracks with the jet's numbers attached pass a transformer and an attention pooling. Sizes are smaller than
    GN2's and its third task, on vertices, is left out.

    Reads the batches of a PET v2: ``features``, ``extra`` and ``condition``. It is never told the class of
    the jet.

    Parameters
    ----------
    config
        Sizes; None for the defaults.

    References
    ----------
    ATLAS Collaboration, Transforming jet flavour tagging at ATLAS, arXiv:2505.19689.

    Examples
    --------
    >>> batch = Batch(torch.zeros(3, 4), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 0))
    >>> TrackTransformer(TrackTransformerConfig.named("tiny")).classify(batch).logits.shape
    torch.Size([2, 4])
    """

    def __init__(self, config: TrackTransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TrackTransformerConfig()
        width, n_inputs = config.width, config.n_features + config.n_extra + config.n_condition
        block = PlainTransformerConfig(width=width, n_heads=config.n_heads, dropout=config.dropout, ratio=2)
        self.embedding = FeedForward(n_inputs, 2 * width, width)
        self.blocks = nn.ModuleList(TransformerBlock(block) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 1, bias=False)
        self.classifier = FeedForward(width, 2 * width, config.n_classes)
        n_origins = config.n_particle_classes
        self.tracks = FeedForward(2 * width, 2 * width, n_origins) if n_origins else None

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        return self.classifier(self._pooled(self._rows(batch), batch))

    def classify_all(self, batch: Batch, label: Tensor | None = None) -> tuple[ClassifierOutput, Tensor]:
        """Class logits of jets (B, C) and of tracks (T, track classes); ``label`` is not looked at."""
        if self.tracks is None:
            raise ConfigError("this TrackTransformer was built with n_particle_classes=0: it tags no tracks")
        rows = self._rows(batch)
        jets = self._pooled(rows, batch)
        logits = self.classifier(jets).float()
        tracks = self.tracks(torch.cat([rows, batch.packing.to_rows(jets)], 1)).float()
        return ClassifierOutput(logits, logits.new_zeros(len(logits), 0)), tracks

    def _rows(self, batch: Batch) -> Tensor:
        """Embedding of each track, (T, d)."""
        parts = [batch.features]
        if self.config.n_extra:
            parts.append(_needed(batch.extra, "extra"))
        if self.config.n_condition:
            parts.append(batch.packing.to_rows(_needed(batch.condition, "condition")))
        rows = self.embedding(torch.cat(parts, 1)).float()
        for block in self.blocks:
            rows = block(rows, batch.packing)
        return self.norm(rows).float()

    def _pooled(self, rows: Tensor, batch: Batch) -> Tensor:
        """Mean over the tracks of each jet, weighted by a softmax of one learned number each, (B, d)."""
        packing = batch.packing
        weight = self.attention(rows).float().clamp(-_LARGEST, _LARGEST).exp()
        return packing.sum_rows(weight * rows) / packing.sum_rows(weight)


def _needed(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ConfigError(f"this TrackTransformer needs the field '{name}' of the batch, which has none")
    return value
