"""A small network for jet kinematics: the first stage of generation, before the particles."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models.diffusion.paths import cosine_level
from omnilearn_lab.models.diffusion.samplers import SamplerConfig, denoise
from omnilearn_lab.models.layers import TimeEmbedding
from omnilearn_lab.models.sizes import Width
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
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
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
def sample_jets(model: JetGenerator, label: Tensor, *, config: SamplerConfig | None = None) -> Tensor:
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
    config = config or SamplerConfig()
    generator = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(len(label), model.config.n_jet_features, generator=generator)
    noise = noise.to(label.device, non_blocking=True)

    def velocity(state: Tensor, time: float) -> Tensor:
        return model.velocity(state, state.new_full((len(state),), time), label)

    return denoise(velocity, noise, config)
