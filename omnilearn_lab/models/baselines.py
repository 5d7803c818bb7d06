"""Other jet taggers, small and readable, to compare with: they train like PET and answer like PET.

They see the particles of a jet and nothing else; PET is also given the pt, eta, mass and multiplicity of
the jet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.attention import Attention
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.edges import Neighbors, nearest_neighbors
from omnilearn_lab.models.kernels import at_least_float32, linear
from omnilearn_lab.models.layers import Codebook, FeedForward
from omnilearn_lab.models.packing import Packing, Sequences
from omnilearn_lab.models.sizes import Count, NamedSizes, Network, Number, Probability, Width
from omnilearn_lab.settings import settings

Widths = Annotated[tuple[Width, ...], Field(min_length=1)]


class Baseline(Network):
    """A classifier of packed jets; subclasses define ``logits``."""

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        raise NotImplementedError

    def classify(self, batch: Batch) -> ClassifierOutput:
        """Class logits (B, C) and no jet quantities (B, 0), in float32."""
        logits = self.logits(batch).float()
        return ClassifierOutput(logits, logits.new_zeros(len(logits), 0))

    forward = classify


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Dense layers with ReLU after each, He-uniform weights, zero biases: (..., first size) to (..., last).

    References
    ----------
    K. He et al., Delving deep into rectifiers, arXiv:1502.01852.

    Examples
    --------
    >>> [layer.out_features for layer in dense([13, 100, 256])[::2]]
    [100, 256]
    """
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layer = nn.Linear(n_in, n_out)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


@settings
class PFNConfig(NamedSizes):
    """Sizes of a `PFN`; the defaults are the paper's.

    Parameters
    ----------
    n_features, n_classes
        Particle inputs F, classes C.
    particle_widths
        Layers of the function Phi of one particle; the last is the latent dimension.
    jet_widths
        Layers of the function of the sum.

    Examples
    --------
    >>> PFNConfig.named("tiny").particle_widths
    (64, 64, 128)
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"particle_widths": (64, 64, 128), "jet_widths": (64, 64)},
        "paper": {},
    }

    n_features: Width = 13
    n_classes: Width = 2
    particle_widths: Widths = (100, 100, 256)
    jet_widths: Widths = (100, 100, 100)


class PFN(Baseline):
    """Deep Sets classifier: logits = F( sum_i Phi(p_i) ) over the particles i of a jet.

    Parameters
    ----------
    config
        Sizes; None for the paper's.

    References
    ----------
    arXiv:1810.05165, eq. 1.3 and section 3.3.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> PFN(PFNConfig.named("tiny", n_classes=5)).classify(batch).logits.shape
    torch.Size([2, 5])
    """

    def __init__(self, config: PFNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PFNConfig()
        self.particle = dense((config.n_features, *config.particle_widths))
        self.jet = dense((config.particle_widths[-1], *config.jet_widths))
        self.out = nn.Linear(config.jet_widths[-1], config.n_classes)

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        latent = batch.packing.sum_rows(self.particle(batch.features).float())
        return self.out(self.jet(latent))


def rows_batch(rows: Tensor) -> Batch:
    """Return a table as a batch in which every jet is one particle.

    Parameters
    ----------
    rows : float Tensor, shape (B, K)
        K observables of B jets.

    Returns
    -------
    Batch
        ``features`` are the rows; trainer and batches then work on tables as they do on jets.

    Examples
    --------
    >>> batch = rows_batch(torch.zeros(3, 2))
    >>> len(batch), tuple(batch.features.shape)
    (3, (3, 2))
    """
    n = len(rows)
    return Batch(rows, rows.new_zeros(n, 2), torch.arange(n + 1), rows.new_zeros(n, 0))


class RowClassifier(nn.Module):
    """One logit per row: standardised columns, then linear layers with GELU between them.

    Parameters
    ----------
    center, scale : float Tensor, shape (K,)
        Subtracted from, and divided out of, the columns; kept with the weights.
    hidden
        Widths of the hidden layers.

    Raises
    ------
    ConfigError
        For a scale that is not positive, or a width below one.

    Examples
    --------
    >>> network = RowClassifier(torch.zeros(2), torch.ones(2), hidden=(8,))
    >>> tuple(network.classify(rows_batch(torch.zeros(5, 2))).logits.shape)
    (5, 1)
    """

    def __init__(self, center: Tensor, scale: Tensor, *, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if not bool((scale > 0).all()) or min(hidden, default=1) < 1:
            raise ConfigError(f"scales {scale.tolist()} and widths {tuple(hidden)} must be positive")
        self.register_buffer("center", center.clone().float())
        self.register_buffer("scale", scale.clone().float())
        widths = [len(center), *hidden]
        layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.GELU())]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def classify(self, batch: Batch) -> ClassifierOutput:
        """Return logits, shape (B, 1), and no regressed jet features, shape (B, 0)."""
        return ClassifierOutput(self.network((batch.features - self.center) / self.scale), batch.jet)


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
            hidden = functional.relu(norm(at_least_float32(linear(hidden, layer.weight))))
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


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: PlainTransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.n_heads)
        self.forward_layer = FeedForward(width, config.ratio * width, width, dropout=config.dropout)

    def forward(
        self, rows: Tensor, packing: Packing | Sequences, biases: Sequence[Tensor | None] | None = None
    ) -> Tensor:
        """Map (T, d) to (T, d); ``biases`` replace those of the packing (see `Attention`)."""
        biases = packing.key_biases if biases is None else biases
        rows = rows + self.attention(self.norm_attention(rows), packing, biases)
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

    def replace_heads(self, *, n_classes: int) -> list[str]:
        """Give the classifier another number of classes; returns the names of what starts anew."""
        if n_classes == self.config.n_classes:
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
