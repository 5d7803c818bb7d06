"""Particles as words of a small vocabulary: to guess hidden ones, and to read and write jets word by word.

References
----------
J. Birk, A. Hallin, G. Kasieczka, OmniJet-alpha, arXiv:2403.05618; M. Leigh et al., arXiv:2409.12589.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.baselines import Baseline, PlainTransformerConfig, TransformerBlock
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.packing import Packing, Sequences
from omnilearn_lab.models.sizes import Count, NamedSizes, Probability, Width, check_heads
from omnilearn_lab.settings import settings

ANGLE_SCALE = 3.0  # of deta and dphi beside ln pt, as in OmniJet-alpha


class Codebook(nn.Module):
    """K points in the space of (3 deta, 3 dphi, ln pt): the code of a particle is that of the nearest point.

    Parameters
    ----------
    n_codes
        Number of points K. They are a buffer, zero until somebody sets ``centers``: not learned by gradient.

    Examples
    --------
    >>> codebook = Codebook(2)
    >>> codebook.centers[1, 2] = 1.0
    >>> codebook.encode(torch.tensor([[0.0, 0.0, 0.1, 9.0], [0.0, 0.0, 0.9, 9.0]])).tolist()
    [0, 1]
    """

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_codes, 3))

    @staticmethod
    def scaled(features: Tensor) -> Tensor:
        """Bring deta, dphi, ln pt (the leading columns, (T, F)) to the space of the points, (T, 3)."""
        return torch.cat([ANGLE_SCALE * features[:, :2], features[:, 2:3]], 1)

    def encode(self, features: Tensor) -> Tensor:
        """Code of each particle, int64, shape (T,), from features (T, F)."""
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(self.scaled(features).float(), self.centers, compute_mode=exact).argmin(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return deta, dphi and ln pt of codes (...), shape (..., 3)."""
        points = self.centers[codes]
        return torch.cat([points[..., :2] / ANGLE_SCALE, points[..., 2:]], -1)


class Hidden(NamedTuple):
    """Jets without some of their particles, and what these were.

    Parameters
    ----------
    visible : Batch
        The same jets, with the particles that are left, in their order.
    places : int64 Tensor, shape (B, M)
        Place of each hidden particle in its whole jet; zero behind the last of a jet.
    slots : int64 Tensor, shape (H,)
        Where the H hidden particles are in the flattened ``places``.
    features : float32 Tensor, shape (H, F)
        What they were.
    """

    visible: Batch
    places: Tensor
    slots: Tensor
    features: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the hidden particles of each jet, (H,) to (B,); zero where none is hidden."""
        sums = values.new_zeros(len(self.places), 2)
        pairs = torch.stack([values, torch.ones_like(values)], 1)
        sums = sums.index_add_(0, self.slots // self.places.shape[1], pairs)
        return sums[:, 0] / sums[:, 1].clamp_min(1)


def hide_particles(batch: Batch, share: float) -> Hidden:
    """Take a share of each jet's particles away at random: at least one, but never the last.

    Examples
    --------
    >>> x = torch.arange(20.0).view(5, 4)
    >>> hidden = hide_particles(Batch(x, x[:, :2], torch.tensor([0, 1, 5]), torch.zeros(2, 0)), 0.5)
    >>> hidden.visible.counts.tolist(), hidden.slots.tolist(), tuple(hidden.features.shape)
    ([1, 2], [2, 3], (2, 4))
    """
    device, counts = batch.features.device, batch.packing.multiplicities
    n_hidden = np.minimum(np.maximum(np.rint(share * counts), 1), counts - 1).astype(np.int64)
    place = np.arange(len(batch.features)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_first = place < np.repeat(n_hidden, counts)
    is_used = np.arange(n_hidden.max(initial=1)) < n_hidden[:, None]
    first, last, slots = (
        torch.from_numpy(np.flatnonzero(x)).to(device) for x in (is_first, ~is_first, is_used)
    )
    score = batch.jet_index + torch.rand(len(place), device=device).double()
    mixed = score.argsort()  # within each jet
    rows, left = mixed[first], mixed[last].sort().values
    places = torch.zeros(is_used.shape, dtype=torch.int64, device=device)
    places.view(-1)[slots] = torch.from_numpy(place).to(device)[rows]
    names = ("features", "points", "pid", "extra", "particle_label", "particle_target")
    kept = {name: None if getattr(batch, name) is None else getattr(batch, name)[left] for name in names}
    packing = Packing.plan(counts - n_hidden, one_block=batch.packing.one_block).to(device)
    offsets = functional.pad(packing.counts.long().cumsum(0), (1, 0))
    visible = dataclasses.replace(batch, offsets=offsets, **kept).keep(packing)
    return Hidden(visible, places, slots, batch.features[rows])


@settings
class TokenTransformerConfig(NamedSizes):
    """Sizes of a `TokenTransformer`; the defaults are OmniJet-alpha's.

    Parameters
    ----------
    n_codes, n_classes
        Codes of a particle K, classes C.
    width, n_layers, n_heads, dropout
        As in `omnilearn_lab.models.PlainTransformerConfig`.

    Raises
    ------
    ConfigError
        When the heads do not divide the width.

    Examples
    --------
    >>> TokenTransformerConfig.named("tiny").n_codes
    512
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"n_codes": 512, "width": 64, "n_layers": 2, "n_heads": 4},
        "paper": {},
    }

    n_codes: Width = 8192
    n_classes: Width = 2
    width: Width = 256
    n_layers: Count = 3
    n_heads: Count = 8
    dropout: Probability = 0.0

    def __post_init__(self) -> None:
        check_heads(self.width, self.n_heads)


class TokenBody(nn.Module):
    """Embed codes, and let each see those before it and itself; no positional encoding.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: TokenTransformerConfig) -> None:
        super().__init__()
        block = PlainTransformerConfig(width=config.width, n_heads=config.n_heads, dropout=config.dropout)
        self.embedding = nn.Embedding(config.n_codes + 1, config.width)
        self.blocks = nn.ModuleList(TransformerBlock(block) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, codes: Tensor, packing: Packing | Sequences) -> Tensor:
        """Map the codes of all slots (S,), or of sequences (G, m), to (S, d) or (G, m, d)."""
        rows = self.embedding(codes)
        lengths = [part.shape[1] for part in packing.split(codes)]
        biases = [rows.new_full((1, 1, n, n), -torch.inf).triu(1) for n in lengths]  # hides empty slots, too
        for block in self.blocks:
            rows = block(rows, packing, biases)
        return self.norm(rows).float()


class TokenTransformer(Baseline):
    """Guess the next particle of a jet from those before it; classify jets with the same body.

    A jet is a start, the codes of its particles in their order (falling pt), and an end. The classifier
    averages a ReLU layer over start and particles; the causal mask stays. Reads the batches of a PET v2
    and sees deta, dphi and ln pt of them. Set ``codebook.centers`` first
    (`omnilearn_lab.tasks.generation.fit_codebook`).

    Parameters
    ----------
    config
        Sizes; None for OmniJet-alpha's, whose 8,192 codes come from a VQ-VAE and not from k-means.

    References
    ----------
    OmniJet-alpha, arXiv:2403.05618, section 3; here the loss leaves padding out.

    Examples
    --------
    >>> batch = Batch(torch.zeros(3, 4), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 0))
    >>> model = TokenTransformer(TokenTransformerConfig.named("tiny", n_classes=5))
    >>> model.classify(batch).logits.shape, model.surprise(batch).shape, model.sample(2, 7).shape
    (torch.Size([2, 5]), torch.Size([2]), torch.Size([2, 7]))
    """

    def __init__(self, config: TokenTransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TokenTransformerConfig()
        self.codebook = Codebook(config.n_codes)
        self.body = TokenBody(config)
        self.next = nn.Linear(config.width, config.n_codes + 1)
        self.pool = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, config.n_classes)

    @property
    def end(self) -> int:
        """The code in front of the first particle and behind the last."""
        return self.config.n_codes

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        rows, _, packing = self._read(batch)
        return self.out(packing.sum_rows(functional.relu(self.pool(rows))) / packing.counts[:, None])

    def surprise(self, batch: Batch) -> Tensor:
        """Minus the logarithm of the probability of all codes of a jet and of its end, (B,)."""
        rows, codes, packing = self._read(batch)
        jets = batch.packing
        blocks = zip(jets.split(codes), jets.masks, strict=True)
        target = [functional.pad(part.where(mask, self.end), (0, 1), value=self.end) for part, mask in blocks]
        entropy = functional.cross_entropy(self.next(rows).float(), packing.join(target), reduction="none")
        return packing.sum_rows(entropy)

    @torch.no_grad()
    def sample(self, n: int, length: int, *, seed: int = 1) -> Tensor:
        """Write n jets of at most ``length`` particles: codes, `end` where there is none, (n, length)."""
        generator = torch.Generator().manual_seed(seed)
        codes = torch.full((n, 1), self.end, device=self.next.weight.device)
        for step in range(length):
            shares = self.next(self.body(codes, Sequences())[:, -1]).float().softmax(-1)
            if step == 0:
                shares[:, self.end] = 0  # a jet has a particle
            new = torch.multinomial(shares.cpu(), 1, generator=generator).to(codes.device)
            has_ended = (codes[:, -1:] == self.end) & (step > 0)
            codes = torch.cat([codes, new.masked_fill(has_ended, self.end)], 1)
        return codes[:, 1:]

    def replace_heads(self, *, n_classes: int | None = None, n_jet_features: int | None = None) -> list[str]:
        """Give the classifier another number of classes; returns the names of what starts anew."""
        if n_jet_features is not None:
            raise ConfigError("a TokenTransformer has no jet features: leave n_jet_features out")
        if n_classes in (None, self.config.n_classes):
            return []
        self.config = dataclasses.replace(self.config, n_classes=n_classes)
        self.out = nn.Linear(self.config.width, n_classes).to(self.out.weight.device)
        return ["out.weight", "out.bias"]

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor, Packing]:
        """Rows of start and particles in slots (S, d), codes in the slots of the particles, the layout."""
        jets = batch.packing
        codes = jets.to_slots(self.codebook.encode(batch.features))
        start = codes.new_full((len(batch), 1), self.end)
        packing = jets.with_leads(1)
        return self.body(jets.join_leads(start, codes), packing), codes, packing
