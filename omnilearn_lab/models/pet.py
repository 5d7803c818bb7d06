"""PET, the Point-Edge Transformer of OmniLearn: one body, a classifier head and a generator head.

Reading order: configuration, body, heads, model. Everything runs on packed jets, so padding does not exist.

References
----------
V. Mikuni, B. Nachman, OmniLearn: a method to simultaneously facilitate all jet physics tasks,
arXiv:2404.16091.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.attention import ATTENTIONS, Attention
from omnilearn_lab.models.batch import Batch, ClassifierOutput, JointOutput
from omnilearn_lab.models.edges import EdgeConvolution, nearest_neighbors
from omnilearn_lab.models.layers import FeedForward, JetNorm, LayerScale, TimeEmbedding, glorot, modulate
from omnilearn_lab.models.packing import Packing
from omnilearn_lab.models.sizes import Count, NamedSizes, Number, Pretrained, Probability, Width, check_choice
from omnilearn_lab.settings import settings


@settings
class PETConfig(NamedSizes):
    """Sizes and choices of a `PET`.

    The defaults follow the paper. Where the paper's text and its program differ, the program's choice is a
    named value: ``class_token="zero"`` (never trained), ``feature_drop=0``, ``label_drop=0`` (never active).

    ``named("tiny")`` runs on two cores, ``named("small")`` is the paper's network.

    Parameters
    ----------
    n_features, n_jet_features, n_classes
        Particle inputs F, jet inputs J, classes C.
    width, n_layers, n_heads
        Channels d, transformer blocks and heads of the body.
    n_neighbors, n_edge_layers
        Neighbours K and edge convolutions.
    n_class_layers, n_generator_layers
        Blocks of the two heads.
    n_targets
        Jet quantities that the classifier head regresses; None for the J jet inputs.
    n_particle_classes
        Classes of a particle (track origin); 0 for no particle head.
    n_diffused
        Leading features that are perturbed and generated.
    layer_scale
        Start value of the residual scales.
    class_token
        ``"trained"`` (paper) or ``"zero"``.
    n_kept_features, feature_drop
        Features from ``n_kept_features`` on (particle identification) are set to zero with this
        probability, for all particles of a jet together, in training.
    label_drop
        Probability that the generator does not see the label of a jet, in training.
    dropout
        Dropout inside the feed-forward layers.
    attention
        Attention of the blocks: a key of `omnilearn_lab.models.attention.ATTENTIONS`.

    Examples
    --------
    >>> PETConfig.named("small", n_classes=2).width
    128
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "n_layers": 4, "n_heads": 4},
        "small": {"width": 128, "n_layers": 8, "n_heads": 4},
    }

    n_features: Width = 13
    n_jet_features: Number = 4
    n_classes: Width = 10
    width: Width = 128
    n_layers: Count = 8
    n_heads: Count = 4
    n_neighbors: Count = 10
    n_edge_layers: Count = 2
    n_class_layers: Count = 2
    n_generator_layers: Count = 2
    n_targets: Number | None = None
    n_particle_classes: Number = 0
    n_diffused: Width = 3
    layer_scale: float = 1e-5
    class_token: Literal["trained", "zero"] = "trained"
    n_kept_features: Number = 7
    feature_drop: Probability = 0.2
    label_drop: Probability = 0.1
    dropout: Probability = 0.0
    attention: str = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("attention", self.attention, ATTENTIONS)
        if self.n_diffused > self.n_features:
            raise ConfigError(f"n_diffused {self.n_diffused} is not in 1 ... n_features {self.n_features}")

    @property
    def n_regressed(self) -> int:
        """Columns of the regression output."""
        return self.n_jet_features if self.n_targets is None else self.n_targets


class Block(nn.Module):
    """Pre-norm transformer block with layer scales: attention among the particles of a jet, then an MLP."""

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_attention, self.norm_forward = JetNorm(width), JetNorm(width)
        self.attention = ATTENTIONS[config.attention](width, config.n_heads)
        self.forward_layer = FeedForward(width, 2 * width, width, dropout=config.dropout)
        self.scale_attention = LayerScale(width, config.layer_scale)
        self.scale_forward = LayerScale(width, config.layer_scale)

    def forward(self, rows: Tensor, packing: Packing, context: Tensor | None = None) -> Tensor:
        """Map (rows, d) to (rows, d); ``context`` is added in front of the attention only."""
        seen = self.norm_attention(rows if context is None else rows + context, packing)
        rows = self.scale_attention(self.attention(seen, packing, packing.key_biases), rows)
        return self.scale_forward(self.forward_layer(self.norm_forward(rows, packing)), rows)


class Body(nn.Module):
    """Embed the particles of a jet: feature and edge embeddings, then transformer blocks.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.embedding = FeedForward(config.n_features, 2 * width, width)
        self.time = TimeEmbedding(width)
        self.time_modulation = nn.Linear(width, 2 * width, bias=False)
        sizes = [config.n_features] + [width] * config.n_edge_layers
        self.edges = nn.ModuleList(
            EdgeConvolution(n_in, width, exact_input=n_in != width) for n_in in sizes[: config.n_edge_layers]
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))

    def forward(self, batch: Batch, time: Tensor | None = None) -> Tensor:
        """Map a batch to particle embeddings (T, d); ``time`` (B,) is None for clean jets."""
        packing = batch.packing
        features = self.drop_features(batch.features, packing)
        rows = self.embed(features)
        if time is not None:
            rows = modulate(rows, functional.gelu(self.time_modulation(self.time(time))).float(), packing)
        rows = rows + self.local(features, batch.points, packing)
        start = rows = packing.enter(rows)
        for block in self.blocks:
            rows = block(rows, packing.inner)
        return packing.leave(rows + start)

    def embed(self, features: Tensor) -> Tensor:
        """Embed each particle on its own: (T, F) to (T, d)."""
        with torch.autocast(features.device.type, enabled=False):  # coordinates keep their full precision
            hidden = functional.gelu(self.embedding.first(features))
        return functional.gelu(self.embedding.second(hidden)).float()

    def local(self, features: Tensor, points: Tensor, packing: Packing) -> Tensor:
        """Edge convolutions: neighbours in the plane first, then in the learned channels."""
        rows = features
        for layer in self.edges:
            near = nearest_neighbors(points, packing, n_neighbors=self.config.n_neighbors)
            rows = layer(rows, near)
            points = rows
        return rows

    def drop_features(self, features: Tensor, packing: Packing) -> Tensor:
        """Set the identification columns of some jets to zero, in training."""
        config = self.config
        if not self.training or config.feature_drop == 0 or config.n_kept_features >= config.n_features:
            return features
        kept = torch.rand(packing.n_jets, 1, device=features.device) >= config.feature_drop
        known, dropped = features.tensor_split([config.n_kept_features], 1)
        return torch.cat([known, dropped * packing.to_rows(kept)], 1)


class ClassBlock(nn.Module):
    """A class token attends to the particles of its jet, then passes an MLP; the particles stay."""

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_attention, self.norm_after, self.norm_forward = (JetNorm(width) for _ in range(3))
        self.attention = Attention(width, config.n_heads)
        self.forward_layer = FeedForward(width, 2 * width, width, dropout=config.dropout)
        self.scale_attention = LayerScale(width, config.layer_scale)
        self.scale_forward = LayerScale(width, config.layer_scale)

    def forward(self, token: Tensor, rows: Tensor, packing: Packing) -> Tensor:
        """Map tokens (B, d) to tokens (B, d), given particles (rows, d)."""
        joined = packing.with_token
        seen = self.norm_attention(packing.join_token(rows, token), joined)
        first = joined.firsts(seen)[:, None]
        update = self.attention.from_tokens(first, seen, joined, joined.key_biases)[:, 0]
        update = self.norm_after.each(packing.in_jet_order(update).float())
        token = self.scale_attention(update, token)
        return self.scale_forward(self.forward_layer(self.norm_forward.each(token)), token)


class ClassifierHead(nn.Module):
    """Class logits and regressed jet quantities from particle embeddings and jet features."""

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Linear(config.n_jet_features, 2 * width)
        token = torch.zeros(1, width)
        if config.class_token == "trained":
            self.token = nn.Parameter(token)
        else:
            self.register_buffer("token", token, persistent=False)
        self.blocks = nn.ModuleList(ClassBlock(config) for _ in range(config.n_class_layers))
        self.norm = JetNorm(width)
        self.logits = nn.Linear(width, config.n_classes)
        self.regression = nn.Linear(width, config.n_regressed)

    def forward(self, rows: Tensor, batch: Batch) -> ClassifierOutput:
        """Map body output (T, d) to logits (B, C) and jet quantities (B, J)."""
        packing, token = batch.packing.inner, self.token.expand(len(batch), -1)
        scale_shift = functional.gelu(self.modulation(batch.jet)).float()
        rows = modulate(batch.packing.enter(rows), scale_shift, packing)
        for block in self.blocks:
            token = block(token, rows, packing)
        token = self.norm.each(token)
        return ClassifierOutput(self.logits(token).float(), self.regression(token).float())


class GeneratorHead(nn.Module):
    """Velocity of each particle from the body output, the time, the jet features and the class."""

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.time = TimeEmbedding(width)
        self.jet = nn.Linear(config.n_jet_features, width)
        self.condition = FeedForward(2 * width, 2 * width, width)
        self.label = nn.Linear(config.n_classes, width, bias=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_generator_layers))
        self.norm = JetNorm(width)
        self.out = nn.Linear(width, config.n_features)

    def forward(self, rows: Tensor, batch: Batch, time: Tensor, label: Tensor | None) -> Tensor:
        """Map body output (T, d), time (B,) and one-hot labels (B, C) to velocities (T, F)."""
        packing, rows = batch.packing.inner, batch.packing.enter(rows)
        stream = packing.to_rows(self.conditioning(batch.jet, time, label))
        for block in self.blocks:
            stream = block(stream, packing, rows)
        return self.out(batch.packing.leave(self.norm(stream + rows, packing))).float()

    def conditioning(self, jet: Tensor, time: Tensor, label: Tensor | None) -> Tensor:
        """What the generator knows about each jet: (B, d)."""
        known = torch.cat([self.time(time), functional.gelu(self.jet(jet))], 1)
        condition = functional.gelu(self.condition(known)).float()
        if label is None:
            return condition
        embedded = self.label(label)
        if self.training and self.config.label_drop:
            kept = torch.rand(len(label), 1, device=label.device) >= self.config.label_drop
            embedded = embedded * kept
        return condition + embedded


class ParticleHead(nn.Module):
    """Class logits of each particle (its origin), from body output and jet features."""

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Linear(config.n_jet_features, 2 * width)
        self.norm = JetNorm(width)
        self.layers = FeedForward(width, 2 * width, config.n_particle_classes, dropout=config.dropout)

    def forward(self, rows: Tensor, batch: Batch) -> Tensor:
        """Map (T, d) to (T, particle classes)."""
        packing = batch.packing.inner
        scale_shift = functional.gelu(self.modulation(batch.jet)).float()
        rows = modulate(batch.packing.enter(rows), scale_shift, packing)
        return self.layers(batch.packing.leave(self.norm(rows, packing))).float()


class PET(Pretrained):
    """Point-Edge Transformer: body, classifier head, generator head, optional particle head.

    A jet's output depends on its own particles alone: not on their order, on other jets of the batch, or on
    any padded length.

    Parameters
    ----------
    config
        Sizes and choices; None for the paper's.

    Examples
    --------
    >>> import torch
    >>> model = PET(PETConfig.named("tiny", n_classes=2))
    >>> mask = torch.tensor([[True, True, False], [True, True, True]])
    >>> batch = Batch.from_padded(torch.randn(2, 3, 13), mask, jet=torch.zeros(2, 4))
    >>> model.classify(batch).logits.shape, model.velocity(batch, torch.rand(2)).shape
    (torch.Size([2, 2]), torch.Size([5, 3]))
    """

    path = "cosine"  # from jets to noise, see `omnilearn_lab.models.diffusion`

    def __init__(self, config: PETConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PETConfig()
        self.body = Body(config)
        self.classifier = ClassifierHead(config)
        self.generator = GeneratorHead(config)
        self.particle = ParticleHead(config) if config.n_particle_classes else None
        self.apply(_reset)

    def embed(self, batch: Batch, time: Tensor | None = None) -> Tensor:
        """Particle embeddings, (T, d): the output of the body."""
        return self.body(batch, time)

    def classify(self, batch: Batch, time: Tensor | None = None) -> ClassifierOutput:
        """Class logits (B, C) and jet quantities (B, J); ``time`` (B,) for perturbed jets."""
        return self.classifier(self.embed(batch, time), batch)

    forward = classify

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (T, n_diffused) of perturbed jets at a time (B,); ``label`` (B,) or one-hot (B, C)."""
        rows = self.embed(batch, time)
        return self.generator(rows, batch, time, self.one_hot(label))[:, : self.config.n_diffused]

    def joint(self, clean: Batch, perturbed: Batch, time: Tensor, label: Tensor | None = None) -> JointOutput:
        """Both heads for pretraining; clean and perturbed jets pass the body and the classifier together."""
        both = Batch.stack([clean, perturbed])
        rows = self.embed(both, torch.cat([torch.zeros_like(time), time]))
        output = self.classifier(rows, both)
        n_jets, n_rows = len(clean), len(clean.features)
        velocity = self.generator(rows[n_rows:], perturbed, time, self.one_hot(label))
        return JointOutput(
            ClassifierOutput(*(part[:n_jets] for part in output)),
            ClassifierOutput(*(part[n_jets:] for part in output)),
            velocity[:, : self.config.n_diffused],
        )

    def classify_particles(self, batch: Batch) -> Tensor:
        """Class logits of each particle, (T, particle classes)."""
        if self.particle is None:
            raise ConfigError("this PET has no particle head: set n_particle_classes in its configuration")
        return self.particle(self.embed(batch), batch)

    def one_hot(self, label: Tensor | None) -> Tensor | None:
        """Class numbers (B,) to float one-hot rows (B, C); rows and None pass unchanged."""
        if label is None or label.dim() == 2:
            return label
        return functional.one_hot(label, self.config.n_classes).float()


def _reset(module: nn.Module) -> None:
    """Glorot-uniform kernels and zero biases for dense layers; attention has bounds of its own."""
    glorot(module)
    if isinstance(module, Attention):  # visited after its dense layers
        module.reset_parameters()
