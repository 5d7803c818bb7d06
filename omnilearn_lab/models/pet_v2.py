"""PET v2, the network of OmniLearned: neighbourhoods, tokens, pair-biased attention, two heads.

Reading order: configuration, body, heads, model. Inputs are raw: deta, dphi, ln(pt / GeV), ln(energy / GeV).
Everything runs on packed jets, so padding does not exist.

References
----------
V. Mikuni, B. Nachman, OmniLearned: A foundation model framework for all tasks in jet physics,
arXiv:2510.24066.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.attention import ATTENTIONS, Attention
from omnilearn_lab.models.batch import Batch, ClassifierOutput, JointOutput
from omnilearn_lab.models.edges import PAIRS, NeighborhoodBlock, PairBias, Space, key_bias, nearest_neighbors
from omnilearn_lab.models.kernels import at_least_float32
from omnilearn_lab.models.layers import MLP, Block, Codebook, DynamicTanh, TimeWaves, glorot
from omnilearn_lab.models.packing import Packing, join
from omnilearn_lab.models.sizes import Count, NamedSizes, Number, Pretrained, Probability, Width, check_choice
from omnilearn_lab.settings import settings

TOKEN_SPREAD = 0.02
N_PLACES = 128  # of hidden particles in their jet; all further ones share the last
_PER_PARTICLE = ("ftag", "segmentation", "particle_regression")


@settings
class PETv2Config(NamedSizes):
    """Sizes and choices of a `PETv2`.

    ``named("tiny")`` runs on two cores; ``"small"``, ``"medium"`` and ``"large"`` are the published sizes.

    Parameters
    ----------
    mode
        ``"classifier"``, ``"regression"``, ``"generator"``, ``"pretrain"`` (class and generation together),
        ``"ftag"`` (class of the jet and of each particle), ``"segmentation"`` (class of each particle),
        ``"particle_regression"`` (numbers of each particle) or ``"masked"`` (hidden particles only).
    n_classes
        Classes C, or regressed numbers.
    width, n_layers, n_heads
        Channels d, transformer blocks and heads of the body.
    n_head_layers
        Blocks of each head and of the neighbourhood block.
    n_tokens, n_neighbors, ratio
        Class tokens, neighbours K, hidden width of the MLPs over d.
    use_pair_bias
        Attention bias from pair features.
    use_local_pairs
        Pair features in the neighbourhood block; None: as ``use_pair_bias``.
    n_species
        Size of the species table, entry zero included; 0 for no species input.
    n_extra, n_condition
        Further numbers of each particle A, and of each jet c; 0 for none.
    n_particle_classes
        Classes of a particle, in the modes ``"ftag"`` and ``"segmentation"``, or its regressed numbers.
    n_features
        Columns of the particles, the generated ones.
    n_coordinates
        Leading features that are coordinates: 2 in the plane of eta and phi, 3 in space.
    period
        Length of a periodic box; neighbours and pairs are then those of the nearest images.
    pairs
        Pair features, a key of `omnilearn_lab.models.edges.PAIRS`.
    n_codes
        Codes of which the hidden particles are guessed, in pretraining; 0 for no such head.
    use_positions
        The embedding sees the coordinates themselves; without, only differences count, and moving all
        particles together changes nothing.
    use_directions
        The neighbourhood block sees the difference to each neighbour; without it and without positions only
        distances count, and turning all particles together changes nothing.
    feature_drop
        Probability that the species of a jet, and its extra numbers, are left out, in training.
    attention
        Attention of the blocks: a key of `omnilearn_lab.models.attention.ATTENTIONS`.

    Examples
    --------
    >>> PETv2Config.named("small", n_classes=2).width
    128
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 64, "n_layers": 4, "n_head_layers": 2, "n_heads": 4},
        "small": {"width": 128, "n_layers": 8, "n_head_layers": 2, "n_heads": 8},
        "medium": {"width": 512, "n_layers": 12, "n_head_layers": 2, "n_heads": 16},
        "large": {"width": 1024, "n_layers": 28, "n_head_layers": 4, "n_heads": 32},
    }

    mode: Literal[
        "classifier", "regression", "generator", "pretrain", "ftag", "segmentation", "particle_regression",
        "masked",
    ] = "classifier"  # fmt: skip
    n_classes: Width = 2
    width: Width = 128
    n_layers: Count = 8
    n_heads: Count = 8
    n_head_layers: Count = 2
    n_tokens: Count = 4
    n_neighbors: Count = 10
    ratio: Count = 2
    use_pair_bias: bool = True
    use_local_pairs: bool | None = None
    n_species: Number = 0
    n_extra: Number = 0
    n_condition: Number = 0
    n_particle_classes: Number = 0
    n_features: Width = 4
    feature_drop: Probability = 0.0
    attention: str = "softmax"
    n_coordinates: Literal[2, 3] = 2
    period: Annotated[float, Field(gt=0)] | None = None
    pairs: str = "collider"
    use_positions: bool = True
    n_codes: Number = 0
    use_directions: bool = True

    def __post_init__(self) -> None:
        if self.mode == "masked" and self.n_codes == 0:
            raise ConfigError("mode 'masked' guesses the codes of hidden particles: n_codes must be positive")
        check_choice("attention", self.attention, ATTENTIONS)
        check_choice("pairs", self.pairs, PAIRS)
        if self.pairs == "collider" and (self.n_coordinates, self.period) != (2, None):
            raise ConfigError("pairs 'collider' are those of eta and phi: choose 'space' or 'molecule'")
        super().__post_init__()
        if self.tags_particles != (self.n_particle_classes > 0):
            raise ConfigError(
                f"n_particle_classes is {self.n_particle_classes} in mode '{self.mode}': it must be positive "
                f"in the modes {', '.join(map(repr, _PER_PARTICLE))}, zero in the others"
            )

    @property
    def n_diffused(self) -> int:
        """Generated columns: all of the features."""
        return self.n_features

    @property
    def uses_time(self) -> bool:
        """The body has a time token."""
        return self.mode in ("generator", "pretrain")

    @property
    def tags_particles(self) -> bool:
        """The generator head classifies particles, or regresses their numbers."""
        return self.mode in _PER_PARTICLE

    @property
    def has_classifier(self) -> bool:
        """There is a classifier head."""
        return self.mode in ("classifier", "regression", "pretrain", "ftag")

    @property
    def has_generator(self) -> bool:
        """There is a head with one output per particle."""
        return self.mode in ("generator", "pretrain", *_PER_PARTICLE)

    @property
    def has_label_row(self) -> bool:
        """The generator head sees the label of the jet."""
        return self.mode in ("generator", "pretrain", "ftag") and self.n_classes > 1

    @property
    def has_local_pairs(self) -> bool:
        """The neighbourhood block uses pair features."""
        return self.use_pair_bias if self.use_local_pairs is None else self.use_local_pairs

    @property
    def space(self) -> Space:
        """Where the particles lie."""
        return Space(self.n_coordinates, self.period)


class Encoded(NamedTuple):
    """Output of the body, in slots: tokens, time, condition, then the particles of each jet.

    ``slots`` (S, d) are laid out by ``packing``, where rows are slots and the first ``n_leads`` of each jet
    are no particles; ``is_valid`` (S,) is False in empty slots and for the time token at t = 0; ``jets`` is
    the packing of the particles alone.
    """

    slots: Tensor
    packing: Packing
    is_valid: Tensor
    n_leads: int
    jets: Packing

    def particles(self) -> Tensor:
        """Embedding of each particle, (T, d)."""
        blocks = [part[:, self.n_leads :] for part in self.packing.split(self.slots)]
        return self.jets.from_slots(self.jets.join(blocks))

    def leads(self) -> Tensor:
        """Embeddings of tokens, time (zero at t = 0) and condition, (B, n_leads, d)."""
        parts = self.packing.split(self.slots * self.is_valid[:, None])
        return self.jets.in_jet_order(join([part[:, : self.n_leads] for part in parts]))

    def key_biases(self) -> list[Tensor]:
        """Additive attention logits of each block of jets that leave out what is not valid."""
        return [key_bias(mask) for mask in self.packing.split(self.is_valid)]


class BodyV2(nn.Module):
    """Embed the particles of a jet together with its tokens.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: PETv2Config) -> None:
        super().__init__()
        width, ratio = config.width, config.ratio
        self.config = config
        self.token = nn.Parameter(torch.empty(1, config.n_tokens, width))
        raw = partial(MLP, exact_input=True)
        self.embedding = raw(config.n_features, ratio * width, width, norms="both")
        block = partial(Block, width, config.n_heads, ratio, attention=config.attention)
        local = [block() for _ in range(config.n_head_layers)]
        where = {"pairs": config.pairs, "space": config.space}
        seen = where if config.has_local_pairs else where | {"pairs": None}
        self.local = NeighborhoodBlock(config.n_features, local, **seen, use_directions=config.use_directions)
        self.pair_bias = PairBias(ratio * width, config.n_heads, **where) if config.use_pair_bias else None
        self.condition = raw(config.n_condition, width, width) if config.n_condition else None
        self.time = TimeWaves(width, ratio) if config.uses_time else None
        self.extra = raw(config.n_extra, ratio * width, width, bias=False) if config.n_extra else None
        self.species = nn.Embedding(config.n_species, width, padding_idx=0) if config.n_species else None
        self.blocks = nn.ModuleList(block() for _ in range(config.n_layers))
        self.norm = DynamicTanh(width)

    def forward(self, batch: Batch, time: Tensor | None = None) -> Encoded:
        """Encode a batch; ``time`` (B,) is None for clean jets."""
        jets, leads = batch.packing, self.leads(batch, time)
        n_leads, device = leads.shape[1], leads.device
        packing = jets.with_leads(n_leads)
        is_lead = torch.ones(len(batch), n_leads, dtype=torch.bool, device=device)
        if time is not None and self.time is not None:
            is_lead[:, self.config.n_tokens] = time != 0
        is_valid = jets.join_leads(is_lead, jets.slot_mask)
        slots = jets.join_leads(leads, jets.to_slots(self.particles(batch)))
        encoded = Encoded(slots, packing, is_valid, n_leads, jets)
        biases = self.biases(batch, encoded)
        for block in self.blocks:
            slots = block(slots, packing, biases)
        return encoded._replace(slots=at_least_float32(self.norm(slots)))

    def particles(self, batch: Batch) -> Tensor:
        """Embedding of each particle in front of the blocks, (T, d)."""
        features, packing = batch.features, batch.packing
        n_coordinates, period = self.config.space
        neighbors = nearest_neighbors(
            features[:, :n_coordinates], packing, n_neighbors=self.config.n_neighbors, period=period
        )
        seen = features
        if not self.config.use_positions:
            seen = functional.pad(features[:, n_coordinates:], (n_coordinates, 0))
        rows = at_least_float32(self.embedding(seen)) + self.local(features, neighbors)
        if self.species is not None:
            rows = rows + self.drop(self.species(_required(batch, "pid").long()), packing)
        if self.extra is not None:
            rows = rows + self.drop(self.extra(_required(batch, "extra")), packing)
        return rows

    def leads(self, batch: Batch, time: Tensor | None) -> Tensor:
        """Rows in front of the particles: tokens, time, condition, (B, n_leads, d)."""
        rows = [self.token.expand(len(batch), -1, -1)]
        if self.time is not None and time is not None:
            rows.append(at_least_float32(self.time(time))[:, None])
        if self.condition is not None:
            rows.append(at_least_float32(self.condition(_required(batch, "condition")))[:, None])
        return torch.cat(rows, 1)

    def biases(self, batch: Batch, encoded: Encoded) -> list[Tensor]:
        """Attention bias of each block of jets."""
        keys, n = encoded.key_biases(), encoded.n_leads  # leads have no pairs
        if self.pair_bias is None:
            return keys
        pairs = self.pair_bias(batch.features, batch.packing)
        return [functional.pad(pair, (n, 0, n, 0)) + key for pair, key in zip(pairs, keys, strict=True)]

    def drop(self, rows: Tensor, packing: Packing) -> Tensor:
        """Leave out the rows (T, d) of some jets, in training."""
        if not self.training or self.config.feature_drop == 0:
            return rows
        kept = torch.rand(packing.n_jets, 1, device=rows.device) >= self.config.feature_drop
        return rows * packing.to_rows(kept)


def _required(batch: Batch, name: str) -> Tensor:
    """Return a field of the batch that this network needs."""
    value = getattr(batch, name)
    if value is None:
        raise ConfigError(
            f"this PETv2 needs the field '{name}' of the batch, which has none: give it, or change "
            "n_species, n_extra or n_condition in the configuration"
        )
    return value


class TokenBlock(nn.Module):
    """Tokens of a jet attend to its other rows (no norm in front), then pass an MLP; the rows stay.

    Parameters
    ----------
    width, n_heads, ratio
        As for `omnilearn_lab.models.layers.Block`.
    """

    def __init__(self, width: int, n_heads: int, ratio: int) -> None:
        super().__init__()
        self.attention = Attention(width, n_heads, bias=False)
        self.mlp = MLP(width, ratio * width, width, norms="both")

    def forward(self, tokens: Tensor, slots: Tensor, packing: Packing, biases: Sequence[Tensor]) -> Tensor:
        """Map tokens (B, n, d), jets in block order, to (B, n, d); biases (G, 1, 1, m) for the keys."""
        tokens = tokens + self.attention.from_tokens(tokens, slots, packing, biases)
        return tokens + self.mlp(tokens)


class ClassifierHeadV2(nn.Module):
    """Logits from the tokens, which attend to the other rows of their jet."""

    def __init__(self, config: PETv2Config) -> None:
        super().__init__()
        width = config.n_tokens * config.width
        self.n_tokens = config.n_tokens
        self.blocks = nn.ModuleList(
            TokenBlock(config.width, config.n_heads, config.ratio) for _ in range(config.n_head_layers)
        )
        self.mlp = MLP(width, config.ratio * width, width)
        self.out = nn.Linear(width, config.n_classes)

    def forward(self, encoded: Encoded) -> Tensor:
        """Map the body's output to logits (B, C)."""
        slots, packing, is_valid, n_leads, jets = encoded
        tokens = join([part[:, : self.n_tokens] for part in packing.split(slots)])
        others = [mask[:, self.n_tokens :] for mask in packing.split(is_valid)]
        biases = [key_bias(functional.pad(mask, (self.n_tokens, 0), value=False)) for mask in others]
        for block in self.blocks:
            tokens = block(tokens, slots, packing, biases)
        hidden = jets.in_jet_order(self.mlp(tokens.flatten(1)))
        return at_least_float32(self.out(hidden))


class GeneratorHeadV2(nn.Module):
    """One output per particle: its velocity, or its class logits."""

    def __init__(self, config: PETv2Config) -> None:
        super().__init__()
        width, ratio = config.width, config.ratio
        self.config = config
        if config.has_label_row:
            self.label = nn.Embedding(config.n_classes, width)
            self.label_mlp = MLP(width, ratio * width, width, norms="none")
        block = partial(Block, width, config.n_heads, ratio, attention=config.attention)
        self.blocks = nn.ModuleList(block() for _ in range(config.n_head_layers))
        self.mlp = MLP(width, ratio * width, width, norms="none")
        self.out = nn.Linear(width, config.n_particle_classes or config.n_features)

    def forward(self, encoded: Encoded, label: Tensor | None) -> Tensor:
        """Map the body's output and labels (B,) to (T, F) or (T, particle classes)."""
        if self.config.has_label_row:
            encoded = self.with_label(encoded, label)
        slots, biases = encoded.slots, encoded.key_biases()
        for block in self.blocks:
            slots = block(slots, encoded.packing, biases)
        return at_least_float32(self.out(self.mlp(encoded._replace(slots=slots).particles())))

    def with_label(self, encoded: Encoded, label: Tensor | None) -> Encoded:
        """Put a row with the embedded label in front of each jet."""
        if label is None:
            raise ConfigError("this generator was built with classes: give the label of each jet")
        slots, packing, is_valid, n_leads, jets = encoded
        rows = at_least_float32(self.label_mlp(self.label(label)))[:, None]
        is_row = is_valid.new_ones(jets.n_jets, 1)
        slots, is_valid = packing.join_leads(rows, slots), packing.join_leads(is_row, is_valid)
        return Encoded(slots, packing.with_leads(1), is_valid, n_leads + 1, jets)


class MaskedHead(nn.Module):
    """Logits of the codes of hidden particles, from the visible rest of their jet and their place in it.

    Each hidden particle asks with its place alone (the hardest is the first) and sees what the body made of
    the others: its own numbers and those of other hidden particles are nowhere in the network.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: PETv2Config) -> None:
        super().__init__()
        width = config.width
        self.codebook = Codebook(config.n_codes)
        self.place = nn.Embedding(N_PLACES, width)
        self.blocks = nn.ModuleList(
            TokenBlock(width, config.n_heads, config.ratio) for _ in range(config.n_head_layers)
        )
        self.mlp = MLP(width, config.ratio * width, width)
        self.out = nn.Linear(width, config.n_codes)

    def forward(self, encoded: Encoded, places: Tensor) -> Tensor:
        """Map the body's output and the places of hidden particles (B, M) to logits (B, M, codes)."""
        jets = encoded.jets
        rows = self.place(jets.in_block_order(places).clamp_max(N_PLACES - 1))
        for block in self.blocks:
            rows = block(rows, encoded.slots, encoded.packing, encoded.key_biases())
        return at_least_float32(self.out(self.mlp(jets.in_jet_order(rows))))


class PETv2(Pretrained):
    """PET v2: a body, and the heads that its mode asks for.

    A jet's output depends on its own particles alone: not on their order, on other jets of the batch, or on
    any padded length.

    Parameters
    ----------
    config
        Sizes and choices; None for the small classifier.

    Examples
    --------
    >>> import torch
    >>> model = PETv2(PETv2Config.named("tiny", n_classes=3))
    >>> mask = torch.tensor([[True, True, False], [True, True, True]])
    >>> batch = Batch.from_padded(torch.randn(2, 3, 4), mask, jet=torch.zeros(2, 0))
    >>> model.classify(batch).logits.shape
    torch.Size([2, 3])
    """

    path = "straight"  # from jets to noise, see `omnilearn_lab.models.diffusion`

    def __init__(self, config: PETv2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or PETv2Config()
        self.body = BodyV2(config)
        self.classifier = ClassifierHeadV2(config) if config.has_classifier else None
        self.generator = GeneratorHeadV2(config) if config.has_generator else None
        self.masked = MaskedHead(config) if config.n_codes else None
        self.apply(_reset)

    def embed(self, batch: Batch, time: Tensor | None = None) -> Tensor:
        """Particle embeddings, (T, d): the output of the body."""
        return self.body(batch, time).particles()

    def classify(self, batch: Batch, time: Tensor | None = None) -> ClassifierOutput:
        """Class logits (or regressed numbers) (B, C); ``time`` (B,) for perturbed jets.

        The second entry of the output, the jet quantities that PET regresses, has no column here.
        """
        return self._classify(self.body(batch, time))

    forward = classify

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (T, F) of perturbed jets at a time (B,); ``label`` (B,) where there are classes."""
        return self._generate(self.body(batch, time), label)

    def joint(self, clean: Batch, perturbed: Batch, time: Tensor, label: Tensor | None = None) -> JointOutput:
        """Both heads on clean and on perturbed jets: what the pretraining loss needs."""
        encoded = self.body(perturbed, time)
        velocity = self._generate(encoded, label)
        return JointOutput(self.classify(clean), self._classify(encoded), velocity)

    def guess_hidden(self, visible: Batch, places: Tensor) -> Tensor:
        """Logits (B, M, codes) of particles left out of a batch; ``places`` (B, M) in the whole jets."""
        if self.masked is None:
            raise ConfigError("this PETv2 was built with n_codes=0: it guesses no hidden particles")
        return self.masked(self.body(visible), places)

    def classify_particles(self, batch: Batch, label: Tensor | None = None) -> Tensor:
        """Class logits of each particle (T, particle classes).

        In mode ``"ftag"`` the published head also sees a label of the jet: the true one in training.
        """
        if not self.config.tags_particles:
            raise self._lacks("particle classes", "'ftag' or 'segmentation'")
        return self._generate(self.body(batch), label)

    def regress_particles(self, batch: Batch) -> Tensor:
        """Regressed numbers of each particle (T, numbers); ``batch.packing.sum_rows`` adds those of a jet."""
        if self.config.mode != "particle_regression":
            raise self._lacks("regression of particles", "'particle_regression'")
        return self._generate(self.body(batch), None)

    def classify_all(self, batch: Batch, label: Tensor | None = None) -> tuple[ClassifierOutput, Tensor]:
        """Class logits of jets and of particles from one pass of the body (mode ``"ftag"``)."""
        encoded = self.body(batch)
        return self._classify(encoded), self._generate(encoded, label)

    def _classify(self, encoded: Encoded) -> ClassifierOutput:
        if self.classifier is None:
            raise self._lacks("classifier head", "'classifier', 'regression', 'pretrain' or 'ftag'")
        logits = self.classifier(encoded)
        return ClassifierOutput(logits, logits.new_empty(len(logits), 0))

    def _generate(self, encoded: Encoded, label: Tensor | None) -> Tensor:
        if self.generator is None:
            raise self._lacks("generator head", "'generator' or 'pretrain'")
        return self.generator(encoded, label)

    def _lacks(self, part: str, modes: str) -> ConfigError:
        return ConfigError(f"a PETv2 of mode '{self.config.mode}' has no {part}: build one of mode {modes}")


def _reset(module: nn.Module) -> None:
    """Xavier-uniform matrices, zero biases, tokens from a narrow normal distribution."""
    glorot(module)
    if isinstance(module, BodyV2):
        nn.init.trunc_normal_(module.token, std=TOKEN_SPREAD)
