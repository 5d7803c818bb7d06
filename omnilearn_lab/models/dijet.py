"""Networks of jet kinematics: the first stage of generation, and events of several jets."""

from __future__ import annotations

import logging
from dataclasses import field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models.attention import Attention
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.diffusion import SamplerConfig, cosine_level, denoise
from omnilearn_lab.models.layers import FeedForward, JetNorm, LayerScale, TimeEmbedding, glorot, modulate
from omnilearn_lab.models.packing import Packing
from omnilearn_lab.models.pet import PET, Body, ClassifierHead, PETConfig
from omnilearn_lab.models.sizes import Count, Width, fitting
from omnilearn_lab.settings import settings


@settings
class JetGeneratorConfig:
    """Sizes of a `JetGenerator`.

    Parameters
    ----------
    n_jet_features
        Generated numbers per jet J (pt, eta, mass, multiplicity), standardised.
    n_classes
        Classes C, or columns of a continuous condition.
    width
        Channels d; the residual stages have 2 d.
    layer_scale
        Start value of the residual scales.
    """

    n_jet_features: Width = 4
    n_classes: Width = 10
    width: Width = 128
    layer_scale: float = 1e-5


class Stage(nn.Module):
    """Residual stage: a linear way past a scaled two-layer SiLU network, (B, n_in) to (B, n_out)."""

    def __init__(self, n_in: int, n_out: int, layer_scale: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_in, eps=1e-6)
        self.past = nn.Linear(n_in, n_out)
        self.first, self.second = nn.Linear(n_in, n_out), nn.Linear(n_out, n_out)
        self.scale = nn.Parameter(torch.full((n_out,), layer_scale))

    def forward(self, values: Tensor) -> Tensor:
        """Apply the stage."""
        values = self.norm(values)
        hidden = functional.silu(self.second(functional.silu(self.first(values))))
        return self.past(values) + self.scale * hidden


class JetGenerator(nn.Module):
    """Velocity of perturbed jet features, given time and class.

    Parameters
    ----------
    config
        Sizes; None for the published ones (415,620 parameters with five classes).

    References
    ----------
    arXiv:2404.16091, section on generation; the published program's jet-level model.

    Examples
    --------
    >>> import torch
    >>> model = JetGenerator(JetGeneratorConfig(n_classes=5))
    >>> sum(p.numel() for p in model.parameters())
    415620
    >>> model.velocity(torch.zeros(2, 4), torch.rand(2), torch.tensor([0, 4])).shape
    torch.Size([2, 4])
    """

    def __init__(self, config: JetGeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or JetGeneratorConfig()
        width = config.width
        self.time = TimeEmbedding(width)
        self.label = nn.Linear(config.n_classes, width)
        self.modulation = nn.Linear(width, 2 * width)
        self.jet = nn.Linear(config.n_jet_features, width)
        self.stages = nn.Sequential(
            Stage(width, 2 * width, config.layer_scale), Stage(2 * width, 2 * width, config.layer_scale)
        )
        self.norm = nn.LayerNorm(2 * width, eps=1e-6)
        self.out = nn.Linear(2 * width, config.n_jet_features)
        self.apply(glorot)
        nn.init.zeros_(self.out.weight)

    def velocity(self, jet: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Map perturbed jets (B, J), times (B,) and labels ((B,) or rows (B, C)) to velocities (B, J)."""
        if label.dim() == 1:
            label = functional.one_hot(label, self.config.n_classes).float()
        known = self.time(time) + self.label(label)
        scale, shift = functional.gelu(self.modulation(known)).chunk(2, 1)
        hidden = functional.silu(self.jet(jet) * (1 + scale) + shift)
        return self.out(self.norm(self.stages(hidden))).float()

    forward = velocity


class PerturbedJets(NamedTuple):
    """Perturbed jet features and the velocity to predict, both (B, J)."""

    jet: Tensor
    target: Tensor


def perturb_jets(jet: Tensor, time: Tensor, noise: Tensor | None = None) -> PerturbedJets:
    """Mix noise into jet features under the cosine schedule: alpha x + sigma eps; target alpha eps - sigma x.

    Parameters
    ----------
    jet
        Standardised jet features, shape (B, J).
    time
        Shape (B,).
    noise
        Standard normal, shape (B, J); None draws it.

    Examples
    --------
    >>> import torch
    >>> perturb_jets(torch.ones(1, 1), torch.tensor([0.5]), torch.ones(1, 1)).jet
    tensor([[1.4142]])
    """
    noise = torch.randn_like(jet) if noise is None else noise
    alpha, sigma = (part[:, None] for part in cosine_level(time))
    return PerturbedJets(alpha * jet + sigma * noise, alpha * noise - sigma * jet)


@torch.no_grad()
def sample_jets(model: JetGenerator, label: Tensor, *, config: SamplerConfig = SamplerConfig()) -> Tensor:
    """Generate standardised jet features (B, J) for given classes.

    Parameters
    ----------
    model
        The network, in evaluation mode.
    label
        Class of each jet (B,), or condition rows (B, C).
    config
        Steps, method and seed.

    Examples
    --------
    >>> import torch
    >>> sample_jets(JetGenerator(), torch.tensor([0, 1, 1]), config=SamplerConfig(n_steps=2)).shape
    torch.Size([3, 4])
    """
    generator = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(len(label), model.config.n_jet_features, generator=generator)
    noise = noise.to(label.device, non_blocking=True)

    def velocity(state: Tensor, time: float) -> Tensor:
        return model.velocity(state, state.new_full((len(state),), time), label)

    return denoise(velocity, noise, config)


logger = logging.getLogger(__name__)


@settings
class DijetConfig:
    """Sizes and choices of the event networks.

    Parameters
    ----------
    pet
        Body and classifier head; by default five jet features (pt, eta, phi, mass, multiplicity), one logit.
    n_jets
        Jets per event.
    n_jet_layers
        Transformer blocks over the jets of an event.
    condition
        What scales and shifts the particles: ``"jets"``, each jet's own features (the paper), or ``"mass"``,
        the invariant mass of the event, for all its jets alike (the published program).
    n_labels
        Columns of the generator's condition (scaled invariant mass, and a constant one).
    """

    pet: PETConfig = field(default_factory=lambda: PETConfig(n_jet_features=5, n_classes=1))
    n_jets: Count = 2
    n_jet_layers: Count = 6
    condition: Literal["jets", "mass"] = "jets"
    n_labels: Width = 2


def events(batch: Batch, n_jets: int) -> Batch:
    """Return the same particles with the jets of each event joined into one set.

    Labels and weights of an event are those of its first jet; its jet features are the mean over its jets.

    Raises
    ------
    JetsError
        If the number of jets is not a multiple of ``n_jets``.

    Examples
    --------
    >>> import torch
    >>> rows = torch.zeros(5, 13)
    >>> pairs = Batch(rows, rows[:, :2], torch.tensor([0, 1, 2, 4, 5]), torch.zeros(4, 5))
    >>> events(pairs, 2).offsets.tolist()
    [0, 2, 5]
    """
    if len(batch) % n_jets:
        raise JetsError(f"{len(batch)} jets do not form events of {n_jets}: keep an event together")
    jet = batch.jet.view(-1, n_jets, batch.jet.shape[1]).mean(1)
    label, weight = (None if v is None else v[::n_jets] for v in (batch.label, batch.weight))
    together = batch.packing.multiplicities.reshape(-1, n_jets).sum(1)
    packing = Packing.plan(together, one_block=batch.packing.one_block).to(batch.features.device)
    return Batch(batch.features, batch.points, batch.offsets[::n_jets], jet, label, weight).keep(packing)


class JetBlock(nn.Module):
    """Transformer block over the jets of an event; a second norm follows the attention."""

    def __init__(self, width: int, n_heads: int, ratio: int, layer_scale: float) -> None:
        super().__init__()
        self.norm_attention, self.norm_after, self.norm_forward = (JetNorm(width) for _ in range(3))
        self.attention = Attention(width, n_heads)
        self.forward_layer = FeedForward(width, ratio * width, width)
        self.scale_attention, self.scale_forward = (LayerScale(width, layer_scale) for _ in range(2))

    def forward(self, jets: Tensor, packing: Packing) -> Tensor:
        """Map (n_events n_jets, d) to the same shape."""
        update = self.attention(self.norm_attention(jets, packing), packing, packing.key_biases)
        update = self.norm_after(update, packing)
        jets = self.scale_attention(update, jets)
        return self.scale_forward(self.forward_layer(self.norm_forward(jets, packing)), jets)


class JetTransformer(nn.Module):
    """Let the jets of an event see each other: (n_events n_jets, J) to (n_events n_jets, J)."""

    def __init__(self, config: DijetConfig, ratio: int) -> None:
        super().__init__()
        width, n_jet_features = config.pet.width, config.pet.n_jet_features
        self.n_jets = config.n_jets
        self.embedding = FeedForward(n_jet_features, 2 * width, width)
        self.blocks = nn.ModuleList(
            JetBlock(width, config.pet.n_heads, ratio, config.pet.layer_scale)
            for _ in range(config.n_jet_layers)
        )
        self.norm = JetNorm(width)
        self.out = nn.Linear(width, n_jet_features)

    def forward(self, jets: Tensor, scale_shift: Tensor | None = None) -> Tensor:
        """Apply the blocks; ``scale_shift`` (n_events, 2 d) modulates the embedded jets."""
        packing = Packing.plan([self.n_jets] * (len(jets) // self.n_jets)).to(jets.device)
        hidden = functional.gelu(self.embedding(jets)).float()
        if scale_shift is not None:
            hidden = modulate(hidden, scale_shift, packing)
        for block in self.blocks:
            hidden = block(hidden, packing)
        return self.out(self.norm(hidden, packing)).float()


class DijetClassifier(nn.Module):
    """Classify an event from the particles of all its jets.

    The body sees single jets. Its output is normalised over the event, scaled and shifted by the kinematics,
    and the classifier head reads all particles of the event as one set, with a five-vector made by a
    transformer over the jets.

    Parameters
    ----------
    config
        Sizes; None for the published ones (2,947,979 parameters with ``condition="mass"`` and without a
        trained class token).

    References
    ----------
    arXiv:2404.16091, section on anomaly detection in the LHC Olympics data.

    Examples
    --------
    >>> import torch
    >>> pet = PETConfig(width=8, n_layers=1, n_heads=2, n_jet_features=5, n_classes=1)
    >>> rows = torch.randn(5, 13)
    >>> pairs = Batch(rows, rows[:, :2], torch.tensor([0, 1, 2, 4, 5]), torch.randn(4, 5))
    >>> DijetClassifier(DijetConfig(pet, n_jet_layers=1)).classify(pairs).logits.shape
    torch.Size([2, 1])
    """

    def __init__(self, config: DijetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DijetConfig()
        width = config.pet.width
        source = PET(config.pet)
        self.body: Body = source.body
        self.classifier: ClassifierHead = source.classifier
        self.norm = JetNorm(width)
        n_conditions = config.pet.n_jet_features if config.condition == "jets" else 1
        self.modulation = FeedForward(n_conditions, 4 * width, 2 * width)
        self.jets = JetTransformer(config, ratio=4)

    def classify(self, batch: Batch, mass: Tensor | None = None) -> ClassifierOutput:
        """Logits (n_events, C) and regressed jet quantities (n_events, J).

        Parameters
        ----------
        batch
            Single jets, the jets of an event one after the other.
        mass
            Scaled invariant mass of each event, shape (n_events,); needed with ``condition="mass"``.
        """
        event = events(batch, self.config.n_jets)
        rows = self.norm(self.body(batch), event.packing)
        if self.config.condition == "jets":
            rows = modulate(rows, self._scale_shift(batch.jet), batch.packing)
        elif mass is None:
            raise JetsError('condition="mass" needs the invariant mass of each event: pass mass')
        else:
            rows = modulate(rows, self._scale_shift(mass[:, None]), event.packing)
        jets = self.jets(batch.jet).view(len(event), self.config.n_jets, -1).mean(1)
        return self.classifier(rows, event.replace(jet=jets))

    forward = classify

    def _scale_shift(self, values: Tensor) -> Tensor:
        return functional.gelu(self.modulation(values)).float()

    def take(self, pet: PET) -> list[str]:
        """Copy body and classifier head of a pretrained PET; return the names that did not fit."""
        own = self.state_dict()
        taken = fitting(pet.state_dict(), own)
        self.load_state_dict(own | taken)
        kept = [name for name in own if name.startswith(("body.", "classifier.")) and name not in taken]
        if any(name.startswith("body.") for name in kept):
            raise ConfigError(f"the bodies have different sizes: {', '.join(kept[:4])} ...")
        logger.info("not taken from the pretrained network: %s", ", ".join(kept) or "nothing")
        return kept


class DijetGenerator(nn.Module):
    """Velocity of the perturbed features of all jets of an event, given time and invariant mass.

    Parameters
    ----------
    config
        Sizes; None for the published ones.

    Examples
    --------
    >>> import torch
    >>> config = DijetConfig(PETConfig(width=8, n_heads=2, n_jet_features=5), n_jet_layers=1)
    >>> DijetGenerator(config).velocity(torch.zeros(3, 10), torch.rand(3), torch.ones(3, 2)).shape
    torch.Size([3, 10])
    """

    def __init__(self, config: DijetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DijetConfig()
        width = config.pet.width
        self.time = TimeEmbedding(width)
        self.label = nn.Sequential(
            nn.Linear(config.n_labels, 2 * width, bias=False),
            nn.GELU(),
            nn.Linear(2 * width, width, bias=False),
            nn.GELU(),
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.jets = JetTransformer(config, ratio=2)
        nn.init.zeros_(self.jets.out.weight)
        nn.init.zeros_(self.jets.out.bias)

    def velocity(self, jets: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Map perturbed jets (B, n_jets J), times (B,) and conditions (B, n_labels) to velocities."""
        scale_shift = functional.gelu(self.modulation(self.time(time) + self.label(label)))
        return self.jets(jets.reshape(-1, self.config.pet.n_jet_features), scale_shift).view_as(jets)

    forward = velocity
