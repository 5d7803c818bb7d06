"""A tagger in the manner of GN2: tracks with the jet's numbers attached, a transformer, attention pooling.

References
----------
ATLAS Collaboration, Transforming jet flavour tagging at ATLAS, arXiv:2505.19689: the network and its second
task on the origin of tracks. Sizes here are smaller and the third task on vertices is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.baselines.common import Baseline, NamedSizes
from omnilearn_lab.models.baselines.transformer import PlainTransformerConfig, TransformerBlock
from omnilearn_lab.models.layers import FeedForward, check_heads
from omnilearn_lab.models.batch import Batch


_LARGEST = 30.0  # of the numbers that are exponentiated


@dataclass(frozen=True)
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

    n_extra: int = 0
    n_condition: int = 0
    n_classes: int = 4
    n_particle_classes: int = 0
    width: int = 256
    n_layers: int = 4
    n_heads: int = 8
    dropout: float = 0.0
    n_features: int = 4

    def __post_init__(self) -> None:
        check_heads(self.width, self.n_heads)


class TrackTransformer(Baseline):
    """Classify jets, and their tracks, from the tracks' parameters.

    Reads the batches of a PET v2: ``features``, ``extra`` and ``condition``. It is never told the class of
    the jet.

    Parameters
    ----------
    config
        Sizes; None for the defaults.

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
